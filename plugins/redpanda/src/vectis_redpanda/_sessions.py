"""The producers of aiokafka that one event loop has: one in use, and those that end beside it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from vectis_redpanda._internals import drop_producer
from vectis_redpanda._link import stop_producer
from vectis_redpanda._queues import Session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from aiokafka import AIOKafkaProducer

    from vectis_redpanda._link import Link

__all__ = ["Sessions"]

T = TypeVar("T")


class Sessions:
    """Begins and ends them, beside the sending.

    Args:
        link: Connects to the brokers.
        seconds: How long one may take to begin.

    Attributes:
        current: The one in use, worn perhaps; None before the first one.
    """

    def __init__(self, link: Link, seconds: float) -> None:
        self._link = link
        self._seconds = seconds
        self.current: Session | None = None
        self._all: set[Session] = set()  # that one, and those with something under way
        self._aside: set[asyncio.Task[Any]] = set()

    async def begin(self, topics: Callable[[], list[str]]) -> Session:
        """Return a new one, which is the one in use from now on.

        Args:
            topics: Says which topics it is to look up at once.

        Raises:
            TransportError: No broker takes it.
        """
        producer = await self._link.producer(self._seconds)
        self.current = session = Session(producer)
        self._all.add(session)
        # In one request. Else one that ends soon has to ask for each of them again.
        if wanted := topics():
            producer.client.set_topics(wanted)
        return session

    def end(
        self,
        session: Session,
        closed: Callable[[AIOKafkaProducer], Awaitable[None]] = stop_producer,
    ) -> None:
        """Have one closed.

        Args:
            session: It.
            closed: How.
        """

        async def end() -> None:
            await closed(session.producer)
            self._all.discard(session)

        self.have_done(end())

    def have_done(self, job: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have something done beside the sending; it ends with `close` at the latest.

        What must happen however it ends belongs into a callback of the task that is returned: one
        that is cancelled before it begins does nothing any more.
        """
        task = asyncio.get_running_loop().create_task(job)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)
        return task

    async def close(self) -> None:
        """Close all of them; one that has something under way is dropped."""
        for task in self._aside:
            task.cancel()
        while self._all:  # what is cancelled above may end meanwhile, and take its own out
            session = self._all.pop()
            closed = drop_producer if session.flights else stop_producer
            await closed(session.producer)
