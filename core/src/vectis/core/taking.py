"""What a handler takes, read once from its signature: the usual, an event class, or the delivery.

The usual is the event on the bus, event type and payload in the worker. How a payload becomes an
instance is `vectis.core.payloads`'s, and which version of it the catalogue's.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import attrs

from vectis.core.catalogue import EventType, described
from vectis.core.exceptions import SubscriptionError
from vectis.core.message import Delivery
from vectis.core.subscription import handler_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectis.core.subscription import Handler, Subscription, Takes
    from vectis.core.transport import Scope

__all__ = ["Taken", "is_async", "taken", "with_event"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_LISTS = (
    list,
    collections.abc.Sequence,
    collections.abc.Collection,
    collections.abc.Iterable,
)
_USUAL_NAMES = frozenset({"Event", "Any", "object"})


@attrs.frozen
class Taken:
    """What a handler is given; the fields are those of its subscription."""

    takes: Takes = "usual"
    event_class: type | None = None


@attrs.frozen
class _Unresolved:
    """An annotation that stands for nothing at run time."""

    text: str
    reason: str

    def means(self, cls: type) -> bool:
        """Tell whether it can only be this class, or a list of it."""
        return self.text.rstrip("]").rpartition("[")[2].rpartition(".")[2] == cls.__name__


def taken(
    handler: Handler,
    *,
    scope: Scope,
    pattern: str,
    many: bool = False,
    event_class: type | None = None,
) -> Taken:
    """Return what a handler is to be given.

    Args:
        handler: The handler.
        scope: `process` for the bus, `service` for the worker.
        pattern: The event type or pattern that it is subscribed to.
        many: Whether it takes several at once.
        event_class: The class that its mark named in place of an event type.

    Raises:
        SubscriptionError: It asks for something that it cannot be given; the message says how to
            write it.
    """
    usual = Taken("usual", event_class)
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):  # some callables written in C tell nothing about themselves
        return usual
    positional = [p for p in signature.parameters.values() if p.kind in _POSITIONAL]
    if not positional:
        return usual
    first, alone = positional[0], _takes(signature, 1)
    where = f"handler {handler_name(handler)}{signature}"
    wanted = _annotated(first, handler)
    if isinstance(wanted, _Unresolved) and event_class is not None and wanted.means(event_class):
        wanted = list[event_class] if many else event_class  # type: ignore[valid-type]
    if many and alone:
        wanted = _item_of(wanted, where)
    if wanted is Delivery:
        _check_alone(where, alone)
        return _delivery(where, scope, usual)
    if isinstance(wanted, type) and (known := described(wanted)) is not None:
        _check_alone(where, alone)
        _check_type(where, known, pattern)
        return Taken("class", wanted)
    if scope == "service" and _takes(signature, 2):
        _check_payload(where, positional[1:2], handler)
        return usual
    if not alone:
        return usual  # which it cannot take either: whoever asked says so
    if isinstance(wanted, type) and attrs.has(wanted):
        raise SubscriptionError(
            f"{where}: {wanted.__qualname__} is no event class: add @event_type(...) above it"
        )
    if isinstance(wanted, _Unresolved) and wanted.text.rpartition(".")[2] not in _USUAL_NAMES:
        raise SubscriptionError(
            f"{where}: {wanted.text!r} cannot be resolved ({wanted.reason}), and it decides what "
            "the handler is given: import it at run time, not below TYPE_CHECKING; of a class "
            "inside a function, let the mark name it, as in @on_event(OrderCreated)"
        )
    if scope == "process":
        return usual
    if event_class is not None and wanted is inspect.Parameter.empty:
        return Taken("class", event_class)
    raise SubscriptionError(_not_understood(where, handler_name(handler), many))


def with_event(subscription: Subscription) -> Handler:
    """Return what a bus calls with an event: the handler, or what makes it an instance first.

    Args:
        subscription: A handler of scope `process`.

    Raises:
        SubscriptionError: Its class has a type that cannot be read from JSON.

    Example:
        >>> import attrs
        >>> from vectis.core import Event, event_type
        >>> from vectis.core.marks import subscription
        >>> from vectis.core.taking import with_event
        >>> @event_type("order.created")
        ... @attrs.frozen
        ... class OrderCreated:
        ...     order_id: str
        >>> def record(event: OrderCreated) -> None:
        ...     print(event)
        >>> call = with_event(subscription("process", "order.created", record))
        >>> call(Event("order.created", {"order_id": "7"}))
        OrderCreated(order_id='7')
    """
    handler = subscription.handler
    if subscription.takes != "class":
        return handler
    from vectis.core.payloads import reader_of

    assert subscription.event_class is not None
    read = reader_of(subscription.event_class)
    call: Handler
    if is_async(handler):

        @functools.wraps(handler)
        async def call(event: Any) -> None:
            await handler(read(event.data))

    else:

        @functools.wraps(handler)
        def call(event: Any) -> Any:
            return handler(read(event.data))

    return call


def is_async(handler: Any) -> bool:
    """Tell whether calling a handler makes a coroutine."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - it is looked at, not tested for
    )


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _annotated(parameter: inspect.Parameter, handler: Handler) -> Any:
    """Return what a parameter's annotation stands for."""
    wanted = parameter.annotation
    if isinstance(wanted, str):
        try:
            wanted = eval(wanted, _names_of(handler))
        except Exception as error:  # whatever somebody wrote there
            return _Unresolved(parameter.annotation, f"{type(error).__name__}: {error}")
    return get_args(wanted)[0] if get_origin(wanted) is Annotated else wanted


def _names_of(handler: Any) -> dict[str, Any]:
    """Return the names that the annotations of a handler can mean."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    function: Callable[..., Any] = inspect.unwrap(handler)
    if not inspect.isroutine(function):
        function = type(function).__call__
    function = getattr(function, "__func__", function)
    names = dict(getattr(function, "__globals__", {}))
    if inspect.isfunction(function):
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            with suppress(ValueError):  # an empty one: it is assigned to further down
                names[name] = cell.cell_contents
    return names


def _item_of(wanted: Any, where: str) -> Any:
    if get_origin(wanted) in _LISTS and (arguments := get_args(wanted)):
        return arguments[0]
    if wanted is Delivery or (isinstance(wanted, type) and described(wanted)):
        raise SubscriptionError(
            f"{where}: with batch= it is given several: annotate list[{wanted.__qualname__}]"
        )
    return wanted


def _check_alone(where: str, alone: bool) -> None:
    if not alone:
        raise SubscriptionError(
            f"{where}: what takes an event class or the delivery is given nothing else; "
            "`vectis.core.events.current_event()` has the event's id and source"
        )


def _check_payload(where: str, second: list[inspect.Parameter], handler: Handler) -> None:
    wanted = _annotated(second[0], handler) if second else None
    if isinstance(wanted, type) and described(wanted) is not None:
        raise SubscriptionError(
            f"{where}: beside the event type a handler is given the payload as JSON values: write "
            f"it as (event: {wanted.__qualname__}) for an instance"
        )


def _check_type(where: str, known: EventType, pattern: str) -> None:
    if known.name != pattern:
        raise SubscriptionError(
            f"{where}: {known.cls.__qualname__} is the class of {known.name!r}, and the handler is "
            f"subscribed to {pattern!r}: name that type, or take what every event has"
        )


def _delivery(where: str, scope: Scope, usual: Taken) -> Taken:
    if scope == "process":
        raise SubscriptionError(
            f"{where}: on the bus there is no delivery: take the event, or use @on_event"
        )
    return Taken("delivery", usual.event_class)


def _not_understood(where: str, name: str, many: bool) -> str:
    name = name.rpartition(".")[2]
    forms = ("event_type, payload", "event: OrderCreated", "delivery: Delivery")
    if many:
        forms = ("event_type, payloads", "events: list[OrderCreated]", "batch: list[Delivery]")
    pair, typed, raw = (f"`async def {name}({form})`" for form in forms)
    return (
        f"{where} cannot be called with ({forms[0]}), and does not say what else it takes. Write "
        f"it as {pair}, {typed} or {raw}"
    )
