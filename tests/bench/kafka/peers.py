"""The same done by hand with aiokafka, and with FastStream as its documentation shows."""

from __future__ import annotations

import logging
from asyncio import Event
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer

# The peers are installed for the bench only, not where types are checked.
from faststream import AckPolicy  # type: ignore[import, unused-ignore]
from faststream.kafka import KafkaBroker  # type: ignore[import, unused-ignore]

from tests.bench.kafka.records import new_group
from vectis_redpanda import RedpandaSettings

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.bench.kafka.laps import Stopwatch
    from vectis.core.message import Message

__all__ = [
    "AT_LEAST_ONCE",
    "AT_MOST_ONCE",
    "faststream_consume",
    "faststream_publisher",
    "raw_publisher",
]

_ours = RedpandaSettings()
_SETTINGS: dict[str, Any] = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": int(_ours.linger_ms),
    "max_batch_size": _ours.max_batch_size,
}
"""What Vectis gives its producer."""


class RawPublisher:
    """Sends one encoded message again and again with aiokafka.

    Args:
        producer: Has started.
        message: What it sends, with a key for each call.
    """

    def __init__(self, producer: AIOKafkaProducer, message: Message) -> None:
        self._producer = producer
        self._topic, self._value = message.topic, message.value
        self._headers = list(message.headers)

    async def send(self, key: str) -> None:
        """Send it, and return when it is acknowledged."""
        await self._producer.send_and_wait(
            self._topic, self._value, key=key.encode(), headers=self._headers
        )

    async def begin(self, key: str) -> Future[Any]:
        """Put it into a batch, and return the future of its acknowledgement."""
        answer: Future[Any] = await self._producer.send(
            self._topic, self._value, key=key.encode(), headers=self._headers
        )
        return answer


@asynccontextmanager
async def raw_publisher(servers: str, message: Message) -> AsyncIterator[RawPublisher]:
    """Give what sends a message with aiokafka, with the settings that Vectis has."""
    async with AIOKafkaProducer(bootstrap_servers=servers, **_SETTINGS) as producer:
        yield RawPublisher(producer, message)


@asynccontextmanager
async def faststream_publisher(
    servers: str, topic: str, data: dict[str, Any]
) -> AsyncIterator[Callable[[str], Awaitable[object]]]:
    """Give what publishes data with FastStream under a key."""
    broker = _faststream(servers)
    async with broker:
        await broker.start()
        yield lambda key: broker.publish(data, topic, key=key.encode())


async def faststream_consume(
    servers: str,
    topic: str,
    count: int,
    watch: Stopwatch,
    wait: Callable[[], Awaitable[object]] | None = None,
    **subscriber: Any,
) -> int:
    """Read that many messages with FastStream.

    Args:
        servers: The bootstrap servers.
        topic: What is read, from the beginning.
        count: How many messages.
        watch: Runs from the first to the last of them.
        wait: What the handler awaits; None for a handler that does nothing.
        subscriber: What makes it at least once or at most once.

    Returns:
        How many it were.
    """
    broker = _faststream(servers)
    left, done = count, Event()

    @broker.subscriber(  # type: ignore[untyped-decorator, unused-ignore]
        topic, group_id=new_group(), auto_offset_reset="earliest", **subscriber
    )
    async def handle(data: dict[str, Any]) -> None:
        nonlocal left
        if left == count and not watch.passed:
            watch.start()
        if wait is not None:
            await wait()
        left -= 1
        if left == 0:
            watch.stop()
            done.set()

    async with broker:
        await broker.start()
        await done.wait()
    return count


AT_LEAST_ONCE: dict[str, Any] = {"ack_policy": AckPolicy.NACK_ON_ERROR}
AT_MOST_ONCE: dict[str, Any] = {"ack_policy": AckPolicy.ACK_FIRST}


def _faststream(servers: str) -> KafkaBroker:
    logger = logging.getLogger("tests.bench.faststream")  # it writes a line for every message
    logger.setLevel(logging.ERROR)
    return KafkaBroker(
        servers, logger=logger, graceful_timeout=1, allow_auto_create_topics=False, **_SETTINGS
    )
