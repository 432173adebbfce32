"""How far a consumer group has come, asked by plain aiokafka without joining it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.kafka.leftovers import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["behind", "committed"]

Answer = TypeVar("Answer")


def committed(servers: str, group: str, topic: str) -> dict[int, int]:
    """Return what a group has committed, by partition.

    Args:
        servers: The bootstrap servers.
        group: The group's name.
        topic: The topic.
    """

    async def ask(asker: AIOKafkaConsumer, partitions: list[TopicPartition]) -> dict[int, int]:
        found = {where.partition: await asker.committed(where) for where in partitions}
        return {number: offset for number, offset in found.items() if offset is not None}

    return _ask(servers, group, topic, ask)


def behind(servers: str, group: str, topic: str) -> int:
    """Return how many offsets of a topic a group has not committed.

    Args:
        servers: The bootstrap servers.
        group: The group's name.
        topic: The topic, of which nothing was deleted.
    """

    async def ask(asker: AIOKafkaConsumer, partitions: list[TopicPartition]) -> int:
        ends = await asker.end_offsets(partitions)
        return sum([end - (await asker.committed(where) or 0) for where, end in ends.items()])

    return _ask(servers, group, topic, ask)


def _ask(
    servers: str,
    group: str,
    topic: str,
    ask: Callable[[AIOKafkaConsumer, list[TopicPartition]], Awaitable[Answer]],
) -> Answer:
    async def main() -> Answer:
        asker = AIOKafkaConsumer(
            bootstrap_servers=servers, group_id=group, enable_auto_commit=False
        )
        try:
            await asker.start()
            await asker._client.add_topic(topic)
            numbers = sorted(asker.partitions_for_topic(topic) or ())
            partitions = [TopicPartition(topic, number) for number in numbers]
            asker.assign(partitions)  # by hand, which joins nothing
            return await ask(asker, partitions)
        finally:
            await asker.stop()

    return run(main())
