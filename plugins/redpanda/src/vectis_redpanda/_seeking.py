"""Finding the partitions of a topic before anything is sent to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka import errors

from vectis.core.exceptions import TransportError
from vectis_redpanda._faults import missing_topic
from vectis_redpanda._link import Refused

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

    from vectis_redpanda._link import Link

__all__ = ["seek"]


async def seek(
    link: Link, producer: AIOKafkaProducer, topic: str, seconds: float
) -> TransportError | None:
    """Have a producer look up the partitions of a topic.

    Args:
        link: Finds out why nobody answers.
        producer: What is to know them; it must not be closed meanwhile.
        topic: The topic's name.
        seconds: How long to look.

    Returns:
        Why the brokers cannot be reached now; None when the partitions are known.

    Raises:
        TransportError: There is no such topic, or no broker takes the connection.
        KafkaError: The broker refuses this topic.
    """
    try:
        async with asyncio.timeout(seconds):
            await producer.partitions_for(topic)
    except (TimeoutError, errors.UnknownTopicOrPartitionError) as error:
        trouble = await link.trouble()
        if trouble is None:
            raise TransportError(missing_topic(topic)) from error
        if isinstance(trouble, Refused):
            raise trouble from error
        return trouble
    return None
