"""Reading from a real broker: what changes hands, and what is missing."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from tests.kafka.records import write
from tests.kafka.topics import create_topic, unique_name
from vectis.core.exceptions import LeaseLost
from vectis.core.testing.contract import Member
from vectis_redpanda import RedpandaSettings, RedpandaTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kafka.broker import Broker
    from tests.kafka.fixtures import Shared

DEADLINE = 60.0


def transport(servers: str, *, drain: float = 25.0, **changes: Any) -> RedpandaTransport:
    settings = RedpandaSettings(bootstrap_servers=servers, **changes)
    return RedpandaTransport(settings, drain=drain)


def values(member: Member) -> list[bytes | None]:
    return [delivery.value for delivery in member.deliveries]


def test_a_drain_longer_than_a_request_may_take_costs_nobody_the_membership(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=4)
    write(broker.servers, topic, [b"%d" % n for n in range(10)])

    async def main() -> None:
        reading = transport(broker.servers, request_timeout=1.0)
        group = unique_name("group")
        async with Member(reading, topic, group) as first:
            await first.read(10)

            async def drain() -> None:
                await asyncio.sleep(3)  # three times what a request may take: others ask again

            first.drain = drain
            async with Member(reading, topic, group) as second:
                while not second.assigned:
                    await asyncio.gather(first.fetch(), second.fetch())
                first.drain = None
                assert len(first.revoked) == 1, "it was asked once, and thrown out never"
                assert first.commit_on_revoke
                for partition, offset in first.commit_on_revoke.items():
                    assert await second.consumer.committed(partition) == offset
                assert await second.fetch() == [], "committed, so not delivered again"

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_a_member_that_was_paused_too_long_loses_everything_and_comes_back(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=2)
    write(broker.servers, topic, [b"%d" % n for n in range(10)])

    async def main() -> None:
        reading = transport(broker.servers, session_timeout=broker.session)
        async with Member(reading, topic, unique_name("group")) as member:
            await member.read(10)
            held = member.consumer.assignment()
            ends = dict.fromkeys(held, 1)
            begun = monotonic()
            while (
                monotonic() - begun < broker.session + 1
            ):  # a handler in C that holds the event loop
                pass

            async def commit_until_lost() -> None:
                while True:  # the member learns with its next heartbeat at the latest
                    await member.consumer.commit(ends)

            with pytest.raises(LeaseLost) as caught:
                await commit_until_lost()
            assert caught.value.partitions == held
            member.deliveries.clear()
            assert len(await member.read(9)) >= 9
            assert member.consumer.assignment() == held

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


@pytest.mark.parametrize("done", [3, 0])
def test_offsets_that_were_deleted_are_reported_and_reading_goes_on(
    done: int, broker: Shared, new_topic: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    topic = new_topic(partitions=1)
    where = TopicPartition(topic, 0)
    write(broker.servers, topic, [b"%d" % n for n in range(10)])

    async def delete(before: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.servers)
        await admin.start()
        await admin.delete_records({where: RecordsToDelete(before)})
        await admin.close()

    async def main() -> None:
        reading, group = transport(broker.servers), unique_name("group")
        async with Member(reading, topic, group) as member:
            await member.read(3)
            first = min(member.consumer.assignment())
            await member.consumer.commit({first: done})
        await delete(7)
        async with Member(reading, topic, group) as member:
            assert [d.offset for d in await member.read(3)] == [7, 8, 9]
            await member.commit()
        async with Member(reading, topic, group) as member:  # and beyond the end
            await member.fetch()
            while not member.consumer.assignment():
                await member.fetch()
            await member.consumer.seek(first, 500)
            assert await member.fetch(timeout=1) == []
            assert (await member.consumer.lag())[first] == 0
        async with Member(reading, topic, None) as reader:  # nobody knows what it should miss
            assert [d.offset for d in await reader.read(3)] == [7, 8, 9]

    asyncio.run(asyncio.wait_for(main(), DEADLINE))
    told = [record.message for record in caplog.records if record.name == "vectis.redpanda"]
    assert len(told) == 2
    assert (
        f"{topic}/0 has no offset {done}, reading goes on at 7: {7 - done} offsets were" in told[0]
    )
    assert f"{topic}/0 has no offset 500, reading goes on at 10: the partition ends" in told[1]


def test_transactions_are_read_when_they_are_committed_and_hold_nothing_up(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)

    async def transact() -> None:
        async with AIOKafkaProducer(
            bootstrap_servers=broker.servers, transactional_id=unique_name("transaction")
        ) as producer:
            for number in range(5):
                await producer.begin_transaction()
                await producer.send_and_wait(topic, b"kept %d" % number)
                await producer.commit_transaction()
                await producer.begin_transaction()
                await producer.send_and_wait(topic, b"aborted")
                await producer.abort_transaction()

    async def main() -> None:
        await transact()
        async with Member(transport(broker.servers), topic, unique_name("group")) as member:
            await member.read(5)
            assert values(member) == [b"kept %d" % number for number in range(5)]
            assert await member.fetch(timeout=1) == []
            assert set((await member.consumer.lag()).values()) == {0}

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_headers_without_bytes_are_empty_ones(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)
    odd: Any = [("a", None), ("b", b"2"), ("a", b"")]
    write(broker.servers, topic, [b"1"] * 3, headers=odd)

    async def main() -> None:
        async with Member(transport(broker.servers), topic, unique_name("group")) as member:
            for delivery in await member.read(3):
                assert delivery.headers == (("a", b""), ("b", b"2"), ("a", b""))

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_one_full_partition_does_not_keep_the_others_waiting(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=3)
    write(broker.servers, topic, [b"x" * 100] * 3_000)  # all in partition 0

    async def main() -> None:
        async with AIOKafkaProducer(bootstrap_servers=broker.servers) as producer:
            for partition in (1, 2):
                await producer.send_and_wait(topic, b"y", partition=partition)
        async with Member(transport(broker.servers), topic, unique_name("group")) as member:
            seen = 0
            while {d.partition for d in member.deliveries} != {0, 1, 2}:
                seen += len(await member.fetch(max_records=100, timeout=5))
            assert seen < 1_500

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_closing_with_a_broker_that_does_not_answer_ends(own_broker: Broker) -> None:
    topic = create_topic(own_broker.servers, unique_name("closing"))
    write(own_broker.servers, topic, [b"1"])

    async def main() -> None:
        reading = transport(own_broker.servers)
        member, reader = Member(reading, topic, unique_name("group")), Member(reading, topic, None)
        async with member, reader:
            await asyncio.gather(member.read(1), reader.read(1))
            own_broker.pause()
            begun = monotonic()
        assert monotonic() - begun < 15

    asyncio.run(asyncio.wait_for(main(), DEADLINE))
