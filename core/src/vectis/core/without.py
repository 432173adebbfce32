"""What an application would lack without some of its plugins: the data behind `plugins disable`.

It asks an assembled hub, so it tells what is loaded now. Nothing is changed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from vectis.core.exceptions import TransportError
from vectis.core.needs import dependents
from vectis.core.settings import PluginsSettings
from vectis.core.subscription import pattern_matches
from vectis.core.topics import topics_in_use, topics_of_handler
from vectis.core.transport import Route

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from vectis.core.hub import Hub
    from vectis.core.plugins import Plugin
    from vectis.core.subscription import Subscription
    from vectis.core.transport import Scope

__all__ = ["Loss", "without"]

_CARRIERS: dict[Scope, str] = {"process": "the bus", "service": "the transport"}
_PLACES: dict[Scope, str] = {"process": "on the bus", "service": "in the worker"}


@attrs.frozen(kw_only=True)
class Loss:
    """What goes with one plugin, or with several together.

    Args:
        handlers: Their handlers, such as `acme:record on order.*`.
        unhandled: Event types and patterns that no other handler is there for, each with where:
            `order.* on the bus`, `order.created in the worker`. Handlers of one do not take the
            place of those of the other.
        hooks: The hooks that they implement.
        event_types: What they bring to the catalogue.
        topics: The topics that nobody else's handlers are read for.
        stranded: Handlers of others whose topic only their catalogue names: no worker starts.
        carries: `the bus` and the topics' `transport`, if it is one now.
        idle: Handlers of others that nobody would call: those on the bus when the only one goes,
            the worker's when the only transport does.
        uncarried: The topics in use that nobody would carry.
        needed_by: For each plugin that somebody else cannot do without, its name and who that is,
            in words.
    """

    handlers: tuple[str, ...] = ()
    unhandled: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    event_types: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    stranded: tuple[str, ...] = ()
    carries: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    uncarried: tuple[str, ...] = ()
    needed_by: tuple[tuple[str, str], ...] = ()


def without(hub: Hub, *plugins: Plugin) -> Loss:
    """Return what a hub would lack without some plugins; of one that is not loaded, nothing.

    Args:
        hub: An assembled one.
        plugins: Some of its plugins.

    Example:
        >>> from vectis.core import Hub, handles
        >>> from vectis.core.without import without
        >>> class Audit:
        ...     @handles("order.*")
        ...     def record(self, event): ...
        >>> hub = Hub({}, plugins={"audit": Audit}, discover=False)
        >>> without(hub, hub.plugins[0]).handlers
        ('audit:Audit.record on order.*',)
    """
    lost = [plugin for plugin in plugins if plugin.state == "loaded"]
    if not lost:
        return Loss()
    names = {plugin.name for plugin in lost}
    running = [subscription for subscription in hub.subscriptions if subscription.enabled]
    own = [subscription for subscription in running if subscription.plugin in names]
    others = [subscription for subscription in running if subscription.plugin not in names]
    carried = _carried(hub, names)
    left = _left(hub, names, carried)
    return Loss(
        handlers=tuple(f"{s.id} on {s.pattern}" for s in own),
        unhandled=tuple(
            dict.fromkeys(f"{s.pattern} {_PLACES[s.scope]}" for s in own if not _handled(s, others))
        ),
        hooks=tuple(dict.fromkeys(hook for plugin in lost for hook in plugin.hooks)),
        event_types=tuple(known.name for known in hub.catalogue if known.plugin in names),
        topics=tuple(sorted(_topics(hub, own) - _topics(hub, others))),
        stranded=tuple(s.id for s in others if _stranded(hub, s, names)),
        carries=tuple(_CARRIERS[scope] for scope in carried),
        idle=tuple(f"{s.id} on {s.pattern}" for s in others if s.scope in left),
        uncarried=tuple(used.name for used in topics_in_use(hub)) if "service" in left else (),
        needed_by=tuple(
            (plugin.name, reason) for plugin in lost for reason in _needed_by(hub, plugin, names)
        ),
    )


def _handled(lost: Subscription, others: list[Subscription]) -> bool:
    return any(s.scope == lost.scope and pattern_matches(s.pattern, lost.pattern) for s in others)


def _topics(hub: Hub, subscriptions: list[Subscription]) -> set[str]:
    return {
        source.topic
        for subscription in subscriptions
        if subscription.scope == "service"
        for source in topics_of_handler(hub, subscription)
    }


def _stranded(hub: Hub, subscription: Subscription, names: Collection[str]) -> bool:
    if subscription.scope != "service" or subscription.topic or hub.consumer_settings.topics:
        return False
    if any(subscription.pattern in types for types in hub.topics.values()):
        return False
    known = hub.catalogue.find(subscription.pattern)
    return known is not None and known.plugin in names and known.topic is not None


def _carried(hub: Hub, names: Collection[str]) -> list[Scope]:
    """Return the scopes of which one of these plugins is the carrier now."""
    carried: list[Scope] = []
    for scope in _CARRIERS:
        try:
            offer = hub.routing.offer(Route(scope, "vectis.without"))
        except TransportError:
            continue  # two offer: with one of them gone it is settled
        if offer is not None and offer.plugin in names:
            carried.append(scope)
    return carried


def _left(hub: Hub, names: Collection[str], carried: list[Scope]) -> list[Scope]:
    """Return the scopes that nobody carries when their carrier is gone.

    A transport carries because it is the only one or the chosen one, and none takes the place of
    one that was chosen. Of several buses the next does.
    """
    spare = [p for p in hub.plugins if hub.routing.is_bus(p.name) and p.name not in names]
    return [scope for scope in carried if scope == "service" or not spare]


def _needed_by(hub: Hub, plugin: Plugin, names: Collection[str]) -> Iterator[str]:
    for other in dependents(plugin.name, hub.plugins):
        if other.name not in names:
            yield f"plugin {other} needs it"
    required = hub.config.table("plugins", PluginsSettings).require
    if plugin.name in required:
        where = hub.config.origin_of_item("plugins", "require", plugin.name)
        yield f"[plugins] require ({where}) names it, so nothing would start"
    if hub.hub_settings.transport == plugin.name:
        where = hub.config.origin("hub", "transport")
        yield f"[hub] transport ({where}) names it to carry events"
