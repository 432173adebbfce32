"""The marks `@handles` and `@on_event`, and the registry where they wait for a hub.

A mark is an attribute on the function, so that the loader finds it in a plugin's module, class or
object. Functions at module level also wait in `registry`, because an application's handlers are
imported before any hub exists. The default hub adopts what waits there; other hubs never look, so
that what they run does not depend on what else was imported.

The registry is not in the `consumer` module, which exists twice under `python -m`.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import attrs

from vectis.core.catalogue import described
from vectis.core.exceptions import SubscriptionError
from vectis.core.forks import ForkSafeLock
from vectis.core.subscription import (
    DEFAULT_PRIORITY,
    Handler,
    Subscription,
    check_handler,
    check_options,
    check_pattern,
    check_timeout,
    handler_name,
)
from vectis.core.taking import Taken, taken
from vectis.core.trial import note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vectis.core.transport import Scope

__all__ = ["Mark", "Registry", "handles", "marked", "registry", "subscription"]

H = TypeVar("H", bound=Handler)

_MARKS = "__vectis_marks__"


class Adopter(Protocol):
    """What the registry hands everything to: a hub."""

    def adopt(self, handler: Handler, mark: Mark) -> None:
        """Subscribe a marked function, unless it is a plugin's own."""

    def take(self, made: Subscription) -> Subscription:
        """Take a subscription, unless it is a broken plugin's; return it as it is in force."""

    def unsubscribe(self, subscription: Subscription | str, handler: Handler | None = None) -> bool:
        """Stop a subscription."""


@attrs.frozen(kw_only=True)
class Mark:
    """What `@handles` or `@on_event` said about a function."""

    scope: Scope
    pattern: str
    options: dict[str, Any]
    event_class: type | None = None

    def subscription(self, handler: Handler, plugin: str) -> Subscription:
        """Make the subscription of a handler, a bound method for one marked inside a class."""
        named = self.event_class or self.pattern
        return subscription(self.scope, named, handler, plugin=plugin, **self.options)


def subscription(
    scope: Scope, pattern: str | type, handler: object, **options: Any
) -> Subscription:
    """Check pattern, handler and options, and make a subscription of them.

    Args:
        scope: `process` for the bus, `service` for the worker.
        pattern: An event type or pattern, or an event class.
        handler: What is called. What it is given is read from its signature.
        options: Further fields of the subscription.

    Raises:
        SubscriptionError: One of them does not fit; the message names it.
    """
    named, event_class = _named(scope, pattern)
    many = options.get("batch") is not None
    what = Taken("usual", event_class)
    if callable(handler):
        what = taken(handler, scope=scope, pattern=named, many=many, event_class=event_class)
    usual = ("event",) if scope == "process" else ("event_type", "payloads" if many else "payload")
    checked = check_handler(handler, usual if what.takes == "usual" else (what.takes,))
    check_options(handler_name(checked), options)
    check_timeout(checked, options.get("timeout"))
    return Subscription(
        scope=scope,
        pattern=named,
        handler=checked,
        name=handler_name(checked),
        takes=what.takes,
        event_class=what.event_class,
        **options,
    )


def handles(
    pattern: str | type,
    *,
    priority: int = DEFAULT_PRIORITY,
    once: bool = False,
    timeout: float | None = None,
    required: bool = False,
) -> Callable[[H], H]:
    """Mark a function as an in-process handler; it is called with the event.

    One that annotates its parameter with an event class, `event: OrderCreated`, is given an
    instance, made of the event's data.

    Args:
        pattern: An event type, a pattern such as `order.*`, or an event class for its type.
        priority: Lower runs earlier, ties in subscription order.
        once: Run for the first matching event only.
        timeout: Seconds after which it is cancelled and counts as failed.
        required: Its error is the emitter's.

    Raises:
        SubscriptionError: The pattern is none, or the function cannot be called with an event.

    Example:
        >>> from vectis.core import handles
        >>> @handles("order.*", priority=20)
        ... async def record(event): ...
    """
    options = {"priority": priority, "once": once, "timeout": timeout, "required": required}
    return _marker("handles", "process", pattern, options)


def on_event(
    event_type: str | type, *, topic: str | None = None, batch: int | None = None
) -> Callable[[H], H]:
    """Mark a function as a consuming handler: the worker calls it with event type and payload.

    One that takes a single parameter says by its annotation what it is given: an instance of an
    event class, `event: OrderCreated`, or the delivery as it came, `delivery: Delivery`.

    Delivery is at least once: the same event may come again after a crash. An error is retried; a
    payload that does not fit the class is set aside at once.

    Args:
        event_type: The event type, such as `order.created`, or the event class of it.
        topic: The topic it arrives on; needed only when neither the catalogue nor `[topics]` knows.
        batch: Call it with a list of up to so many payloads, each of another key, in the order in
            which they arrived. It does not wait for the list to fill up. `BatchFailed` tells which
            of them are to be retried.

    Raises:
        SubscriptionError: The type is none, or nobody can tell what the function takes.

    Example:
        >>> from vectis.core.events.consumer import on_event
        >>> @on_event("order.created")
        ... async def handle_order_created(event_type: str, payload: dict) -> None:
        ...     print(payload["order_id"])
    """
    return _marker("on_event", "service", event_type, {"topic": topic, "batch": batch})


def _named(scope: Scope, pattern: str | type) -> tuple[str, type | None]:
    """Return the event type or pattern that is meant, and the class when it was named by one."""
    if not isinstance(pattern, type):
        return _checked(scope, pattern), None
    known = described(pattern)
    if known is None:
        raise SubscriptionError(
            f"{pattern.__qualname__} is no event class: add @event_type(...) above it, or name an "
            "event type"
        )
    return known.name, pattern


def _without_brackets(mark: str, handler: Handler) -> SubscriptionError:
    return SubscriptionError(
        f"@{mark} above {handler_name(handler)} does not say which events: "
        f"write @{mark}('order.created')"
    )


def _checked(scope: Scope, pattern: str) -> str:
    if scope == "service" and "*" in check_pattern(pattern):
        # The worker skips and commits types that nobody handles: this one would match none of them.
        raise SubscriptionError(
            f"{pattern!r} is a pattern, and a consuming handler takes one event type, whose topic "
            "is known: mark the handler once for each, as in @on_event('order.created')"
        )
    return check_pattern(pattern)


def _marker(
    name: str, scope: Scope, pattern: str | type, options: dict[str, Any]
) -> Callable[[H], H]:
    if callable(pattern) and not isinstance(pattern, type):
        raise _without_brackets(name, pattern)
    named, event_class = _named(scope, pattern)
    mark = Mark(scope=scope, pattern=named, options=options, event_class=event_class)

    def apply(handler: H) -> H:
        name = handler_name(handler)
        check_options(name, mark.options)
        check_timeout(handler, mark.options.get("timeout"))
        if "." not in name:  # a method's object is not there yet
            mark.subscription(handler, "app")
            registry.add(handler, mark)
        setattr(handler, _MARKS, (*getattr(handler, _MARKS, ()), mark))
        return handler

    return apply


def marked(owner: object) -> Iterable[tuple[Handler, Mark]]:
    """Yield the marked handlers of a plugin's module or object, in the order they are written.

    Names that a module merely imported from elsewhere are left out.
    """
    if isinstance(owner, ModuleType):
        for value in list(vars(owner).values()):
            home = getattr(value, "__module__", None) or ""
            if callable(value) and f"{home}.".startswith(f"{owner.__name__}."):
                yield from ((value, mark) for mark in getattr(value, _MARKS, ()))
        return
    names = dict.fromkeys(name for cls in reversed(type(owner).__mro__) for name in vars(cls))
    for name in names:
        # Looked up on the class first, so that no property of the object is run.
        if getattr(getattr(type(owner), name, None), _MARKS, None):
            handler = getattr(owner, name)
            yield from ((handler, mark) for mark in getattr(handler, _MARKS, ()))


class Registry:
    """Registrations that wait for the default hub: marks, and subscriptions made on `event_bus`.

    The lock is held over a whole adoption: whoever subscribes or unsubscribes meanwhile in another
    thread finds everything either still here or already there.
    """

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._waiting: list[Subscription | tuple[Handler, Mark]] = []  # in the order they were made
        self._hub: Adopter | None = None

    def add(self, handler: Handler, mark: Mark) -> None:
        """Keep a mark, and hand it on at once when a hub has already adopted the others."""
        with self._lock:
            waits = (handler, mark)
            self._waiting.append(waits)
            note(lambda: self._drop(waits))
            if self._hub is not None:
                self._hub.adopt(handler, mark)

    def subscribe(self, subscription: Subscription) -> Subscription:
        """Hand a subscription to the hub that adopts them, or keep it until one does.

        Returns:
            The subscription as it is in force.
        """
        with self._lock:
            if self._hub is not None:
                return self._hub.take(subscription)
            self._waiting.append(subscription)
            note(lambda: self._drop(subscription))
            return subscription

    def _drop(self, waits: Subscription | tuple[Handler, Mark]) -> None:
        with self._lock:
            self._waiting = [other for other in self._waiting if other is not waits]

    def unsubscribe(self, subscription: Subscription | str, handler: Handler | None = None) -> bool:
        """Drop a subscription, here or at the hub, as `Hub.unsubscribe`; tell if there was one."""
        with self._lock:
            if self._hub is not None:
                return self._hub.unsubscribe(subscription, handler)
            before = len(self._waiting)
            self._waiting = [
                waiting
                for waiting in self._waiting
                if isinstance(waiting, tuple)
                or (
                    waiting != subscription
                    and (waiting.pattern != subscription or waiting.handler != handler)
                )
            ]
            return len(self._waiting) < before

    def waiting(self) -> tuple[Subscription, ...]:
        """Return the subscriptions that wait, in order."""
        with self._lock:
            return tuple(found for found in self._waiting if isinstance(found, Subscription))

    def adopt(self, hub: Adopter | None) -> None:
        """Hand everything to a hub in the order it was made, and later marks and subscriptions too.

        Marks stay here as well: they belong to modules, which are imported only once. When the hub
        refuses one, everything waits on for the next hub.

        Args:
            hub: Takes them; with None, what comes later waits again.
        """
        with self._lock:
            self._hub = None
            if hub is None:
                return
            for found in tuple(self._waiting):
                if isinstance(found, Subscription):
                    hub.take(found)
                else:
                    hub.adopt(*found)
            self._waiting = [found for found in self._waiting if isinstance(found, tuple)]
            self._hub = hub


registry = Registry()
