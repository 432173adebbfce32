"""A handler with its pattern, priority, owner and policy, and the rules at registration."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

import attrs

from vectis.core.exceptions import SubscriptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vectis.core.transport import Scope

__all__ = [
    "APP",
    "DEFAULT_PRIORITY",
    "Handler",
    "Subscription",
    "Takes",
    "by_priority",
    "check_pattern",
    "pattern_matches",
]

Handler = Callable[..., Any]

Takes = Literal["usual", "class", "delivery"]
"""What a handler is given: the event on the bus, type and payload in the worker; an instance of an
event class; or, in the worker, the delivery."""

APP = "app"
"""The owner of handlers that the application registered itself rather than through a plugin."""

DEFAULT_PRIORITY = 50

_PATTERN = re.compile(r"(\*|[^\s.*]+)(\.(\*|[^\s.*]+))*")


def check_pattern(pattern: object) -> str:
    """Return the pattern, or say why it is none.

    A pattern is an event type (`order.created`) in which whole segments may be `*`. A `*` at the
    end stands for one or more segments, elsewhere for exactly one; `*` alone matches every type.

    Raises:
        SubscriptionError: Not a string, empty, or a `*` beside other characters (`ord*`).

    Example:
        >>> from vectis.core.subscription import check_pattern
        >>> check_pattern("order.*")
        'order.*'
        >>> check_pattern("ord*")
        Traceback (most recent call last):
        ...
        vectis.core.exceptions.SubscriptionError: 'ord*' is no event type or pattern: segments are \
separated by dots, and a '*' stands for a whole segment, as in 'order.*'
    """
    if not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern):
        raise SubscriptionError(
            f"{pattern!r} is no event type or pattern: segments are separated by dots, "
            "and a '*' stands for a whole segment, as in 'order.*'"
        )
    return str.__str__(pattern)  # a member of an enum of strings compares and hashes its own way


def pattern_matches(pattern: str, event_type: str) -> bool:
    """Tell whether a pattern matches an event type.

    Example:
        >>> from vectis.core.subscription import pattern_matches
        >>> pattern_matches("order.*", "order.created"), pattern_matches("order.*", "order")
        (True, False)
        >>> pattern_matches("*.created", "order.created"), pattern_matches("*", "order.line.added")
        (True, True)
    """
    if pattern == event_type or pattern == "*":
        return True
    if "*" not in pattern:
        return False
    wanted, have = pattern.split("."), event_type.split(".")
    if wanted[-1] == "*" and len(have) > len(wanted):
        have = have[: len(wanted)]
    return len(wanted) == len(have) and all(
        segment in ("*", actual) for segment, actual in zip(wanted, have, strict=True)
    )


def handler_name(handler: Handler) -> str:
    """Return the name a handler goes by in `[handlers."plugin:NAME"]`, in logs and in `explain`."""
    name = getattr(handler, "__qualname__", None) or type(handler).__qualname__
    return name.rpartition("<locals>.")[2]


def check_handler(handler: object, takes: tuple[str, ...]) -> Handler:
    """Return the handler, or say why it cannot be called with the arguments that `takes` names.

    Raises:
        SubscriptionError: Not callable, or a signature that does not fit; its parameters are named.
    """
    expected = ", ".join(takes)
    if not callable(handler):
        raise SubscriptionError(f"a handler must be callable with ({expected}), not {handler!r}")
    if _yields(handler) or _yields(getattr(handler, "__call__", None)):  # noqa: B004 - looked at
        raise SubscriptionError(
            f"handler {handler_name(handler)} has a `yield`, so calling it would run nothing: "
            "write it without"
        )
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):  # some callables written in C tell nothing about themselves
        return handler
    try:
        signature.bind(*takes)
    except TypeError as error:
        name = handler_name(handler)
        raise SubscriptionError(
            f"handler {name}{signature} cannot be called with ({expected}): {error}. "
            f"Write it as `async def {name.rpartition('.')[2]}({expected})`"
        ) from None
    return handler


def _yields(function: object) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Say which option of a subscription has a value that it cannot have.

    Args:
        name: The handler's name, for the message.
        options: Those given, by name.

    Raises:
        SubscriptionError: One does not fit; handler and option are named.
    """
    for option, value in options.items():
        if option in _RULES:
            fits, wanted = _RULES[option]
            if not fits(value):
                raise SubscriptionError(f"handler {name}: {option} must be {wanted}, not {value!r}")


def check_timeout(handler: Handler, timeout: float | None) -> None:
    """Refuse a timeout for a handler that nobody can cancel.

    Whatever is not `async def`, nor wraps such a function as `functools.wraps` does, counts as
    plain, a lambda that calls one too.

    Raises:
        SubscriptionError: The handler is plain.
    """
    function = inspect.unwrap(handler)
    if timeout is None or inspect.iscoroutinefunction(function):
        return
    if not inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004 - its kind
        raise SubscriptionError(
            f"handler {handler_name(handler)}: a timeout cancels, and a plain function cannot be "
            "cancelled: make it `async def`, or leave timeout out"
        )


def _is_timeout(value: object) -> bool:
    if value is None:
        return True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and value > 0


_BOOLEAN = (lambda value: isinstance(value, bool), "True or False")
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "priority": (
        lambda value: isinstance(value, int) and not isinstance(value, bool),
        "a whole number, lower runs earlier",
    ),
    "timeout": (_is_timeout, "a positive number of seconds, or None for none"),
    "once": _BOOLEAN,
    "required": _BOOLEAN,
    "topic": (
        lambda value: value is None or (isinstance(value, str) and value != ""),
        "the name of a topic, or None",
    ),
    "batch": (
        lambda value: (
            value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0)
        ),
        "how many payloads it takes at once, 1 or more, or None for one by one",
    ),
}

_serials = count()


@attrs.frozen(kw_only=True, eq=False)
class Subscription:
    """A handler with its pattern, priority, owner plugin and policy.

    The same handler may be subscribed twice, so two subscriptions are equal only when one is the
    other as the operator's config changed it.

    Args:
        scope: `process` for the bus, `service` for the worker.
        pattern: An event type, or a pattern such as `order.*` (`process` only).
        handler: What is called.
        plugin: The owner's name; `app` for the application itself.
        name: The handler's name; `plugin:name` is what `[handlers]` in the config calls it.
        priority: Lower runs earlier, ties in subscription order.
        once: Run for the first matching event only.
        timeout: Seconds after which the handler is cancelled and counts as failed; None for none.
        required: An error of this handler is the emitter's.
        topic: `service` only: the topic its events arrive on, when the handler says so itself.
        batch: `service` only: it takes a list of up to so many payloads; None for one by one.
        takes: What it is given: `usual`, `class` or `delivery`; of a batch handler, lists of them.
        event_class: The event class that its mark or its signature names; None when neither does.
        enabled: False when the operator's config switched it off; it is shown and never run.
        note: Where the operator's config changed it, such as `vectis.toml:7`.
        serial: Numbers subscriptions in the order they were made.
    """

    scope: Scope
    pattern: str
    handler: Handler
    plugin: str = APP
    name: str
    priority: int = DEFAULT_PRIORITY
    once: bool = False
    timeout: float | None = None
    required: bool = False
    topic: str | None = None
    batch: int | None = None
    takes: Takes = "usual"
    event_class: type | None = None
    enabled: bool = True
    note: str = ""
    serial: int = attrs.field(factory=_serials.__next__, repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subscription) and other.serial == self.serial

    def __hash__(self) -> int:
        return self.serial

    @property
    def id(self) -> str:
        """`plugin:name`, as `[handlers]` in the config writes it."""
        return f"{self.plugin}:{self.name}"

    def __str__(self) -> str:
        return f"{self.id} on {self.pattern}"


def by_priority(subscriptions: Iterable[Subscription]) -> list[Subscription]:
    """Return subscriptions in the order in which they run: ties as they were given.

    Args:
        subscriptions: In the order they were made, as a hub has them.

    Example:
        >>> from vectis.core import Hub
        >>> from vectis.core.subscription import by_priority
        >>> hub = Hub({"handlers": {"app:second": {"priority": 5}}}, discover=False)
        >>> def first(event_type, payload): ...
        >>> def second(event_type, payload): ...
        >>> made = [hub.on_event("order.created", handler) for handler in (first, second)]
        >>> [subscription.name for subscription in by_priority(made)]
        ['second', 'first']
    """
    return sorted(subscriptions, key=lambda subscription: subscription.priority)
