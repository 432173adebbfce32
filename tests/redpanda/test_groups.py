"""A group's name that is in use by members of another kind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from tests.kafka.topics import create_topic
from tests.redpanda.counter import Counter
from vectis.core.exceptions import TransportError
from vectis.core.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kafka.fixtures import Shared


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
