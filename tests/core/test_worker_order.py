"""What keeps its order, what waits for nobody, and what is committed meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.core.worker_world import LETTERS, TOPIC, Doors, FailingTransport, Shop, eventually
from vectis.core.exceptions import Reject, RetryLater

if TYPE_CHECKING:
    from vectis.core.message import Receipt

KEYS = ("a", "a", "b", None, None)
"""The keys of the deliveries 0 to 4."""


@pytest.mark.parametrize(
    ("order", "begun"),
    [("key", {0, 2, 3, 4}), ("partition", {0}), ("none", {0, 1, 2, 3, 4})],
)
def test_what_keeps_its_order_waits_for_the_one_before_and_nothing_else_does(
    order: str, begun: set[int]
) -> None:
    shop, doors = Shop(order=order), Doors(0, 3)
    shop.on("order.created", doors)

    async def main() -> None:
        for number, key in enumerate(KEYS):
            await shop.publish(number, key=key)
        async with shop.at_work() as worker:
            await eventually(lambda: worker.status().in_flight == len(KEYS))
            await eventually(lambda: set(doors.began) == begun)
            await eventually(lambda: set(doors.ended) == begun - {0, 3})
            assert set(doors.began) == begun
            assert shop.committed() == {}, "the first is not finished"
            doors.open()
            await eventually(lambda: shop.committed() == {0: len(KEYS)})

    asyncio.run(main())
    if order == "partition":
        assert doors.ended == list(range(len(KEYS)))


def test_the_order_of_a_partition_holds_no_other_partition_up() -> None:
    shop, doors = Shop(order="partition", partitions=2), Doors(0)
    shop.on("order.created", doors)

    async def main() -> None:
        receipts: list[Receipt] = []
        for number in range(20):
            receipt = await shop.hub.publish(TOPIC, "order.created", {"n": number}, str(number))
            assert receipt is not None
            receipts.append(receipt)
        first = receipts[0].partition
        others = {n for n, receipt in enumerate(receipts) if receipt.partition != first}
        assert others
        async with shop.at_work():
            await eventually(lambda: set(doors.ended) == others)
            doors.open()
            await eventually(lambda: len(doors.ended) == 20)

    asyncio.run(main())


@pytest.mark.parametrize("hooks", [True, False], ids=["hooks", "no hooks"])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("tried again in an hour"),
        RetryLater(3600),
        Reject("its dead letter cannot be written"),
    ],
    ids=["a failed attempt", "RetryLater", "a letter that cannot be written"],
)
def test_what_waits_for_another_time_holds_its_key_and_nobody_else(
    error: Exception, hooks: bool
) -> None:
    shop, began = Shop(concurrency=1, retry_initial=3600, retry_max=3600, hooks=hooks), list[int]()
    shop.transport.failing.add(LETTERS)

    async def first_fails(event_type: str, payload: dict[str, Any]) -> None:
        began.append(payload["n"])
        if payload["n"] == 0:
            raise error

    shop.on("order.created", first_fails)

    async def main() -> None:
        for number, key in enumerate(KEYS):
            await shop.publish(number, key=key)
        async with shop.at_work() as worker:
            await eventually(lambda: began == [0, 2, 3, 4] and worker.status().retrying == 1)
            assert worker.status().in_flight == len(KEYS)

    asyncio.run(main())
    assert began == [0, 2, 3, 4]
    assert shop.committed() == {}
    assert shop.report.clean


def test_no_wait_is_longer_than_the_longest() -> None:
    shop, calls = Shop(retry_initial=3600, retry_max=0.001), list[int]()

    async def third_time_lucky(event_type: str, payload: dict[str, Any]) -> None:
        calls.append(payload["n"])
        if len(calls) < 3:
            raise ValueError("not yet")

    shop.on("order.created", third_time_lucky)

    async def main() -> None:
        await shop.publish(1)
        await shop.work(shop.finished(1))

    asyncio.run(main())
    assert shop.report.handled == 1


def test_holes_in_the_offsets_are_no_gaps_while_a_delivery_in_between_is_one() -> None:
    shop = Shop(transport=FailingTransport(skip_offsets={0, 1, 3, 5, 6}))
    doors = Doors(1)
    shop.on("order.created", doors)

    async def main() -> None:
        for number in range(4):  # their offsets are 2, 4, 7 and 8
            await shop.publish(number, key=str(number))
        async with shop.at_work():
            await eventually(lambda: doors.ended == [0, 2, 3] and shop.committed() != {})
            assert shop.committed() == {0: 3}
            doors.open()
            await eventually(lambda: shop.committed() == {0: 9})

    asyncio.run(main())
