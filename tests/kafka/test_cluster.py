"""That three brokers do without any one of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer

from tests.kafka.records import read
from tests.kafka.topics import create_topic

if TYPE_CHECKING:
    from tests.kafka.broker import Broker
    from tests.kafka.cluster import Cluster


async def acknowledged_around(servers: str, topic: str, victim: Broker) -> list[bytes]:
    """Write records, kill a broker in the middle, and return the acknowledged ones."""
    done: list[bytes] = []

    async def write(producer: AIOKafkaProducer, writer: int) -> None:
        for number in range(50):
            value = b"%d/%d" % (writer, number)
            await producer.send_and_wait(topic, value)
            done.append(value)
            if len(done) == 300:
                victim.kill()

    producer = AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True, acks="all")
    async with producer:
        await asyncio.gather(*(write(producer, writer) for writer in range(20)))
    return done


def test_nothing_acknowledged_is_lost_when_a_leader_is_killed(cluster: Cluster) -> None:
    topic = create_topic(cluster.servers, "survives", partitions=1, copies=3)
    victim = cluster.leader(topic)
    done = asyncio.run(acknowledged_around(cluster.servers, topic, victim))
    assert len(done) == 1_000
    cluster.leader(topic, after=victim)
    assert set(read(cluster.servers, topic, 1_000)) == set(done)
    victim.start()
    cluster.until_whole(topic)
