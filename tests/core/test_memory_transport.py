from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from vectis.core.exceptions import LeaseLost, TransportError
from vectis.core.message import TopicPartition
from vectis.core.testing import MemoryTransport
from vectis.core.testing.contract import (
    Features,
    Member,
    Transport,
    TransportContract,
    publish,
    until_shared,
)

if TYPE_CHECKING:
    from pathlib import Path

    from vectis.core.transport import Consumer


class TestMemoryTransport(TransportContract):
    features = Features(expiry=True)

    def transport(self, folder: Path) -> MemoryTransport:
        return MemoryTransport(partitions=8)

    def expire(self, transport: Transport, consumer: Consumer) -> None:
        assert isinstance(transport, MemoryTransport)
        transport.expire(consumer)


class TestMemoryTransportWithHoles(TransportContract):
    features = Features(offset_holes=True)

    def transport(self, folder: Path) -> MemoryTransport:
        return MemoryTransport(partitions=8, skip_offsets=range(1, 10_000, 3))


def test_topics_show_their_records_and_every_group_its_lag() -> None:
    async def main() -> MemoryTransport:
        transport = MemoryTransport(partitions=4)
        await publish(transport, "orders", count=20)
        async with Member(transport, "orders", "shop") as member:
            await member.read(20)
            await member.commit()
            await publish(transport, "orders", count=5)
        return transport

    (topic,) = asyncio.run(main()).describe_topics()
    assert (topic.name, len(topic.partitions), topic.records) == ("orders", 4, 25)
    assert topic.groups == ("shop",)
    assert topic.lag("shop") == 5
    assert topic.lag("a group that never committed") == 25


def test_an_expired_member_cannot_commit_and_comes_back() -> None:
    async def main() -> None:
        transport = MemoryTransport(partitions=2)
        await publish(transport, "orders", count=10)
        revoked: list[frozenset[TopicPartition]] = []

        async def on_revoked(partitions: frozenset[TopicPartition]) -> None:
            revoked.append(partitions)

        async def on_assigned(partitions: frozenset[TopicPartition]) -> None:
            pass

        consumer = transport.consumer(["orders"], "shop")
        await consumer.start(on_assigned=on_assigned, on_revoked=on_revoked)
        before = await consumer.fetch(max_records=100, timeout=30)
        transport.expire(consumer)
        with pytest.raises(LeaseLost, match=r"orders/\d went to another member"):
            await consumer.commit({before[0].topic_partition: 1})
        again = await consumer.fetch(max_records=100, timeout=30)
        assert {d.place for d in again} == {d.place for d in before}
        assert revoked == [{TopicPartition("orders", 0), TopicPartition("orders", 1)}]
        await consumer.close()

    asyncio.run(main())


def test_a_message_published_from_another_thread_wakes_up_the_consumer() -> None:
    transport = MemoryTransport()

    async def main() -> None:
        async with Member(transport, "orders", "shop") as member:
            await member.fetch()
            waiting = asyncio.ensure_future(member.fetch(timeout=30))
            await asyncio.sleep(0)
            other = threading.Thread(
                target=lambda: asyncio.run(publish(transport, "orders", count=1))
            )
            other.start()
            assert len(await waiting) == 1
            other.join()

    asyncio.run(main())


def test_a_consumer_that_is_not_running_says_so() -> None:
    async def main() -> None:
        consumer = MemoryTransport().consumer(["orders"], "shop")
        with pytest.raises(TransportError, match="not running: `await start"):
            await consumer.fetch(max_records=1, timeout=0)
        with pytest.raises(TransportError, match="orders/0 is not assigned"):
            await consumer.seek(TopicPartition("orders", 0), 3)
        await consumer.close()

        async def nothing(partitions: frozenset[TopicPartition]) -> None:
            pass

        with pytest.raises(TransportError, match="is closed: make a new one"):
            await consumer.start(on_assigned=nothing, on_revoked=nothing)

    asyncio.run(main())


def test_five_members_share_eight_partitions_fairly() -> None:
    async def main() -> None:
        transport = MemoryTransport()
        members = [Member(transport, "orders", "shop") for _ in range(5)]
        for member in members:
            await member.__aenter__()
        await until_shared(*members)
        shares = sorted(len(member.consumer.assignment()) for member in members)
        assert shares == [1, 1, 2, 2, 2]

    asyncio.run(main())
