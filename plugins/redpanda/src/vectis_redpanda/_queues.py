"""Messages that wait to be sent: one queue for each partition, in the order of the calls.

Nothing here waits or connects. What was taken from a queue and not written goes back to its front.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache, partial
from itertools import count
from time import time_ns
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
from aiokafka.partitioner import murmur2

from vectis.core.exceptions import PublishError
from vectis.core.message import Receipt
from vectis_redpanda._internals import note_records, records_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from aiokafka import AIOKafkaProducer

    from vectis.core.message import Message

__all__ = ["Flight", "PartitionQueue", "Session", "TopicQueues", "Waiting", "waiting_of"]

_PLENTY = 1 << 30  # bytes that no batch has
_RUN = 16  # messages without a key that go to one partition before the next one gets some


class Waiting(NamedTuple):
    """A message that waits, the answer that somebody awaits, and when it came, in loop time."""

    message: Message
    answer: asyncio.Future[Receipt]
    since: float


waiting_of: Callable[[tuple[Message, asyncio.Future[Receipt], float]], Waiting]
# Calling the class costs five times as much, and there is one for each message.
waiting_of = partial(tuple.__new__, Waiting)


@attrs.define(eq=False)
class Session:
    """One producer of aiokafka.

    Args:
        producer: It.
        flights: How many batches it has under way.
        worn: It must not be given another one: it has lost its place in a sequence.
    """

    producer: AIOKafkaProducer
    flights: int = 0
    worn: bool = False


class Flight:
    """A batch on its way: the only one of its partition, until the broker has answered.

    Args:
        queue: Where the messages came from.
        taken: The messages, in order.
        session: What carries it.
        since: When it left, in loop time.
    """

    __slots__ = ("queue", "session", "since", "taken")

    def __init__(
        self, queue: PartitionQueue, taken: list[Waiting], session: Session, since: float
    ) -> None:
        self.queue = queue
        self.taken = taken
        self.session = session
        self.since = since

    def landed(self, offset: int) -> None:
        """Tell everybody that the messages are written, the first one at this offset."""
        topic, number = self.queue.topic, self.queue.number
        if offset < 0:  # a broker that finds that it has the batch already may not know where
            for _, answer, _ in self.taken:
                if not answer.done():
                    answer.set_result(Receipt(topic, number, -1))
            return
        for _, answer, _ in self.taken:
            if not answer.done():
                answer.set_result(Receipt(topic, number, offset))
            offset += 1


class PartitionQueue:
    """What waits to be sent to one partition.

    Args:
        topic: The topic's name.
        number: The partition's number.

    Attributes:
        flight: The batch that was sent and not answered yet; until then nothing else is sent.
        limit: Bytes of a batch, when the broker has refused a larger one; 0 for no such limit.
        refused: Bytes of the smallest batch that was refused while it is not known whether one of
            its messages was to blame; 0 when none was.
    """

    __slots__ = ("flight", "limit", "number", "refused", "topic", "waiting")

    def __init__(self, topic: str, number: int) -> None:
        self.topic = topic
        self.number = number
        self.waiting: deque[Waiting] = deque()
        self.flight: Flight | None = None
        self.limit = 0
        self.refused = 0

    def fill(self, batch: Any) -> list[Waiting]:
        """Put as many messages into a batch as it takes, and return them.

        Those that nobody waits for any more are dropped, and those that are none are refused.

        Args:
            batch: What aiokafka's `create_batch` returned.
        """
        waiting = self.waiting
        taken: list[Waiting] = []
        append, limit = records_of(batch).append, self.limit
        now = time_ns() // 1_000_000
        while waiting:
            message, answer, _ = one = waiting[0]
            if answer.done():
                waiting.popleft()
                self.refused = 0  # it may have been to blame
                continue
            if limit and taken and batch.size() >= limit:
                break
            try:
                room = append(len(taken), now, message.key, message.value, list(message.headers))
            except Exception as error:
                waiting.popleft()
                answer.set_exception(
                    PublishError(
                        f"{self.topic}: key and value must be bytes or None, and headers pairs of "
                        f"a name and bytes ({error})",
                        fate="rejected",
                    )
                )
                continue
            if room is None:
                break
            waiting.popleft()
            taken.append(one)
        note_records(batch, len(taken))
        return taken

    def put_back(self, taken: Iterable[Waiting]) -> None:
        """Put messages back to the front, in the order they had."""
        self.waiting.extendleft(reversed(list(taken)))

    def shrink(self, taken: Iterable[Waiting]) -> None:
        """Make batches smaller, since one with these messages in it was refused as a whole."""
        size = sum(one.message.size for one in taken)
        self.refused = min(self.limit or size, size)
        self.limit = max(1, self.refused // 2)

    def grow(self) -> None:
        """Make batches larger again after one was written, up to what was refused."""
        if not self.refused or 2 * self.limit < self.refused:
            self.limit *= 2
        if self.limit > _PLENTY:
            self.limit = 0

    def overdue(self, before: float) -> Iterator[Waiting]:
        """Take out those that came before then, the oldest first."""
        waiting = self.waiting
        while waiting and (waiting[0].answer.done() or waiting[0].since <= before):
            self.refused = 0  # it may have been to blame
            yield waiting.popleft()


class TopicQueues:
    """The queues of a topic. Until its partitions are known, one queue holds everything.

    Args:
        name: The topic's name.

    Attributes:
        partitions: The queue of each partition, by number; empty while they are not known.
        unplaced: What came before they were known.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.partitions: list[PartitionQueue] = []
        self.unplaced = PartitionQueue(name, -1)
        self._gone: list[PartitionQueue] = []  # whose partition is gone, with a batch under way
        self._turns = count()

    def put(self, one: Waiting) -> PartitionQueue:
        """Queue a message, and return the queue that it is in."""
        partitions = self.partitions
        if not partitions:
            queue = self.unplaced
        elif (key := one.message.key) is None:
            queue = partitions[next(self._turns) // _RUN % len(partitions)]
        else:
            queue = partitions[_hashed(key) % len(partitions)]
        queue.waiting.append(one)
        return queue

    def all(self) -> Iterator[PartitionQueue]:
        """Give every queue that may have something in it, or under way."""
        yield self.unplaced
        yield from self.partitions
        yield from self._gone

    def resize(self, partitions: int) -> Sequence[PartitionQueue]:
        """Note how many partitions the topic has; return the queues that got what waited for that.

        A topic that was made anew may have fewer than before: what waited for those that are gone
        goes where its key belongs now, and what is under way to them ends by itself.
        """
        self._gone += self.partitions[partitions:]
        del self.partitions[partitions:]
        homeless: list[Waiting] = []
        for queue in (self.unplaced, *self._gone):
            homeless += queue.waiting
            queue.waiting.clear()
        self._gone = [queue for queue in self._gone if queue.flight is not None]
        for number in range(len(self.partitions), partitions):
            self.partitions.append(PartitionQueue(self.name, number))
        return list({id(queue): queue for queue in map(self.put, homeless)}.values())


@lru_cache(maxsize=8192)
def _hashed(key: bytes) -> int:
    """Return the number that decides the partition, the same as in other clients of Kafka.

    Remembered: aiokafka computes it in Python, which for a UUID takes longer than all the rest.
    """
    return int(murmur2(key)) & 0x7FFFFFFF
