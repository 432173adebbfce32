"""Several brokers that keep copies of each other's records."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs
from aiokafka import AIOKafkaClient, TopicPartition

from tests.kafka.broker import brokers
from tests.kafka.leftovers import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.kafka.broker import Broker

__all__ = ["Cluster", "cluster_of"]

PAUSE = 0.05  # seconds between two questions


@attrs.frozen
class Cluster:
    """Brokers by their nodes' numbers."""

    brokers: dict[int, Broker]

    @property
    def servers(self) -> str:
        """The bootstrap servers, all of them."""
        return ",".join(broker.servers for broker in self.brokers.values())

    def leader(self, topic: str, partition: int = 0, *, after: Broker | None = None) -> Broker:
        """Return who takes the records of a partition, as soon as somebody does.

        Args:
            topic: The topic.
            partition: Its number.
            after: Who did so before: somebody else is waited for.
        """
        where = TopicPartition(topic, partition)
        before = after.node.id if after else 0

        def found(client: AIOKafkaClient) -> int:
            leader = int(client.cluster.leader_for_partition(where) or 0)
            return leader if leader in self.brokers and leader != before else 0

        return self.brokers[self._until(topic, found)]

    def until_whole(self, topic: str) -> None:
        """Return when every broker has a copy of a topic that is up to date."""

        def whole(client: AIOKafkaClient) -> bool:
            # aiokafka knows which copies are up to date, and has no public name for it.
            copies = client.cluster._partitions.get(topic, {}).values()
            return bool(copies) and all(len(one.isr) == len(self.brokers) for one in copies)

        self._until(topic, whole)

    def _until(self, topic: str, found: Callable[[AIOKafkaClient], int]) -> int:
        async def main() -> int:
            client = AIOKafkaClient(bootstrap_servers=self.servers)
            await client.bootstrap()
            try:
                await client.add_topic(topic)
                while not (answer := found(client)):
                    await client.force_metadata_update()
                    await asyncio.sleep(PAUSE)
                return answer
            finally:
                await client.close()

        return run(main())


@contextmanager
def cluster_of(count: int, folder: Path, jars: Path) -> Iterator[Cluster]:
    """Start that many brokers, and end them afterwards.

    Args:
        count: At least three, for one of them to be missed by nobody.
        folder: Where their folders are made.
        jars: The folder of Kafka's jars.
    """
    with brokers(folder, jars, count=count) as started:
        yield Cluster({broker.node.id: broker for broker in started})
