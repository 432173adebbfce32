"""What would happen to an event, as one value: who would be called, by which plugin, and why.

It holds nothing that is alive, so it may be kept, compared and written as JSON. How it is found out
is in `vectis.core.explain`.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs

__all__ = [
    "Absent",
    "ConsumerCall",
    "Explanation",
    "HandlerCall",
    "HookCall",
    "Publishing",
]


@attrs.frozen(kw_only=True)
class HookCall:
    """One plugin's implementation of a lifecycle hook.

    Args:
        hook: The hook's name.
        plugin: The plugin's name.
        version: Of its distribution; empty for one that was not installed.
        guard: Whether its error stops the operation; an observer's never does.
    """

    hook: str
    plugin: str
    version: str
    guard: bool


@attrs.frozen(kw_only=True)
class HandlerCall:
    """One handler that an emit would call.

    Args:
        number: Its place in the order, from 1.
        handler: `plugin:name`, as `[handlers]` in the config writes it.
        plugin: The plugin's name; `app` for the application itself.
        version: Of its distribution.
        pattern: The pattern that matched.
        priority: Lower runs earlier.
        once: It runs for the first matching event only.
        timeout: Seconds after which it is cancelled, or None.
        required: Its error is the emitter's.
        changed_by: Where the operator's config changed it, such as `vectis.toml:7`; else empty.
    """

    number: int
    handler: str
    plugin: str
    version: str
    pattern: str
    priority: int
    once: bool
    timeout: float | None
    required: bool
    changed_by: str


@attrs.frozen(kw_only=True)
class Publishing:
    """A topic that the event type is published to, and who would carry it there.

    Args:
        topic: The topic's name.
        origin: Who named it, such as `catalogue of commerce` or `vectis.toml:12`.
        forward: Whether an emit publishes there by itself; else only `publish_event` does.
        transport: The plugin that would carry it; None when no transport is available.
        version: Of that plugin's distribution.
        describe: What the transport says of itself.
        problem: Why publishing there would fail; else empty.
    """

    topic: str
    origin: str
    forward: bool
    transport: str | None = None
    version: str = ""
    describe: str = ""
    problem: str = ""


@attrs.frozen(kw_only=True)
class ConsumerCall:
    """A consuming handler that this installation knows.

    Args:
        handler: `plugin:name`.
        plugin: The plugin's name; `app` for the application itself.
        version: Of its distribution.
        topics: Where its events arrive; empty when nobody names a topic, and no worker starts then.
        origin: Who named the topics.
        priority: Lower is called earlier, among the handlers of a delivery.
        changed_by: Where the operator's config changed it, such as `vectis.toml:7`; else empty.
    """

    handler: str
    plugin: str
    version: str
    topics: tuple[str, ...]
    origin: str
    priority: int
    changed_by: str


@attrs.frozen(kw_only=True)
class Absent:
    """What would have had a part in it, and has not.

    Args:
        kind: A `handler`, or a whole `plugin`, whose handlers are unknown since it was not loaded.
        name: `plugin:name` of a handler, or the plugin's name.
        version: Of its distribution.
        state: `disabled`, `quarantined`, or `waiting` for a bus that is not there.
        reason: The config line, or the cause.
    """

    kind: Literal["handler", "plugin"]
    name: str
    version: str
    state: Literal["disabled", "quarantined", "waiting"]
    reason: str


@attrs.frozen(kw_only=True)
class Explanation:
    """What an emit and a publish of one event type would do, in order.

    Args:
        event_type: The event type.
        declared: Whether the catalogue, `[topics]` or a handler names it; a pattern is no name.
        similar: The nearest declared types, when it is not.
        described_by: The class in the catalogue, such as `shop.events.OrderCreated`; else empty.
        owner: The plugin that put it into the catalogue; else empty.
        version: The version of its schema; None without a class.
        hooks: The implemented lifecycle hooks, in the order in which their moments come.
        bus: The plugin that would run the handlers; None without one.
        bus_describe: What it says of itself.
        problem: Why an emit would fail; else empty.
        handlers: The handlers, in the order in which they run.
        publishing: Where it is published to.
        consumers: The handlers on the other side that are known here, in the order in which
            the worker calls them.
        group: The consumer group of this application's worker; None when unset.
        consumer_topics: `[consumer] topics`: what the worker reads instead, when given.
        absent: What would have had a part in it.
    """

    event_type: str
    declared: bool
    similar: tuple[str, ...]
    described_by: str
    owner: str
    version: int | None
    hooks: tuple[HookCall, ...]
    bus: str | None
    bus_describe: str
    problem: str
    handlers: tuple[HandlerCall, ...]
    publishing: tuple[Publishing, ...]
    consumers: tuple[ConsumerCall, ...]
    group: str | None
    consumer_topics: tuple[str, ...]
    absent: tuple[Absent, ...]

    def implementing(self, *hooks: str) -> tuple[HookCall, ...]:
        """Return the implementations of some hooks, in call order."""
        return tuple(call for call in self.hooks if call.hook in hooks)

    def plain(self) -> dict[str, Any]:
        """Return it as dicts, tuples, strings and numbers, ready to be written as JSON."""
        return attrs.asdict(self)
