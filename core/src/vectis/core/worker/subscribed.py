"""What the worker reads: its handlers by event type, and the topics they arrive on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from vectis.core.exceptions import ConfigError
from vectis.core.misnamed import misnamed
from vectis.core.subscription import by_priority
from vectis.core.topics import topics_of_handler, unread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectis.core.hub import Hub
    from vectis.core.subscription import Subscription

__all__ = ["Subscribed", "subscribed"]


@attrs.frozen
class Subscribed:
    """The outcome of looking through a hub's consuming handlers.

    Args:
        handlers: Per event type, in the order in which they are called, the enabled ones only.
        topics: The topics to read, sorted.
        warnings: A sentence for each handler whose topic `[consumer] topics` leaves out, and for
            each that `[handlers]` names and nobody has.
    """

    handlers: dict[str, tuple[Subscription, ...]]
    topics: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def subscribed(hub: Hub) -> Subscribed:
    """Find the topics of a hub's consuming handlers: their own, or of `[topics]` or the catalogue.

    `[consumer] topics`, when given, is what is read, and every handled type may arrive on any of
    them. The topics of a handler that the config disabled are read as well: its events are skipped,
    counted and committed, as they were meant to be.

    Args:
        hub: Its subscriptions, its config and its catalogue are asked.

    Raises:
        ConfigError: There are no handlers, or a type whose topic nobody names.

    Example:
        >>> from vectis.core import Hub
        >>> from vectis.core.worker.subscribed import subscribed
        >>> hub = Hub({"topics": {"vectis.orders": ["order.created"]}}, discover=False)
        >>> subscription = hub.on_event("order.created", lambda event_type, payload: None)
        >>> subscribed(hub).topics
        ('vectis.orders',)
    """
    consuming = [s for s in hub.subscriptions if s.scope == "service"]
    if not consuming:
        raise ConfigError(
            "there is nothing to consume: no @on_event handler was found in a plugin or module. "
            "Name modules as arguments, as in `vectis consume shop.handlers`, or in the config: "
            '[consumer] modules = ["shop.handlers"]'
        )
    topics = set(hub.consumer_settings.topics) or _topics(hub, consuming)
    if not topics:
        disabled = ", ".join(s.id for s in consuming)
        raise ConfigError(
            f"there is nothing to consume: the config disables every @on_event handler, {disabled}"
        )
    handlers: dict[str, tuple[Subscription, ...]] = {}
    for subscription in by_priority(consuming):
        if subscription.enabled:
            handlers.setdefault(subscription.pattern, ())
            handlers[subscription.pattern] += (subscription,)
    return Subscribed(handlers, tuple(sorted(topics)), (*unread(hub), *misnamed(hub)))


def _topics(hub: Hub, consuming: Sequence[Subscription]) -> set[str]:
    sources = {s: topics_of_handler(hub, s) for s in consuming}
    unknown = [s for s, found in sources.items() if s.enabled and not found]
    if unknown:
        types = ", ".join(f"{s.pattern} ({s.id})" for s in unknown)
        first = unknown[0].pattern
        raise ConfigError(
            f"no topic is known for {types}. Name it in one of three places: "
            f'the handler, @on_event("{first}", topic="..."); '
            f'the config, [topics] "..." = ["{first}"]; '
            f'or the catalogue, @event_type("{first}", topic="...") of a plugin'
        )
    return {source.topic for found in sources.values() for source in found}
