"""What would happen to an event, without letting it happen: the data behind `vectis explain`.

`explain(hub, event_type)` asks the parts that do the work (the bus for its plan, the transports for
their offers), so that it tells what is, not what should be. Nothing is emitted, published or
consumed. What comes out is in `vectis.core.explanation`, and how it looks on a screen is the
command's business.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import attrs

from vectis.core.absence import configured_transport
from vectis.core.exceptions import TransportError
from vectis.core.explanation import (
    Absent,
    ConsumerCall,
    Explanation,
    HandlerCall,
    HookCall,
    Publishing,
)
from vectis.core.hookspecs import GUARDS, LIFECYCLE
from vectis.core.subscription import by_priority, pattern_matches
from vectis.core.topics import topics_of, topics_of_handler
from vectis.core.transport import Route

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vectis.core.hub import Hub
    from vectis.core.subscription import Subscription

__all__ = [
    "Absent",
    "ConsumerCall",
    "Explanation",
    "HandlerCall",
    "HookCall",
    "Publishing",
    "explain",
]


def explain(hub: Hub, event_type: str) -> Explanation:
    """Tell what an emit and a publish of an event type would do.

    Args:
        hub: The hub that would do it; handlers must be registered already.
        event_type: The event type; it need not be a known one.

    Example:
        >>> from vectis.core import Hub
        >>> from vectis.core.explain import explain
        >>> hub = Hub({})
        >>> _ = hub.subscribe("order.*", lambda event: None, priority=20)
        >>> [(call.priority, call.pattern) for call in explain(hub, "order.created").handlers]
        [(20, 'order.*')]
    """
    names = _declared(hub)
    described = hub.catalogue.find(event_type)
    cls = described.cls if described else None
    plan, bus, bus_describe, problem = _plan(hub, event_type)
    waiting = [s for s in _matching(hub, event_type) if s.enabled and s not in plan]
    if waiting and not problem:
        problem = (
            "no bus plugin takes the handlers, so an emit raises: install or enable vectis-bus"
        )
    return Explanation(
        event_type=event_type,
        declared=event_type in names,
        similar=()
        if event_type in names
        else tuple(get_close_matches(event_type, sorted(names), n=3)),
        described_by=f"{cls.__module__}.{cls.__qualname__}" if cls else "",
        owner=described.plugin if described else "",
        version=described.version if described else None,
        hooks=_hooks(hub),
        bus=bus,
        bus_describe=bus_describe,
        problem=problem,
        handlers=tuple(_handler_call(hub, number, s) for number, s in enumerate(plan, 1)),
        publishing=_publishing(hub, event_type),
        consumers=tuple(_consumer_call(hub, s) for s in _consuming(hub, event_type) if s.enabled),
        group=hub.consumer_settings.group,
        consumer_topics=hub.consumer_settings.topics,
        absent=(*_absent_handlers(hub, event_type, waiting), *_absent_plugins(hub)),
    )


def _declared(hub: Hub) -> set[str]:
    names = {described.name for described in hub.catalogue}
    names.update(*hub.topics.values())
    names.update(s.pattern for s in hub.subscriptions if "*" not in s.pattern)
    return names


def _plan(hub: Hub, event_type: str) -> tuple[tuple[Subscription, ...], str | None, str, str]:
    try:
        offer = hub.routing.offer(Route("process", event_type))
    except TransportError as error:
        return (), None, "", str(error)
    if offer is None:
        return (), None, "", ""
    return tuple(offer.carrier.plan()), offer.plugin, offer.carrier.describe, ""


def _matching(hub: Hub, event_type: str) -> list[Subscription]:
    return by_priority(
        s
        for s in hub.subscriptions
        if s.scope == "process" and pattern_matches(s.pattern, event_type)
    )


def _consuming(hub: Hub, event_type: str) -> list[Subscription]:
    # The worker looks its handlers up by the exact type.
    found = (s for s in hub.subscriptions if s.scope == "service" and s.pattern == event_type)
    return by_priority(found)


def _version(hub: Hub, plugin: str) -> str:
    return next((known.version for known in hub.plugins if known.name == plugin), "")


def _hooks(hub: Hub) -> tuple[HookCall, ...]:
    return tuple(
        HookCall(
            hook=hook,
            plugin=implementation.plugin_name,
            version=_version(hub, implementation.plugin_name),
            guard=hook in GUARDS,
        )
        for hook in LIFECYCLE
        for implementation in hub.lifecycle.implementations(hook)
    )


def _handler_call(hub: Hub, number: int, subscription: Subscription) -> HandlerCall:
    return HandlerCall(
        number=number,
        handler=subscription.id,
        plugin=subscription.plugin,
        version=_version(hub, subscription.plugin),
        pattern=subscription.pattern,
        priority=subscription.priority,
        once=subscription.once,
        timeout=subscription.timeout,
        required=subscription.required,
        changed_by=subscription.note,
    )


def _publishing(hub: Hub, event_type: str) -> tuple[Publishing, ...]:
    described = hub.catalogue.find(event_type)
    origins = {source.topic: source.origin for source in topics_of(hub, event_type)}
    if described is not None and described.topic is not None:
        # A forward goes to the catalogue's topic, whatever [topics] says for consumers.
        origins.setdefault(described.topic, f"catalogue of {described.plugin}")
    for subscription in _consuming(hub, event_type):
        for source in topics_of_handler(hub, subscription):
            origins.setdefault(source.topic, source.origin)
    return tuple(
        _carried(
            hub,
            Publishing(
                topic=topic,
                origin=origin,
                forward=described is not None and described.forward and topic == described.topic,
            ),
        )
        for topic, origin in origins.items()
    )


def _carried(hub: Hub, publishing: Publishing) -> Publishing:
    try:
        offer = hub.routing.offer(Route("service", publishing.topic))
    except TransportError as error:
        return attrs.evolve(publishing, problem=str(error))
    if offer is None:
        return attrs.evolve(publishing, problem=configured_transport(hub) or "")
    return attrs.evolve(
        publishing,
        transport=offer.plugin,
        version=_version(hub, offer.plugin),
        describe=offer.carrier.describe,
    )


def _consumer_call(hub: Hub, subscription: Subscription) -> ConsumerCall:
    sources = topics_of_handler(hub, subscription)
    return ConsumerCall(
        handler=subscription.id,
        plugin=subscription.plugin,
        version=_version(hub, subscription.plugin),
        topics=tuple(source.topic for source in sources),
        origin=", ".join(dict.fromkeys(source.origin for source in sources)),
        priority=subscription.priority,
        changed_by=subscription.note,
    )


def _absent_handlers(
    hub: Hub, event_type: str, waiting: Iterable[Subscription]
) -> Iterable[Absent]:
    for subscription in (*_matching(hub, event_type), *_consuming(hub, event_type)):
        if not subscription.enabled:
            yield Absent(
                kind="handler",
                name=subscription.id,
                version=_version(hub, subscription.plugin),
                state="disabled",
                reason=f"disabled by {subscription.note}",
            )
    for subscription in waiting:
        yield Absent(
            kind="handler",
            name=subscription.id,
            version=_version(hub, subscription.plugin),
            state="waiting",
            reason="no bus plugin takes it",
        )


def _absent_plugins(hub: Hub) -> Iterable[Absent]:
    for plugin in hub.plugins:
        if plugin.state == "disabled" or plugin.state == "quarantined":
            yield Absent(
                kind="plugin",
                name=plugin.name,
                version=plugin.version,
                state=plugin.state,
                reason=plugin.reason,
            )
