"""Members of another kind, members that come back, and members that have ended by themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from tests.kafka.groups import committed
from tests.kafka.records import write
from tests.kafka.topics import create_topic, unique_name
from tests.redpanda.counter import Counter
from vectis.core.exceptions import LeaseLost, TransportError
from vectis.core.testing.contract import Member, until_shared
from vectis.core.worker import Worker
from vectis_redpanda import RedpandaSettings, RedpandaTransport, _member

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kafka.fixtures import Shared

DEADLINE = 60.0


class ByOwnRules(RoundRobinPartitionAssignor):  # type: ignore[misc]
    """Shares partitions in a way that no other kind of member knows."""

    name = "by-own-rules"


def test_a_group_in_use_by_an_incompatible_member_is_named(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)
    create_topic(broker.servers, f"{topic}.dlq", partitions=1)
    counter = Counter(broker.servers, topic)
    group = f"{topic}.shop"

    async def main() -> str:
        other = AIOKafkaConsumer(
            topic,
            bootstrap_servers=broker.servers,
            group_id=group,
            enable_auto_commit=False,
            partition_assignment_strategy=(ByOwnRules,),
        )
        try:
            await other.start()
            await asyncio.wait_for(Worker(counter.hub).run(), 30)
        except TransportError as error:
            return str(error)
        finally:
            await other.stop()
            await counter.hub.shutdown()
        raise AssertionError("the worker ended without an error")

    said = asyncio.run(main())
    assert group in said
    assert "[consumer] group" in said


def transport(servers: str, **changes: Any) -> RedpandaTransport:
    return RedpandaTransport(RedpandaSettings(bootstrap_servers=servers, **changes))


def test_a_member_with_a_name_of_its_own_comes_back_and_moves_no_partition(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=4)

    async def main() -> None:
        group = unique_name("group")
        named = [transport(broker.servers, group_instance_id=f"{group}-{n}") for n in (1, 2)]
        stays, restarted = (Member(one, topic, group) for one in named)
        async with stays:
            async with restarted:
                await until_shared(stays, restarted)
                held = restarted.consumer.assignment()
                stays.revoked.clear()
            again = Member(named[1], topic, group)
            async with again:
                while not again.assigned:
                    await asyncio.gather(stays.fetch(), again.fetch())
                assert again.assigned == [held]
                await asyncio.to_thread(write, broker.servers, topic, [b"1"] * 10)
                while len(stays.deliveries) + len(again.deliveries) < 10:
                    await asyncio.gather(stays.fetch(), again.fetch())
                await again.commit()
            assert stays.revoked == [], "nobody else has noticed"

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


class Garbled(RoundRobinPartitionAssignor):  # type: ignore[misc]
    """Says that it shares as others do, and says nothing else that they could understand."""

    name = "roundrobin"

    @classmethod
    def metadata(cls, topics: object) -> Any:
        return cls

    @classmethod
    def encode(cls) -> bytes:
        return b"?"


def test_a_member_that_nobody_understands_is_told_of_and_holds_nothing_up_once_it_is_gone(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)
    write(broker.servers, topic, [b"before"])

    async def main() -> str:
        group = unique_name("group")
        garbled = AIOKafkaConsumer(
            bootstrap_servers=broker.servers,
            group_id=group,
            enable_auto_commit=False,
            session_timeout_ms=int(broker.session * 1000),
            partition_assignment_strategy=(Garbled,),
        )
        # What is stuck in the middle of a rebalance is given up after a session.
        reading = transport(broker.servers, session_timeout=broker.session)
        async with Member(reading, topic, group) as member:
            await member.read(1)
            await garbled.start()
            garbled.subscribe([topic])
            told = ""
            while not told:  # whoever leads the group has to read what its members say
                try:
                    await member.fetch(timeout=0.2)
                except TransportError as error:
                    told = str(error)
            leaving = asyncio.create_task(garbled.stop())
            await asyncio.to_thread(write, broker.servers, topic, [b"after"])
            while not member.deliveries[1:]:
                await fetch(member)
            await leaving
            assert values(member) == [b"before", b"after"]
            await member.commit()
        assert group in told
        return told

    assert "[consumer] group" in asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_a_member_whose_fetching_has_ended_is_made_anew_and_reads_on(
    broker: Shared, new_topic: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    topic = new_topic(partitions=1)
    write(broker.servers, topic, [b"before"])

    async def main() -> None:
        group = unique_name("group")
        reading = transport(broker.servers)
        async with Member(reading, topic, group) as member, Member(reading, topic, None) as reader:
            for number, one in enumerate((member, reader)):
                await one.read(1)
                # Nobody knows why it happens (#625, #876); to those who fetch it is silence.
                consumer: Any = one.consumer
                intake = getattr(consumer, "_intake", None) or consumer._handover.intake
                intake.consumer._fetcher._fetch_task.cancel()
                while caplog.text.count("reading starts anew") == number:
                    await fetch(one)
            await asyncio.to_thread(write, broker.servers, topic, [b"after"])
            for one in (member, reader):
                while one.deliveries[-1].value != b"after":
                    await fetch(one)
                assert values(one) == [b"before", b"after"]

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_a_commit_that_waits_while_the_group_is_lost_stores_nothing(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)
    write(broker.servers, topic, [b"1", b"2"])
    group = unique_name("group")

    async def main() -> None:
        async with Member(transport(broker.servers), topic, group) as member:
            await member.read(2)
            coordinator = member.consumer._handover.intake.consumer._coordinator  # type: ignore[attr-defined]
            async with coordinator._commit_lock:  # as while the broker with the group is away
                committing = asyncio.create_task(member.commit())
                await asyncio.sleep(0)
                await coordinator._maybe_leave_group()  # and the group has given this member up
            with pytest.raises(LeaseLost):
                await committing

    asyncio.run(asyncio.wait_for(main(), DEADLINE))
    assert committed(broker.servers, group, topic) == {}, "a group without members would take it"


def test_a_worker_that_connects_anew_goes_on_without_its_topic_for_letters(
    broker: Shared,
    new_topic: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topic = new_topic(partitions=1)
    write(broker.servers, topic, [b"1"])

    async def refused(*_: object) -> dict[str, TransportError]:
        return {f"{topic}.dlq": TransportError("it may not be made any more")}

    async def main() -> None:
        # A member whose start was broken off is given up after a session.
        reading = transport(broker.servers, session_timeout=broker.session)
        async with Member(reading, topic, unique_name("group")) as member:
            await member.read(1)
            monkeypatch.setattr(_member, "missing_dead_letters", refused)
            member.consumer._handover.intake.consumer._fetcher._fetch_task.cancel()  # type: ignore[attr-defined]
            told = ""
            while not told:  # what a worker tells of, and tries again
                try:
                    await member.fetch()
                except TransportError as error:
                    told = str(error)
            assert "it may not be made any more" in told
            monkeypatch.undo()
            await asyncio.to_thread(write, broker.servers, topic, [b"2"])
            while not member.deliveries[1:]:
                await fetch(member)

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def values(member: Member) -> list[bytes | None]:
    return [delivery.value for delivery in member.deliveries]


async def fetch(member: Member) -> None:
    """Fetch as a worker does, which goes on after an error."""
    try:
        await member.fetch(timeout=0.2)
    except TransportError:
        await asyncio.sleep(0.1)
