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

    def subscription(self, handler: Handler, plugin: str) -> Subscription:
        """Make the subscription of a handler, a bound method for one marked inside a class."""
        return subscription(self.scope, self.pattern, handler, plugin=plugin, **self.options)


def subscription(scope: Scope, pattern: str, handler: object, **options: Any) -> Subscription:
    """Check pattern, handler and options, and make a subscription of them.

    Raises:
        SubscriptionError: One of them does not fit; the message names it.
    """
    takes = ("event",) if scope == "process" else ("event_type", "payload")
    if options.get("batch") is not None:
        takes = ("event_type", "payloads")
    checked = check_handler(handler, takes)
    check_options(handler_name(checked), options)
    check_timeout(checked, options.get("timeout"))
    return Subscription(
        scope=scope,
        pattern=_checked(scope, pattern),
        handler=checked,
        name=handler_name(checked),
        **options,
    )


def handles(
    pattern: str,
    *,
    priority: int = DEFAULT_PRIORITY,
    once: bool = False,
    timeout: float | None = None,
    required: bool = False,
) -> Callable[[H], H]:
    """Mark a function as an in-process handler; it is called with the event.

    Args:
        pattern: An event type, or a pattern such as `order.*`.
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
    if callable(pattern):
        raise _without_brackets("handles", pattern)
    options = {"priority": priority, "once": once, "timeout": timeout, "required": required}
    return _marker(Mark(scope="process", pattern=check_pattern(pattern), options=options))


def on_event(
    event_type: str, *, topic: str | None = None, batch: int | None = None
) -> Callable[[H], H]:
    """Mark a function as a consuming handler: the worker calls it with event type and payload.

    Delivery is at least once: the same event may come again after a crash. An error is retried.

    Args:
        event_type: The event type, such as `order.created`.
        topic: The topic it arrives on; needed only when neither the catalogue nor `[topics]` knows.
        batch: Call it with a list of up to so many payloads, each of another key, in the order in
            which they arrived. It does not wait for the list to fill up. `BatchFailed` tells which
            of them are to be retried.

    Raises:
        SubscriptionError: The type is none, or the function does not take those two arguments.

    Example:
        >>> from vectis.core.events.consumer import on_event
        >>> @on_event("order.created")
        ... async def handle_order_created(event_type: str, payload: dict) -> None:
        ...     print(payload["order_id"])
    """
    if callable(event_type):
        raise _without_brackets("on_event", event_type)
    return _marker(
        Mark(
            scope="service",
            pattern=_checked("service", event_type),
            options={"topic": topic, "batch": batch},
        )
    )


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


def _marker(mark: Mark) -> Callable[[H], H]:
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
            self._waiting.append((handler, mark))
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
            return subscription

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
