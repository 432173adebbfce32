"""The way to the brokers: what aiokafka's clients are made with, and why none of them gets through.

One for each transport. It is made without I/O; whatever connects to the brokers starts here.
"""

from __future__ import annotations

import asyncio
import contextlib
from time import monotonic
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, errors
from aiokafka.admin import AIOKafkaAdminClient

from vectis.core.exceptions import TransportError
from vectis_redpanda._diagnosis import diagnose
from vectis_redpanda._faults import explained
from vectis_redpanda._internals import create_no_topics, drop_consumer, drop_producer
from vectis_redpanda._internals_connections import leave_none_open
from vectis_redpanda._noise import quieten
from vectis_redpanda._security import client_options, servers_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from vectis_redpanda.settings import RedpandaSettings

__all__ = ["Link", "Refused", "stop_consumer", "stop_producer"]

_METADATA_AGE = 30_000  # ms; a topic that grows is noticed within that time
_HEARTBEAT = 1_000  # ms; a member learns with a heartbeat that partitions change hands
_LOOK = 5.0  # seconds to find out why nobody answers
_LAST_WORD = 2.0  # seconds for what was flushed to be closed in an orderly way


class Refused(TransportError):
    """No broker takes the connection, and trying again is of no use until something is changed."""


class Link:
    """Makes aiokafka's clients.

    Args:
        settings: The `[redpanda]` settings, with servers.
        folder: Where relative paths in them start.

    Raises:
        TransportError: Settings that cannot work.
    """

    def __init__(self, settings: RedpandaSettings, folder: Path) -> None:
        self.settings = settings
        self.servers = servers_of(settings)
        self.options = client_options(settings, folder)
        self.named = ", ".join(f"{host}:{port}" for host, port in self.servers)
        quieten()

    async def producer(self, seconds: float) -> AIOKafkaProducer:
        """Return a producer that has started.

        Raises:
            Refused: No broker takes it, for a reason that stays.
            TransportError: No broker could be reached within that time.
        """
        settings = self.settings
        producer = AIOKafkaProducer(
            **self.options,
            acks="all",
            enable_idempotence=True,
            compression_type=None if settings.compression == "none" else settings.compression,
            # Whatever is larger than a batch has one of its own.
            max_batch_size=min(settings.max_batch_size, settings.max_request_size),
            max_request_size=settings.max_request_size,
            metadata_max_age_ms=_METADATA_AGE,
        )
        leave_none_open(producer)
        # What a broker refuses once it is connected to is what makes the producer idempotent.
        refused = "it takes no idempotent producer, which order and no duplicates need"
        await self._started(producer.start, lambda: drop_producer(producer), seconds, refused)
        return producer

    async def consumer(self, group: str | None, rebalance_timeout: float) -> AIOKafkaConsumer:
        """Return a consumer that has started and reads nothing yet.

        Args:
            group: The consumer group that it is to be a member of; None for none.
            rebalance_timeout: Seconds that members have to let go of their partitions.

        Raises:
            TransportError: No broker can be reached, or none takes it.
        """
        settings = self.settings
        session = int(settings.session_timeout * 1000)
        consumer = AIOKafkaConsumer(
            **self.options,
            group_id=group,
            group_instance_id=None if group is None else settings.group_instance_id,
            enable_auto_commit=False,
            # What to do without a place to go on at is decided here, and never silently.
            auto_offset_reset="none",
            isolation_level="read_committed",
            session_timeout_ms=session,
            heartbeat_interval_ms=min(_HEARTBEAT, max(1, session // 3)),
            rebalance_timeout_ms=int(rebalance_timeout * 1000),
            # aiokafka measures how long nothing was fetched. A worker whose fetches stop is found
            # by its own watchdog, and one that has everything paused is well.
            max_poll_interval_ms=2**31 - 1,
            metadata_max_age_ms=_METADATA_AGE,
            # Other requests to the same broker wait behind a fetch that waits for records.
            fetch_max_wait_ms=250,
            fetch_max_bytes=16 * 1024 * 1024,
            max_partition_fetch_bytes=512 * 1024,
        )
        leave_none_open(consumer)
        if group is None:
            create_no_topics(consumer)
        await self._started(
            consumer.start, lambda: drop_consumer(consumer), settings.request_timeout
        )
        return consumer

    @contextlib.asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        """Give a client for looking at topics and making some.

        Raises:
            TransportError: No broker can be reached, or none takes it.
        """
        client = AIOKafkaAdminClient(**self.options)
        leave_none_open(client)
        await self._started(client.start, client.close, self.settings.request_timeout)
        try:
            yield client
        finally:
            await client.close()

    async def trouble(self, seconds: float = _LOOK) -> TransportError | None:
        """Say why the brokers cannot be reached now; None when one of them answers.

        Args:
            seconds: What is to be found out is found out within about that time.
        """
        finding = await diagnose(self.settings, self.options, self.servers, seconds)
        if finding is None:
            return None
        return (Refused if finding.lasting else TransportError)(finding.text)

    async def _started(
        self,
        start: Callable[[], Awaitable[object]],
        drop: Callable[[], Awaitable[object]],
        seconds: float,
        refused: str = "",
    ) -> None:
        begun = monotonic()
        try:
            async with asyncio.timeout(seconds):
                await start()
        except BaseException as error:
            await drop()
            if not isinstance(error, Exception):
                raise
            # Also any other: an answer that makes no sense ends in whatever error it leads to.
            # Half as long again, and what the start has left: who is refused is so at once.
            left = begun + 1.5 * seconds - monotonic()
            raise await self._cause(error, min(left, _LOOK), refused) from error

    async def _cause(self, error: BaseException, seconds: float, refused: str) -> TransportError:
        found = await self.trouble(seconds)
        if found is not None:
            return found
        if isinstance(error, errors.KafkaError) and not isinstance(
            error, errors.KafkaConnectionError
        ):
            kind = TransportError if error.retriable else Refused
            said = explained(error)
            return kind(f"{self.named}: {f'{refused} ({said})' if refused else said}")
        if not isinstance(error, errors.KafkaError | OSError | TimeoutError):
            return TransportError(
                f"{self.named}: a broker answers, and not in a way that can be understood "
                f"({explained(error)}): see that [redpanda] bootstrap_servers is right"
            )
        return TransportError(
            f"{self.named}: a broker answers, and still no connection was made: see that its "
            "advertised.listeners are addresses that can be reached from here"
        )


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Close a producer that has nothing to send any more; one that hangs is dropped."""
    await _stop(producer.stop, lambda: drop_producer(producer))


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Leave the group and close a consumer; one that hangs is dropped."""
    await _stop(consumer.stop, lambda: drop_consumer(consumer))


async def _stop(
    stop: Callable[[], Awaitable[object]], drop: Callable[[], Awaitable[object]]
) -> None:
    cancelled = _cancellations()
    try:
        async with asyncio.timeout(_LAST_WORD):
            await stop()
    except (TimeoutError, errors.KafkaError, OSError):
        await drop()
    except asyncio.CancelledError:
        # Also a consumer that was about to try again lets the end of its own tasks through.
        await drop()
    if _cancellations() > cancelled:  # which `stop` takes for the end of its own tasks
        raise asyncio.CancelledError


def _cancellations() -> int:
    """Return how often the task that runs now was cancelled, and somebody expects it to end."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
