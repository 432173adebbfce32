"""The contract is worth something only if it catches a transport that breaks it: planted faults."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from vectis.core.message import Delivery, Message, Receipt, TopicPartition
from vectis.core.testing import MemoryTransport
from vectis.core.testing.contract import TransportContract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vectis.core.transport import Carrier, Consumer


class Faulty(MemoryTransport):
    """A transport whose consumers are wrapped, each in its own way."""

    def consumer(self, topics: Sequence[str], group: str | None) -> Consumer:
        spoiled: Consumer = self.spoil(super().consumer(topics, group))
        return spoiled

    def spoil(self, consumer: Any) -> Any:
        return consumer


class LosesRepeatedHeaders(Faulty):
    def carrier(self, topic: str) -> Carrier:
        carrier = super().carrier(topic)

        def send(message: Message) -> Any:
            return carrier.send(attrs.evolve(message, headers=tuple(dict(message.headers).items())))

        return attrs.evolve(carrier, send=send)


class SendsWhenAwaited(Faulty):
    """A coroutine starts when it is awaited: the order of the calls is lost."""

    def carrier(self, topic: str) -> Carrier:
        carrier = super().carrier(topic)

        async def send(message: Message) -> Receipt:
            receipt: Receipt = await carrier.send(message)
            return receipt

        return attrs.evolve(carrier, send=send)


class CommitsWhatItLost(Faulty):
    def spoil(self, consumer: Any) -> Any:
        async def commit(offsets: Mapping[TopicPartition, int]) -> None:
            consumer.state.committed.update(offsets)

        consumer.commit = commit
        return consumer


class ReadsAsAGroupOfItsOwn(Faulty):
    """What a reader is not: two of them share the partitions."""

    def consumer(self, topics: Sequence[str], group: str | None) -> Consumer:
        return super().consumer(topics, "readers" if group is None else group)


class EndsAtItsLastRecord(Faulty):
    def spoil(self, consumer: Any) -> Any:
        ends = consumer.ends

        async def too_early() -> dict[TopicPartition, int]:
            return {where: max(end - 1, 0) for where, end in (await ends()).items()}

        consumer.ends = too_early
        return consumer


class ForgetsCommits(Faulty):
    def spoil(self, consumer: Any) -> Any:
        async def commit(offsets: Mapping[TopicPartition, int]) -> None:
            await asyncio.sleep(0)

        consumer.commit = commit
        return consumer


class DoesNotPause(Faulty):
    def spoil(self, consumer: Any) -> Any:
        consumer.pause = lambda *partitions: None
        return consumer


class DeliversBackwards(Faulty):
    def spoil(self, consumer: Any) -> Any:
        fetch = consumer.fetch

        async def backwards(*, max_records: int, timeout: float) -> list[Delivery]:
            deliveries = await fetch(max_records=max_records, timeout=timeout)
            return list(reversed(deliveries))

        consumer.fetch = backwards
        return consumer


class ForgetsWhatACancelledFetchHad(Faulty):
    def spoil(self, consumer: Any) -> Any:
        fetch = consumer.fetch

        async def slowly(*, max_records: int, timeout: float) -> list[Delivery]:
            deliveries: list[Delivery] = await fetch(max_records=max_records, timeout=timeout)
            await asyncio.sleep(0)
            return deliveries

        consumer.fetch = slowly
        return consumer


class GivesUpWhatIsStillDraining(Faulty):
    def spoil(self, consumer: Any) -> Any:
        start = consumer.start

        async def hasty(*, on_assigned: Any, on_revoked: Any) -> None:
            async def in_the_background(partitions: frozenset[TopicPartition]) -> None:
                task = asyncio.ensure_future(on_revoked(partitions))
                await asyncio.wait([task], timeout=0.01)

            await start(on_assigned=on_assigned, on_revoked=in_the_background)

        consumer.start = hasty
        return consumer


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        (LosesRepeatedHeaders, "test_a_message_arrives_byte_for_byte"),
        (SendsWhenAwaited, "test_calls_of_one_key_arrive_in_the_order_they_were_made"),
        (CommitsWhatItLost, "test_a_commit_for_a_partition_of_another_member_is_refused"),
        (ReadsAsAGroupOfItsOwn, "test_readers_each_get_everything_from_the_beginning"),
        (EndsAtItsLastRecord, "test_a_reader_can_begin_at_the_ends"),
        (ForgetsCommits, "test_reading_goes_on_at_the_commit"),
        (DoesNotPause, "test_a_paused_partition_loses_and_reorders_nothing"),
        (DeliversBackwards, "test_calls_of_one_key_arrive_in_the_order_they_were_made"),
        (
            ForgetsWhatACancelledFetchHad,
            "test_cancelling_while_records_are_on_their_way_loses_and_reorders_nothing",
        ),
        (GivesUpWhatIsStillDraining, "test_partitions_stay_held_while_their_member_drains"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_planted_fault_is_caught(
    fault: type[Faulty], test: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectis.core.testing._contract_tools.DEADLINE", 2.0)

    class Contract(TransportContract):
        def transport(self, folder: Path) -> Faulty:
            return fault()

    arguments: tuple[Any, ...] = (tmp_path,)
    if test == "test_a_message_arrives_byte_for_byte":
        arguments += (Message("", b"7", b"{}", (("trace", b"1"), ("trace", b"2"))),)
    with pytest.raises((AssertionError, TimeoutError, pytest.fail.Exception)):
        getattr(Contract(), test)(*arguments)
