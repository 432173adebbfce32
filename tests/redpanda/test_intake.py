"""What was received ahead of a fetch, in moments that no broker can be brought to on demand.

aiokafka is replaced at the edge of `_internals_records`: what it gives, and when it gives nothing,
is written here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors

from vectis.core.message import Delivery, TopicPartition
from vectis_redpanda import _intake
from vectis_redpanda._intake import Intake
from vectis_redpanda._internals_records import Failed, Taken

if TYPE_CHECKING:
    from collections.abc import Callable

ONE, TWO = TopicPartition("orders", 0), TopicPartition("orders", 1)

_FETCHED = 130  # records that come at once, at most


class Log:
    """Partitions of an endless topic, and the place at which each is read; stands for aiokafka."""

    def __init__(self, first: int = 0, end: int = 5000) -> None:
        self.first = first
        self.end = end
        self.next: dict[Any, int] = {}
        self.missing: list[int | None] = []  # the offsets that the next calls do not find, if any

    def seek(self, partition: Any, offset: int) -> None:
        self.next[TopicPartition(*partition)] = offset

    async def beginning_offsets(self, partitions: Any) -> dict[Any, int]:
        return dict.fromkeys(partitions, self.first)

    async def end_offsets(self, partitions: Any) -> dict[Any, int]:
        return dict.fromkeys(partitions, self.end)

    async def taken(self, consumer: Any, partitions: Any, seconds: float, most: int) -> Taken:
        if self.missing and (offset := self.missing.pop(0)) is not None:
            partition = KafkaPartition(*ONE)
            error = errors.OffsetOutOfRangeError({partition: offset})
            return Taken({}, {partition: Failed(error, offset, unpacking=False)})
        if not self.next:
            return Taken({}, {})
        where, most = min(partitions), min(most, _FETCHED)
        begin = self.next[where]
        self.next[where] = begin + most
        deliveries = [
            Delivery(where.topic, where.partition, offset) for offset in range(begin, begin + most)
        ]
        return Taken({KafkaPartition(*where): deliveries}, {})


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[Log], Intake]:
    def make(log: Log) -> Intake:
        monkeypatch.setattr(_intake, "taken", log.taken)
        monkeypatch.setattr(_intake, "has_ended", lambda consumer: False)
        return Intake(log, "group shop", 1.0, "shop")

    return make


def offsets(deliveries: list[Delivery]) -> list[int]:
    return [delivery.offset for delivery in deliveries]


def test_an_offset_out_of_range_while_a_fetch_waits_loses_nothing_that_comes_then(
    reading: Callable[[Log], Intake],
) -> None:
    log = Log(first=7)
    intake = reading(log)

    async def main() -> list[int]:
        log.missing = [None, 3]
        intake.hold({ONE: 3})
        log.next.clear()  # nothing is there yet
        assert await intake.take(5) == []
        await intake.wait(1, 5)
        found: list[int] = []
        while len(found) < 20:
            found += offsets(await intake.take(5))
            await intake.wait(1, 5)
        return found

    assert asyncio.run(main())[:20] == [*range(7, 27)]


@pytest.mark.parametrize("first", [0, 1000], ids=["a passing error", "the rest was deleted"])
def test_an_offset_out_of_range_drops_nothing_that_was_received(
    first: int, reading: Callable[[Log], Intake]
) -> None:
    log = Log(first=first)
    intake = reading(log)

    async def main() -> list[int]:
        intake.hold({ONE: 0})
        found = offsets(await intake.take(50))
        log.missing = [_FETCHED]
        while len(found) < 300:
            found += offsets(await intake.take(50))
        return found

    then = max(first, _FETCHED)
    assert asyncio.run(main())[:250] == [*range(_FETCHED), *range(then, then + 250 - _FETCHED)]


def test_what_came_for_an_earlier_assignment_is_not_handed_out(
    reading: Callable[[Log], Intake],
) -> None:
    log = Log()
    intake = reading(log)

    async def main() -> list[list[int]]:
        intake.hold({ONE: 50})
        found = [offsets(await intake.take(1))]
        while intake._ahead:
            await intake.take(1)
        await intake.wait(1, 10)  # something has come, and nobody took it
        intake.let_go([ONE])
        intake.hold({ONE: 40})
        found.append(offsets(await intake.take(1)))
        while intake._ahead:
            await intake.take(1)
        await intake.wait(1, 10)
        intake.move(ONE, 7)
        return [*found, offsets(await intake.take(1))]

    assert asyncio.run(main()) == [[50], [40], [7]]


def test_what_a_paused_partition_has_ahead_is_not_in_the_way_of_others(
    reading: Callable[[Log], Intake],
) -> None:
    log = Log()
    intake = reading(log)

    async def main() -> list[int]:
        intake.hold({ONE: 0, TWO: 0})
        await intake.take(50)  # the first partition has more than that ahead
        intake.pause([ONE])
        found: list[int] = []
        for _ in range(8):
            found += offsets(await intake.take(50))
        return found

    assert asyncio.run(main()) == [*range(400)]
