"""The worker gives handlers what they ask for: instances, deliveries, lists of them."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import attrs
import pytest

from tests.core.worker_world import TOPIC, Shop
from vectis.core import event_type
from vectis.core.events import current_event, current_events
from vectis.core.message import Delivery, Message
from vectis.core.worker import Worker

made: list[str] = []


def _noted(value: str) -> str:
    made.append(value)
    return value


@event_type("order.created", topic=TOPIC, key="order_id")
@attrs.frozen
class OrderCreated:
    order_id: str = attrs.field(converter=_noted)
    total: Decimal


@attrs.frozen
class Label:
    text: str


@event_type("order.created", topic=TOPIC)
@attrs.frozen
class Labelled:
    """Another view of the same event."""

    order_id: str
    label: Label | None = None


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.fixture(autouse=True)
def _nothing_made() -> None:
    made.clear()


async def send(shop: Shop, *payloads: Any, keys: bool = False) -> None:
    for number, payload in enumerate(payloads):
        await shop.hub.publish(TOPIC, "order.created", payload, str(number) if keys else "7")


def order(number: int, **more: Any) -> dict[str, Any]:
    return {"order_id": str(number), "total": "1.50", **more}


def test_a_handler_takes_the_class_another_the_pair_and_a_third_the_delivery() -> None:
    seen: list[Any] = []

    async def typed(event: OrderCreated) -> None:
        found = current_event()
        seen.append((event, found is not None and found.type))

    async def pair(event_type: str, payload: dict[str, Any]) -> None:
        seen.append((event_type, payload["order_id"]))

    async def raw(delivery: Delivery) -> None:
        seen.append((delivery.place, delivery.value))

    async def main() -> None:
        shop = Shop(hooks=False)
        for handler in (typed, pair, raw):
            shop.on("order.created", handler)
        await send(shop, order(7))
        await shop.work(lambda: len(seen) == 3)

    asyncio.run(main())
    assert seen == [
        (OrderCreated("7", Decimal("1.50")), "order.created"),
        ("order.created", "7"),
        (f"{TOPIC}/0@0", b'{"order_id":"7","total":"1.50"}'),
    ]


@pytest.mark.parametrize("hooks", [True, False])
def test_an_instance_is_made_once_for_all_handlers_of_a_class(hooks: bool) -> None:
    seen: list[OrderCreated] = []

    async def waits(event: OrderCreated) -> None:
        await asyncio.sleep(0)
        seen.append(event)

    def in_a_thread(event: OrderCreated) -> None:
        seen.append(event)

    async def main() -> None:
        shop = Shop(hooks=hooks, concurrency=10)
        for handler in (waits, in_a_thread, waits):
            shop.on("order.created", handler)
        await send(shop, *map(order, range(5)), keys=True)
        await shop.work(lambda: len(seen) == 15)

    asyncio.run(main())
    assert sorted(made) == ["0", "1", "2", "3", "4"]
    assert len({id(event) for event in seen}) == 5


def test_a_payload_that_does_not_fit_is_set_aside_at_once_and_the_others_go_on() -> None:
    seen: list[Any] = []

    async def typed(event: OrderCreated) -> None:
        seen.append(event.order_id)

    async def pair(event_type: str, payload: dict[str, Any]) -> None:
        seen.append(payload["total"])

    async def main() -> tuple[Shop, list[Delivery]]:
        shop = Shop(max_attempts=5, on_exhausted="block")
        shop.on("order.created", typed)
        shop.on("order.created", pair)
        await send(shop, {"order_id": "7", "total": 1}, order(8))
        await shop.work(shop.finished(2))
        return shop, await shop.letters()

    shop, letters = asyncio.run(main())
    assert seen == [1, "8", "1.50"]
    (letter,) = letters
    headers = dict(letter.headers)
    assert headers["vectis_dlq_handler"].endswith(b"typed")
    assert headers["vectis_dlq_attempts"] == b"1"
    assert headers["vectis_dlq_error"] == (
        b"PayloadError: payload.total must be a string with a decimal number, not a number"
    )
    assert letter.value == b'{"order_id":"7","total":1}'
    assert (shop.report.retried, shop.report.dead_lettered) == (0, 1)
    assert [outcome.status for outcome in shop.diary.outcomes] == ["dead_lettered", "handled"]


def test_two_classes_of_one_type_are_two_views_of_it() -> None:
    seen: list[Any] = []

    async def first(event: OrderCreated) -> None:
        seen.append(event)

    async def second(event: Labelled) -> None:
        seen.append(event)

    async def main() -> list[Delivery]:
        shop = Shop()
        shop.on("order.created", first)
        shop.on("order.created", second)
        await send(shop, order(1, label={"text": "x"}), order(2, label={"text": 3}))
        await shop.work(shop.finished(2))
        return await shop.letters()

    letters = asyncio.run(main())
    assert seen == [
        OrderCreated("1", Decimal("1.50")),
        Labelled("1", Label("x")),
        OrderCreated("2", Decimal("1.50")),
    ]
    assert b"payload.label.text must be" in dict(letters[0].headers)["vectis_dlq_error"]


def test_a_tombstone_does_not_fit_a_class_and_has_no_value_as_a_delivery() -> None:
    seen: list[Any] = []

    async def typed(event: OrderCreated) -> None:
        seen.append(event)

    async def raw(delivery: Delivery) -> None:
        seen.append(delivery.value)

    async def main() -> list[Delivery]:
        shop = Shop()
        shop.on("order.created", typed)
        shop.on("order.created", raw)
        headers = tuple(
            (f"ce_{name}", text)
            for name, text in (
                ("specversion", b"1.0"),
                ("id", b"1"),
                ("source", b"shop"),
                ("type", b"order.created"),
            )
        )
        await shop.put(Message(TOPIC, b"7", None, headers))
        await shop.work(shop.finished(1))
        return await shop.letters()

    (letter,) = asyncio.run(main())
    assert seen == [None]
    assert b"payload must be an object, not null" in dict(letter.headers)["vectis_dlq_error"]


def test_another_attempt_has_an_instance_of_its_own_and_its_number_in_the_delivery() -> None:
    instances: list[OrderCreated] = []
    attempts: list[int] = []

    async def typed(event: OrderCreated) -> None:
        instances.append(event)
        if len(instances) == 1:
            raise OSError("not now")

    async def raw(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        if len(attempts) == 1:
            raise OSError("not now")

    async def main() -> None:
        shop = Shop()
        shop.on("order.created", typed)
        shop.on("order.created", raw)
        await send(shop, order(7))
        await shop.work(shop.finished(1))

    asyncio.run(main())
    assert instances[0] == instances[1]
    assert instances[0] is not instances[1]
    assert attempts == [1, 2]


@pytest.mark.parametrize("in_thread", [False, True])
def test_a_batch_handler_takes_instances_and_one_that_does_not_fit_fails_no_other(
    in_thread: bool,
) -> None:
    seen: list[str] = []
    ids: list[int] = []

    async def on_loop(events: list[OrderCreated]) -> None:
        seen.extend(event.order_id for event in events)
        ids.append(len(current_events()) - len(events))

    def plainly(events: list[OrderCreated]) -> None:
        seen.extend(event.order_id for event in events)

    async def main() -> tuple[Shop, list[Delivery]]:
        shop = Shop()
        shop.on("order.created", plainly if in_thread else on_loop, batch=10)
        await send(shop, order(1), {"order_id": "2"}, order(3), keys=True)
        await shop.work(shop.finished(3))
        return shop, await shop.letters()

    shop, letters = asyncio.run(main())
    assert sorted(seen) == ["1", "3"]
    assert set(ids) <= {0}
    (letter,) = letters
    assert dict(letter.headers)["vectis_dlq_error"] == b"PayloadError: payload.total is missing"
    assert shop.report.handled == 2


@pytest.mark.parametrize("error", [SystemExit(3), Unspeakable()], ids=["the end", "no text"])
@pytest.mark.parametrize("batch", [None, 10])
def test_whatever_a_class_raises_of_a_payload_fails_no_other(
    error: BaseException, batch: int | None
) -> None:
    def checked(value: str) -> str:
        if value == "2":
            raise error
        return value

    @event_type("order.created", topic=TOPIC)
    @attrs.frozen
    class Checked:
        order_id: str = attrs.field(converter=checked)

    seen: list[str] = []

    async def one(event: Any) -> None:
        seen.append(event.order_id)

    async def several(events: Any) -> None:
        seen.extend(event.order_id for event in events)

    one.__annotations__["event"] = Checked
    several.__annotations__["events"] = list[Checked]

    async def main() -> Shop:
        shop = Shop(max_attempts=2)
        shop.on("order.created", one if batch is None else several, batch=batch)
        await send(shop, order(1), order(2), order(3), keys=True)
        await shop.work(shop.finished(3))
        return shop

    shop = asyncio.run(main())
    assert sorted(seen) == ["1", "3"]
    assert (shop.report.handled, shop.report.dead_lettered) == (2, 1)


def test_a_batch_handler_takes_deliveries() -> None:
    seen: list[int] = []

    async def store(batch: list[Delivery]) -> None:
        seen.extend(delivery.offset for delivery in batch)

    async def main() -> None:
        shop = Shop()
        shop.on("order.created", store, batch=10)
        await send(shop, order(1), order(2), keys=True)
        await shop.work(shop.finished(2))

    asyncio.run(main())
    assert sorted(seen) == [0, 1]


def test_a_handler_that_takes_the_class_of_its_mark_finds_its_topic_there() -> None:
    seen: list[OrderCreated] = []

    async def typed(event):  # type: ignore[no-untyped-def]
        seen.append(event)

    async def main() -> None:
        shop = Shop(hooks=False)
        shop.hub.on_event(OrderCreated, typed)
        await send(shop, order(7))
        await shop.work(lambda: len(seen) == 1, worker=Worker(shop.hub))

    asyncio.run(main())
    assert seen == [OrderCreated("7", Decimal("1.50"))]
