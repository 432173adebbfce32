"""Who publishes what, where it travels and who handles it: the data behind `vectis graph`.

Four layers from left to right: publishers, event types, topics, handlers; a plugin stands at both
ends. How that is written down, as a tree, as Mermaid or as SVG, is the command's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs

from vectis.core.absence import missing_bus
from vectis.core.exceptions import TransportError
from vectis.core.subscription import by_priority, pattern_matches
from vectis.core.topics import topics_of, topics_of_handler
from vectis.core.transport import Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vectis.core.hub import Hub
    from vectis.core.subscription import Subscription

__all__ = ["LAYERS", "UNDECLARED", "Absentee", "Edge", "Graph", "Layer", "Node", "graph"]

Layer = Literal["publisher", "event", "topic", "handler"]

LAYERS: tuple[Layer, ...] = ("publisher", "event", "topic", "handler")

UNDECLARED = "undeclared"
"""The publisher of event types that no plugin declares; whoever emits them is not known."""


@attrs.frozen(kw_only=True)
class Node:
    """One thing in the picture.

    Args:
        id: Its layer and name, such as `topic:vectis.orders`.
        layer: What it is.
        label: Its name.
        plugin: Whose it is: the publisher itself, a handler's plugin, a topic's transport.
        note: What else there is to say, such as `disabled by vectis.toml:7`; else empty.
        enabled: False for a handler that the operator disabled.
        waits: True for an enabled handler on the bus when there is no bus to call it.
    """

    id: str
    layer: Layer
    label: str
    plugin: str = ""
    note: str = ""
    enabled: bool = True
    waits: bool = False

    @property
    def idle(self) -> bool:
        """Whether nobody calls this handler: it is disabled, or waits for a bus."""
        return self.waits or not self.enabled


@attrs.frozen(kw_only=True)
class Edge:
    """A way that an event takes from one node to another.

    Args:
        source: The id of a node.
        target: That of one in a later layer.
        label: What is special about it: `forwarded`, or the event type that a handler of the worker
            takes from a topic; else empty.
        priority: That of the handler to which it leads; None when it leads to none.
    """

    source: str
    target: str
    label: str = ""
    priority: int | None = None

    @property
    def text(self) -> str:
        """What to write beside it: label and priority."""
        priority = "" if self.priority is None else str(self.priority)
        return ", ".join(filter(None, [self.label, priority]))


@attrs.frozen(kw_only=True)
class Absentee:
    """A plugin that is in no layer, because it is not loaded.

    Args:
        plugin: Its name.
        state: `disabled` or `quarantined`.
        reason: Why.
    """

    plugin: str
    state: str
    reason: str

    @property
    def why(self) -> str:
        """What to put behind `it is`."""
        return self.reason if self.state == "disabled" else f"{self.state}: {self.reason}"


@attrs.frozen(kw_only=True)
class Graph:
    """The whole picture.

    Args:
        nodes: Layer by layer, sorted by name in each.
        edges: In the order of their sources.
        bus: The plugin that takes events straight to their handlers; None without one.
        absent: The plugins that are not loaded.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    bus: str | None
    absent: tuple[Absentee, ...]

    def layer(self, layer: Layer) -> tuple[Node, ...]:
        """Return the nodes of one layer."""
        return tuple(node for node in self.nodes if node.layer == layer)

    def after(self, node: Node) -> list[tuple[Edge, Node]]:
        """Return the edges that leave a node, each with where it leads."""
        known = {other.id: other for other in self.nodes}
        return [(edge, known[edge.target]) for edge in self.edges if edge.source == node.id]

    def plain(self) -> dict[str, Any]:
        """Return it as dicts, tuples and strings, ready to be written as JSON."""
        return attrs.asdict(self)


def graph(hub: Hub) -> Graph:
    """Return the picture of an assembled hub.

    Args:
        hub: Its handlers must be registered already.

    Example:
        >>> from vectis.core import Hub, handles
        >>> from vectis.core.graph import graph
        >>> class Audit:
        ...     @handles("order.created", priority=10)
        ...     def record(self, event): ...
        >>> drawn = graph(Hub({}, plugins={"audit": Audit}, discover=False))
        >>> [(edge.source, edge.target, edge.priority) for edge in drawn.edges][-1]
        ('event:order.created', 'handler:audit:Audit.record', 10)
    """
    edges = {(e.source, e.target, e.text): e for name in _types(hub) for e in _edges(hub, name)}
    nodes = {node.id: node for name in _types(hub) for node in _around(hub, name)}
    busless = missing_bus(hub) is not None
    nodes |= {f"handler:{s.id}": _handler(s, busless) for s in hub.subscriptions}
    return Graph(
        nodes=tuple(sorted(nodes.values(), key=lambda n: (LAYERS.index(n.layer), n.label))),
        edges=tuple(edges.values()),
        bus=_carrier(hub, Route("process", "vectis.graph"))[0],
        absent=tuple(
            Absentee(plugin=plugin.name, state=plugin.state, reason=plugin.reason)
            for plugin in hub.plugins
            if plugin.state != "loaded"
        ),
    )


def _types(hub: Hub) -> list[str]:
    """Return every event type that is known, and the patterns that match none of those."""
    names = {known.name for known in hub.catalogue}
    names.update(*hub.topics.values())
    patterns = {subscription.pattern for subscription in hub.subscriptions}
    names |= {pattern for pattern in patterns if "*" not in pattern}
    unmatched = {p for p in patterns if not any(pattern_matches(p, name) for name in names)}
    return sorted(names | unmatched)


def _around(hub: Hub, name: str) -> Iterator[Node]:
    known = hub.catalogue.find(name)
    publisher = known.plugin if known else UNDECLARED
    note = "" if known else "types that no plugin declares"
    yield Node(
        id=f"publisher:{publisher}", layer="publisher", label=publisher, plugin=publisher, note=note
    )
    yield Node(id=f"event:{name}", layer="event", label=name, plugin=known.plugin if known else "")
    for topic in _topics(hub, name):
        transport, problem = _carrier(hub, Route("service", topic))
        note = f"carried by {transport}" if transport else problem or "no transport"
        yield Node(
            id=f"topic:{topic}", layer="topic", label=topic, plugin=transport or "", note=note
        )


def _handler(subscription: Subscription, busless: bool) -> Node:
    waits = busless and subscription.scope == "process" and subscription.enabled
    note = "" if subscription.enabled else f"disabled by {subscription.note}"
    return Node(
        id=f"handler:{subscription.id}",
        layer="handler",
        label=subscription.id,
        plugin=subscription.plugin,
        note="waits for a bus" if waits else note,
        enabled=subscription.enabled,
        waits=waits,
    )


def _edges(hub: Hub, name: str) -> Iterator[Edge]:
    known = hub.catalogue.find(name)
    event = f"event:{name}"
    yield Edge(source=f"publisher:{known.plugin if known else UNDECLARED}", target=event)
    for subscription in by_priority(s for s in hub.subscriptions if s.scope == "process"):
        if subscription.pattern == name or pattern_matches(subscription.pattern, name):
            handler = f"handler:{subscription.id}"
            yield Edge(source=event, target=handler, priority=subscription.priority)
    for topic in _topics(hub, name):
        forwarded = known is not None and known.forward and topic == known.topic
        yield Edge(source=event, target=f"topic:{topic}", label="forwarded" * forwarded)
        for subscription in _consuming(hub, name):
            if topic in _read(hub, subscription):
                handler = f"handler:{subscription.id}"
                priority = subscription.priority
                yield Edge(source=f"topic:{topic}", target=handler, label=name, priority=priority)


def _consuming(hub: Hub, name: str) -> list[Subscription]:
    found = (s for s in hub.subscriptions if s.scope == "service" and s.pattern == name)
    return by_priority(found)


def _topics(hub: Hub, name: str) -> list[str]:
    known = hub.catalogue.find(name)
    found = [source.topic for source in topics_of(hub, name)]
    found += [known.topic] if known is not None and known.topic else []
    for subscription in _consuming(hub, name):
        found += _read(hub, subscription)
    return list(dict.fromkeys(found))


def _read(hub: Hub, subscription: Subscription) -> list[str]:
    named = [source.topic for source in topics_of_handler(hub, subscription)]
    return named or list(hub.consumer_settings.topics)


def _carrier(hub: Hub, route: Route) -> tuple[str | None, str]:
    try:
        offer = hub.routing.offer(route)
    except TransportError as error:
        return None, str(error)
    return (offer.plugin, "") if offer else (None, "")
