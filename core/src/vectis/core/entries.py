"""What a hub knows of its event types, put together: for `vectis catalog`, its check and export.

The catalogue has the classes that plugins registered. Handlers may take classes that nobody did,
and types that have no class at all; they are in here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from vectis.core.catalogue import EventType, described
from vectis.core.subscription import pattern_matches
from vectis.core.topics import topics_of, topics_of_handler

if TYPE_CHECKING:
    from vectis.core.hub import Hub
    from vectis.core.subscription import Subscription
    from vectis.core.upcasting import Upcaster

__all__ = ["Entry", "entries"]


@attrs.frozen(kw_only=True)
class Entry:
    """One event type.

    Args:
        name: The event type.
        versions: What is known of each version, the oldest first; nothing for a type that has no
            class.
        upcasters: The functions that make old payloads new, the oldest version's first.
        topics: Where it travels, as the config, the catalogue or its handlers say.
        handlers: Who handles it, on the bus and in the worker, those that are disabled left out.
        catalogued: Whether a plugin put it into the catalogue; else a handler named its class.
    """

    name: str
    versions: tuple[EventType, ...] = ()
    upcasters: tuple[Upcaster, ...] = ()
    topics: tuple[str, ...] = ()
    handlers: tuple[Subscription, ...] = ()
    catalogued: bool = False

    @property
    def newest(self) -> EventType | None:
        """What is known of the newest version; None for a type that has no class."""
        return self.versions[-1] if self.versions else None

    @property
    def consumers(self) -> tuple[Subscription, ...]:
        """Those of the handlers that the worker calls."""
        return tuple(handler for handler in self.handlers if handler.scope == "service")


def entries(hub: Hub) -> tuple[Entry, ...]:
    """Return every event type that a hub knows by name, sorted.

    Args:
        hub: Its catalogue, its handlers and its config are asked.

    Example:
        >>> from vectis.core import Hub
        >>> from vectis.core.entries import entries
        >>> hub = Hub({"topics": {"shop.orders": ["order.created"]}}, discover=False)
        >>> [(entry.name, entry.topics) for entry in entries(hub)]
        [('order.created', ('shop.orders',))]
    """
    enabled = tuple(s for s in hub.subscriptions if s.enabled)
    names = {known.name for known in hub.catalogue}
    names |= {s.pattern for s in enabled if "*" not in s.pattern}
    names |= {name for types in hub.topics.values() for name in types}
    return tuple(_entry(hub, name, enabled) for name in sorted(names))


def _entry(hub: Hub, name: str, enabled: tuple[Subscription, ...]) -> Entry:
    handlers = tuple(s for s in enabled if pattern_matches(s.pattern, name))
    known = {version.version: version for version in hub.catalogue.versions(name)}
    catalogued = bool(known)
    for handler in handlers:
        found = None if handler.event_class is None else described(handler.event_class)
        if found is not None:
            known.setdefault(found.version, attrs.evolve(found, plugin=handler.plugin))
    topics = [source.topic for source in topics_of(hub, name)]
    for handler in handlers:
        if handler.scope == "service":
            topics += [source.topic for source in topics_of_handler(hub, handler)]
    return Entry(
        name=name,
        versions=tuple(known[version] for version in sorted(known)),
        upcasters=hub.catalogue.upcasters(name),
        topics=tuple(dict.fromkeys(topics)),
        handlers=handlers,
        catalogued=catalogued,
    )
