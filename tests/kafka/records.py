"""Records written and read by plain aiokafka, as somebody else's program would."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["read", "write"]

PATIENCE = 30.0  # seconds


def write(servers: str, topic: str, values: Iterable[bytes | None], **settings: Any) -> None:
    """Write values, in one partition and in this order; return when the broker has them.

    Args:
        servers: The bootstrap servers.
        topic: Where to.
        values: None is a tombstone.
        settings: What aiokafka is told besides.
    """

    async def main() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=servers, **settings)
        try:
            await producer.start()
            for value in values:
                await producer.send_and_wait(topic, value, b"key" if value is None else None, 0)
        finally:  # `async with` does not close one that could not start
            await producer.stop()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def read(servers: str, topic: str, count: int, **settings: Any) -> list[bytes | None]:
    """Return the first values of a topic, in the order of each partition.

    Args:
        servers: The bootstrap servers.
        topic: Where from.
        count: How many, waited for.
        settings: What aiokafka is told besides.
    """

    async def main() -> list[bytes | None]:
        start: dict[str, Any] = {"auto_offset_reset": "earliest", "enable_auto_commit": False}
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, **start, **settings)
        try:
            await consumer.start()
            return [(await consumer.getone()).value for _ in range(count)]
        finally:
            await consumer.stop()

    return asyncio.run(asyncio.wait_for(main(), PATIENCE))
