"""A reader on a real broker: it finds partitions, loses them with their topic, and makes none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka.admin import AIOKafkaAdminClient

from tests.kafka.records import write
from tests.kafka.topics import create_topic
from vectis.core.testing.contract import Member
from vectis_redpanda import RedpandaSettings, RedpandaTransport, _link, _reader
from vectis_redpanda._internals import partitions_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.kafka.fixtures import Shared

DEADLINE = 60.0


def transport(servers: str) -> RedpandaTransport:
    return RedpandaTransport(RedpandaSettings(bootstrap_servers=servers))


def test_a_fetch_that_is_cancelled_while_partitions_are_looked_for_costs_no_time(
    broker: Shared, new_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = new_topic(partitions=1)
    write(broker.servers, topic, [b"1", b"2"])

    async def main() -> None:
        known = asyncio.Event()

        async def found(*asked: Any) -> Any:
            answer = await partitions_of(*asked)
            known.set()
            return answer

        monkeypatch.setattr(_reader, "partitions_of", found)
        async with Member(transport(broker.servers), topic, None) as reader:
            fetching = asyncio.create_task(reader.fetch(timeout=5))
            await known.wait()
            fetching.cancel()
            await asyncio.wait([fetching])
            assert fetching.cancelled()
            assert await reader.fetch(timeout=5), "they are there, and not in ten seconds only"

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_a_topic_that_is_deleted_stays_so_while_somebody_looks_at_it(
    broker: Shared, new_topic: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    topic, other = new_topic(partitions=2), new_topic(partitions=1)
    write(broker.servers, topic, [b"old"] * 3)

    async def main() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.servers)
        await admin.start()
        reading = RedpandaTransport(RedpandaSettings(bootstrap_servers=broker.servers))
        consumer = reading.consumer([topic, other], None)
        await consumer.start(on_assigned=nothing, on_revoked=nothing)
        while not await consumer.fetch(max_records=1, timeout=1):
            pass
        await admin.delete_topics([topic])
        while {where.topic for where in consumer.assignment()} != {other}:
            await consumer.fetch(max_records=10, timeout=1)
        assert topic not in await admin.list_topics()
        assert {where.topic for where in await consumer.ends()} == {other}
        assert f"{topic}/0, {topic}/1 went with a topic that was deleted" in caplog.text
        await admin.close()
        await asyncio.to_thread(create_topic, broker.servers, topic, partitions=2)
        await asyncio.to_thread(write, broker.servers, topic, [b"new"])
        values: list[bytes | None] = []
        while b"new" not in values:
            values += [d.value for d in await consumer.fetch(max_records=10, timeout=1)]
        await consumer.close()

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_a_fetch_that_is_cancelled_while_reading_starts_anew_reads_nothing_twice(
    broker: Shared, new_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = new_topic(partitions=1)
    write(broker.servers, topic, [b"1", b"2"])

    async def main() -> None:
        ending = asyncio.Event()

        async def stop_consumer(consumer: Any) -> None:
            ending.set()
            await _link.stop_consumer(consumer)

        monkeypatch.setattr(_reader, "stop_consumer", stop_consumer)
        async with Member(transport(broker.servers), topic, None) as reader:
            await reader.read(2)
            running: Any = reader.consumer
            running._intake.consumer._fetcher._fetch_task.cancel()  # as aiokafka's does (#625)
            fetching = asyncio.create_task(reader.fetch(timeout=5))
            await ending.wait()
            fetching.cancel()
            await asyncio.wait([fetching])
            assert fetching.cancelled()
            assert reader.consumer.assignment() == {(topic, 0)}
            await asyncio.to_thread(write, broker.servers, topic, [b"3"])
            await reader.read(1)
            assert [delivery.value for delivery in reader.deliveries] == [b"1", b"2", b"3"]
            assert len(reader.assigned) == 1

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


async def nothing(partitions: object) -> None:
    """Nobody is interested."""
