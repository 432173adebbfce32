"""A transport that keeps everything in the memory of one process: for tests, not for work.

It holds the same contract as the durable ones, group sharing and refused late commits included, and
nothing outlives it. It may be used from several threads, and from one event loop after another.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vectis.core.hookspecs import hookimpl
from vectis.core.testing._memory_broker import Broker
from vectis.core.testing._memory_consumer import MemoryConsumer
from vectis.core.transport import Carrier

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from vectis.core.hub import Hub
    from vectis.core.message import Message, Receipt
    from vectis.core.partition import TopicState
    from vectis.core.subscription import Subscription
    from vectis.core.transport import Consumer, Route

__all__ = ["MemoryTransport"]


class MemoryTransport:
    """Topics, groups and commits in the memory of this process; register it with a hub as a plugin.

    Args:
        partitions: How many partitions each topic has.
        skip_offsets: Offsets that are never given to a record, as compaction leaves them behind;
            `range(1, 1000, 2)` makes every second one a hole.

    Example:
        >>> import asyncio
        >>> from vectis.core.message import Message
        >>> from vectis.core.testing import MemoryTransport
        >>> transport = MemoryTransport(partitions=4)
        >>> async def publish() -> str:
        ...     receipt = await transport.carrier("orders").send(Message("orders", b"7", b"{}"))
        ...     return f"{receipt.topic}/{receipt.partition}@{receipt.offset}"
        >>> asyncio.run(publish())
        'orders/2@0'
    """

    name = "memory"

    def __init__(self, *, partitions: int = 8, skip_offsets: Container[int] = ()) -> None:
        self._broker = Broker(partitions, skip_offsets)

    def carrier(self, topic: str) -> Carrier:
        """Return what takes messages to a topic."""
        return Carrier(send=self._send, send_many=self._send_many, close=_closed, describe="memory")

    def consumer(self, topics: Sequence[str], group: str | None) -> Consumer:
        """Return a new member of a group, or a reader without one, not yet started."""
        return MemoryConsumer(self._broker, tuple(topics), group)

    def describe_topics(self) -> list[TopicState]:
        """Return how every topic and every group's progress stands, topics by name."""
        return self._broker.describe()

    @property
    def idle(self) -> bool:
        """Whether a consumer waits for records, having read all that it may."""
        return bool(self._broker.waiting)

    def expire(self, consumer: Consumer) -> None:
        """Take a member's partitions away, as if its process had been paused past its lease.

        It learns of it in its next `fetch`; until then its commits are refused with `LeaseLost`.

        Args:
            consumer: A consumer of this transport.
        """
        if not isinstance(consumer, MemoryConsumer):
            raise TypeError(f"not a consumer of the memory transport: {consumer!r}")
        with self._broker.lock:
            consumer.state.remove(consumer)
            self._broker.ring()

    @hookimpl
    def vectis_subscribe(
        self, route: Route, subscription: Subscription, hub: Hub
    ) -> Callable[[], None] | None:
        """Take over what is consumed by the worker; there is nothing to prepare, or to undo."""
        return _nothing if route.scope == "service" else None

    @hookimpl
    def vectis_emit(self, route: Route, hub: Hub) -> Carrier | None:
        """Offer to carry every topic."""
        return self.carrier(route.name) if route.scope == "service" else None

    @hookimpl
    def vectis_consume(self, topics: Sequence[str], group: str | None, hub: Hub) -> Consumer | None:
        """Offer to read every topic."""
        return self.consumer(topics, group)

    def _send(self, message: Message) -> asyncio.Future[Receipt]:
        # Not a coroutine: the order of the calls is the order of the records.
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        answer.set_result(self._broker.append(message))
        return answer

    def _send_many(
        self, messages: Sequence[Message]
    ) -> asyncio.Future[list[Receipt | BaseException]]:
        answer: asyncio.Future[list[Receipt | BaseException]]
        answer = asyncio.get_running_loop().create_future()
        answer.set_result([self._broker.append(message) for message in messages])
        return answer


def _nothing() -> None:
    """The undo of something that left no trace."""


async def _closed() -> None:
    """The end of a producer that held nothing."""
