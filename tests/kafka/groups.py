"""How far a consumer group has come, asked by plain aiokafka without joining it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from tests.kafka.leftovers import run

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["behind", "committed"]


def committed(servers: str, group: str, topic: str) -> dict[int, int]:
    """Return what a group has committed, by partition.

    Args:
        servers: The bootstrap servers.
        group: The group's name.
        topic: The topic.
    """

    async def main() -> dict[int, int]:
        return await _committed(servers, group, topic, await _ends(servers, topic))

    return run(main())


def behind(servers: str, group: str, topic: str) -> int:
    """Return how many offsets of a topic a group has not committed.

    Args:
        servers: The bootstrap servers.
        group: The group's name.
        topic: The topic, of which nothing was deleted.
    """

    async def main() -> int:
        ends = await _ends(servers, topic)
        done = await _committed(servers, group, topic, ends)
        return sum(end - done.get(number, 0) for number, end in ends.items())

    return run(main())


async def _committed(
    servers: str, group: str, topic: str, numbers: Iterable[int]
) -> dict[int, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        partitions = [TopicPartition(topic, number) for number in numbers]
        found = await admin.list_consumer_group_offsets(group, partitions=partitions)
        return {where.partition: one.offset for where, one in found.items() if one.offset >= 0}
    finally:
        await admin.close()


async def _ends(servers: str, topic: str) -> dict[int, int]:
    asker = AIOKafkaConsumer(bootstrap_servers=servers)
    try:
        await asker.start()
        await asker._client.add_topic(topic)
        numbers = sorted(asker.partitions_for_topic(topic) or ())
        ends = await asker.end_offsets([TopicPartition(topic, number) for number in numbers])
        return {where.partition: end for where, end in ends.items()}
    finally:
        await asker.stop()
