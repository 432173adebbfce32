"""What `[handlers]` in the config says without any effect, in words. Nothing is changed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vectis.core.hub import Hub

__all__ = ["idle_priorities"]


def idle_priorities(hub: Hub) -> list[str]:
    """Return a sentence for each priority that the config gives to a handler of the worker.

    Priority orders the handlers on the bus; the worker calls its own in the order in which they
    were registered.

    Args:
        hub: Its config and its subscriptions are asked.

    Example:
        >>> from vectis.core import Hub
        >>> from vectis.core.overrides import idle_priorities
        >>> hub = Hub({"handlers": {"app:sync": {"priority": 3}}}, discover=False)
        >>> def sync(event_type, payload): ...
        >>> subscription = hub.on_event("order.created", sync)
        >>> [sentence] = idle_priorities(hub)
        >>> '[handlers."app:sync"] priority has no effect' in sentence
        True
    """
    on_the_bus = {s.id for s in hub.subscriptions if s.scope == "process"}
    of_the_worker = {s.id for s in hub.subscriptions if s.scope == "service"} - on_the_bus
    return [
        f'{hub.config.origin("handlers", name)}: [handlers."{name}"] priority has no effect: '
        "the worker calls its handlers in the order in which they were registered"
        for name, override in hub.config.handlers().items()
        if override.priority is not None and name in of_the_worker
    ]
