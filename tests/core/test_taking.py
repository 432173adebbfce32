"""What a handler is given is decided once, from its signature."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import pytest

from tests.core.worker_world import TOPIC
from vectis.core import Event, Hub, event_type
from vectis.core.exceptions import PayloadError, SubscriptionError
from vectis.core.marks import handles, on_event, subscription
from vectis.core.message import Delivery
from vectis.core.topics import topics_of_handler
from vectis_bus import Bus

if TYPE_CHECKING:
    from elsewhere import Hidden  # type: ignore[import-not-found]

    from vectis.core import Event as Renamed

pytestmark = pytest.mark.usefixtures("fresh")


@event_type("order.created", topic=TOPIC, key="order_id")
@attrs.frozen
class OrderCreated:
    order_id: str
    total: int = 0


@event_type("order.cancelled")
@attrs.frozen
class OrderCancelled:
    order_id: str


@attrs.frozen
class NoEvent:
    order_id: str


class Methods:
    def typed(self, event: OrderCreated) -> None: ...

    async def __call__(self, delivery: Delivery) -> None: ...


async def pair(event_type: str, payload: dict[str, Any]) -> None: ...
async def bare_pair(first, second): ...  # type: ignore[no-untyped-def]
async def rest(*arguments: Any) -> None: ...
async def typed(event: OrderCreated) -> None: ...
async def typed_with_default(event: OrderCreated, more: int = 3) -> None: ...
async def annotated(event: Annotated[OrderCreated, "the order"]) -> None: ...
async def raw(delivery: Delivery) -> None: ...


@functools.wraps(typed)
def wrapped(*arguments: Any) -> Any:
    return typed(*arguments)


@pytest.mark.parametrize(
    ("handler", "takes", "event_class"),
    [
        (pair, "usual", None),
        (bare_pair, "usual", None),
        (rest, "usual", None),
        (print, "usual", None),
        (typed, "class", OrderCreated),
        (typed_with_default, "class", OrderCreated),
        (annotated, "class", OrderCreated),
        (wrapped, "class", OrderCreated),
        (Methods().typed, "class", OrderCreated),
        (functools.partial(typed), "class", OrderCreated),
        (raw, "delivery", None),
        (Methods(), "delivery", None),
    ],
)
def test_a_consuming_handler_is_given_what_it_asks_for(
    handler: Any, takes: str, event_class: type | None
) -> None:
    made = subscription("service", "order.created", handler)
    assert (made.takes, made.event_class, made.handler) == (takes, event_class, handler)


def test_annotations_of_a_closure_are_resolved() -> None:
    here = OrderCreated

    async def handle(event: here) -> Any:  # type: ignore[valid-type]
        return here, later

    made = subscription("service", "order.created", handle)
    later = made.event_class
    assert later is OrderCreated


def test_a_class_inside_a_function_is_resolved_when_the_mark_names_it() -> None:
    @event_type("order.split")
    @attrs.frozen
    class Here:
        order_id: str

    async def one(event: Here) -> None: ...
    async def many(events: list[Here]) -> None: ...

    with pytest.raises(SubscriptionError, match="let the mark name it"):
        subscription("service", "order.split", one)
    assert subscription("service", Here, one).takes == "class"
    assert subscription("service", Here, many, batch=3).takes == "class"
    assert subscription("process", Here, one).takes == "class"


async def several(events: list[OrderCreated]) -> None: ...
async def sequence(events: Sequence[OrderCreated]) -> None: ...
async def deliveries(batch: list[Delivery]) -> None: ...


@pytest.mark.parametrize(
    ("handler", "takes"),
    [(several, "class"), (sequence, "class"), (deliveries, "delivery"), (pair, "usual")],
)
def test_a_batch_handler_takes_lists_of_the_same(handler: Any, takes: str) -> None:
    assert subscription("service", "order.created", handler, batch=10).takes == takes


async def unannotated(event): ...  # type: ignore[no-untyped-def]
async def of_a_dict(payload: dict[str, Any]) -> None: ...
async def of_no_event(event: NoEvent) -> None: ...
async def of_another_type(event: OrderCancelled) -> None: ...
async def of_what_is_hidden(event: Hidden) -> None: ...
async def of_a_typed_pair(event_type: str, payload: OrderCreated) -> None: ...
async def of_two(event: OrderCreated, delivery: Delivery) -> None: ...


@pytest.mark.parametrize(
    ("handler", "complaint"),
    [
        (
            unannotated,
            r"does not say what else it takes. Write it as `async def unannotated\(event_ty",
        ),
        (
            of_a_dict,
            r"`async def of_a_dict\(event: OrderCreated\)` or `async def of_a_dict\(delivery: ",
        ),
        (of_no_event, r"NoEvent is no event class: add @event_type"),
        (of_another_type, r"OrderCancelled is the class of 'order.cancelled', and .*'order.creat"),
        (of_what_is_hidden, r"'Hidden' cannot be resolved .* not below TYPE_CHECKING"),
        (of_two, r"is given nothing else"),
        (of_a_typed_pair, r"write it as \(event: OrderCreated\) for an instance"),
    ],
)
def test_a_signature_that_nobody_understands_is_refused_with_the_way_out(
    handler: Any, complaint: str
) -> None:
    with pytest.raises(SubscriptionError, match=complaint) as refused:
        subscription("service", "order.created", handler)
    assert handler.__name__ in str(refused.value)


def test_a_batch_handler_that_takes_one_is_refused() -> None:
    with pytest.raises(SubscriptionError, match=r"annotate list\[OrderCreated\]"):
        subscription("service", "order.created", typed, batch=10)
    with pytest.raises(SubscriptionError, match=r"events: list\[OrderCreated\]"):
        subscription("service", "order.created", unannotated, batch=10)


def of_event(event: Event) -> None: ...
def of_renamed(event: Renamed) -> None: ...
def of_any(event: Any) -> None: ...
def plain_typed(event: OrderCreated) -> None: ...


@pytest.mark.parametrize("handler", [of_event, of_any, unannotated])
def test_on_the_bus_the_event_is_the_default(handler: Any) -> None:
    assert subscription("process", "order.*", handler).takes == "usual"


@pytest.mark.parametrize("handler", [typed, plain_typed])
def test_on_the_bus_a_handler_may_take_the_class(handler: Any) -> None:
    assert subscription("process", "order.created", handler).takes == "class"


@pytest.mark.parametrize(
    ("handler", "complaint"),
    [
        (raw, "on the bus there is no delivery"),
        (of_no_event, "NoEvent is no event class"),
        (of_renamed, "'Renamed' cannot be resolved"),
    ],
)
def test_on_the_bus_what_cannot_be_given_is_refused(handler: Any, complaint: str) -> None:
    with pytest.raises(SubscriptionError, match=complaint):
        subscription("process", "order.created", handler)


def test_a_class_is_of_one_type_and_a_pattern_of_many() -> None:
    with pytest.raises(SubscriptionError, match=r"subscribed to 'order\.\*'"):
        subscription("process", "order.*", typed)


def test_a_mark_may_name_the_class() -> None:
    async def later(event):  # type: ignore[no-untyped-def]
        ...

    made = subscription("service", OrderCreated, later)
    assert (made.pattern, made.takes, made.event_class) == ("order.created", "class", OrderCreated)
    made = subscription("service", OrderCreated, pair)
    assert (made.takes, made.event_class) == ("usual", OrderCreated)
    assert subscription("process", OrderCreated, of_event).pattern == "order.created"
    for mark in (on_event, handles):
        with pytest.raises(SubscriptionError, match="NoEvent is no event class"):
            mark(NoEvent)


@pytest.mark.parametrize("named", ["order.created", OrderCreated])
def test_the_class_says_the_topic_when_nobody_else_does(named: str | type) -> None:
    hub = Hub({}, discover=False)
    made = hub.on_event(named, typed)
    (source,) = topics_of_handler(hub, made)
    assert (source.topic, source.origin) == (TOPIC, "OrderCreated of app:typed")
    said = Hub({"topics": {"elsewhere": ["order.created"]}}, discover=False)
    assert [s.topic for s in topics_of_handler(said, said.on_event(named, typed))] == ["elsewhere"]


@event_type("order.paid", topic=TOPIC)
@attrs.frozen
class Unreadable:
    of: object


async def of_unreadable(event: Unreadable) -> None: ...


@pytest.mark.parametrize("scope", ["process", "service"])
def test_a_class_that_cannot_be_read_is_refused_before_there_is_an_event(scope: str) -> None:
    hub = Hub({}, plugins={"bus": Bus()}, discover=False)
    subscribe: Any = hub.subscribe if scope == "process" else hub.on_event
    with pytest.raises(SubscriptionError, match=r"cannot be read as .*Unreadable"):
        subscribe("order.paid", of_unreadable)
    assert hub.subscriptions == ()


# ---------------------------------------------------------------- on the bus, as it runs


def test_the_bus_gives_instances_to_those_that_take_them_and_the_event_to_the_others() -> None:
    seen: list[Any] = []

    async def of_class(event: OrderCreated) -> None:
        seen.append(event)

    def plainly(event: OrderCreated) -> None:
        seen.append(event.order_id)

    def of_all(event: Event) -> None:
        seen.append(event.type)

    async def main() -> Any:
        async with Hub({}, plugins={"bus": Bus()}, discover=False) as hub:
            hub.subscribe(OrderCreated, of_class, timeout=30)
            hub.subscribe("order.created", plainly, once=True)
            hub.subscribe("order.*", of_all)
            await hub.emit(Event("order.created", {"order_id": "7", "total": 3}))
            return await hub.emit(Event("order.created", {"order_id": 8}))

    outcome = asyncio.run(main())
    assert seen == [OrderCreated("7", 3), "7", "order.created", "order.created"]
    (failure,) = outcome.failures
    assert isinstance(failure.error, PayloadError)
    assert str(failure.error) == "payload.order_id must be a string, not a number"
    assert failure.subscription.handler is of_class


def test_emit_sync_gives_instances_too() -> None:
    seen: list[Any] = []

    def plainly(event: OrderCreated) -> None:
        seen.append(event)

    hub = Hub({}, plugins={"bus": Bus()}, discover=False)
    hub.subscribe("order.created", plainly)
    hub.emit_sync(Event("order.created", {"order_id": "7"}))
    assert seen == [OrderCreated("7")]
    assert hub.unsubscribe("order.created", plainly)
