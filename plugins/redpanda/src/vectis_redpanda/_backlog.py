"""Everything that one event loop has to send, waiting or under way, and giving up on it.

Whoever waits for an answer gets one in time, whatever becomes of the connection. What is late is
found by looking through the queues: a timer for each message would cost more than to send it.
Nothing here connects, or sends.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

from vectis.core.exceptions import PublishError, TransportError
from vectis_redpanda._faults import unpublished

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vectis_redpanda._queues import Flight, PartitionQueue, Session, TopicQueues

__all__ = ["Backlog"]


class Backlog:
    """The queues of all topics.

    Args:
        named: The brokers, for messages.
        patience: Seconds after which a message that was not acknowledged has failed.

    Attributes:
        topics: The queues of each topic, by name.
        empty: Set when nothing waits and nothing is under way, if it was cleared before.
    """

    def __init__(self, named: str, patience: float) -> None:
        self._named = named
        self._patience = patience
        self.topics: dict[str, TopicQueues] = {}
        self.empty = asyncio.Event()

    @property
    def anybody_waits(self) -> bool:
        """Whether something is not on its way yet."""
        return any(queue.waiting for queue in self._queues)

    @property
    def waiting_topics(self) -> list[str]:
        """The topics that have something waiting."""
        return [
            name
            for name, queues in self.topics.items()
            if any(queue.waiting for queue in queues.all())
        ]

    @property
    def outstanding(self) -> bool:
        """Whether something waits or is under way, be it that nobody waits for its answer."""
        return any(queue.waiting or queue.flight for queue in self._queues)

    def tell_if_empty(self) -> None:
        """Set `empty` if that is so."""
        if not self.outstanding:
            self.empty.set()

    # ------------------------------------------------------------ what is late

    def sweep(self, now: float, why: object) -> float | None:
        """Give up on what is late.

        Args:
            now: The time, in loop time.
            why: What keeps those that are still waiting.

        Returns:
            Since when the oldest one is there that somebody still waits for; None if nobody does.
        """
        before = now - self._patience
        oldest: list[float] = []
        for queue in self._queues:
            for message, answer, _ in queue.overdue(before):
                if not answer.done():
                    answer.set_exception(self._late(message.topic, why))
            oldest += [queue.waiting[0].since] if queue.waiting else []
            if queue.flight is not None:
                self._fail_flight(queue.flight, before)
                oldest += [since for _, answer, since in queue.flight.taken if not answer.done()]
        self.tell_if_empty()
        return min(oldest, default=None)

    def stuck(self, now: float) -> set[Session]:
        """Return the sessions that have had something under way for much too long."""
        before = now - 3 * self._patience
        flights = (queue.flight for queue in self._queues)
        return {one.session for one in flights if one is not None and one.since < before}

    def abandon(self, session: Session, now: float) -> list[PartitionQueue]:
        """Give up on what a session has under way; return the queues that may go on without it."""
        left = []
        for queue in self._queues:
            if queue.flight is not None and queue.flight.session is session:
                self._fail_flight(queue.flight, now)
                queue.flight = None
                session.flights -= 1
                left.append(queue)
        return left

    # ------------------------------------------------------------ what has failed

    def fail(self, queue: PartitionQueue, error: BaseException) -> None:
        """Tell everybody in a queue that their message is not sent."""
        for message, answer, _ in queue.waiting:
            if not answer.done():
                failure = unpublished(error, queue.topic, message.size, sent=False)
                answer.set_exception(failure)
        queue.waiting.clear()

    def fail_waiting(self, error: BaseException) -> None:
        """Tell everybody whose message waits."""
        for queue in self._queues:
            self.fail(queue, error)
        self.tell_if_empty()

    def give_up(self, trouble: TransportError | None) -> None:
        """Tell everybody, also those whose message is under way, that the connection was closed.

        Args:
            trouble: Why the brokers could not be reached; None when they could.
        """
        closed = f"the connection to {self._named} was closed"
        for queue in self._queues:
            self.fail(queue, trouble or TransportError(closed))
            if queue.flight is not None:
                self._fail_flight(queue.flight, inf, f"not acknowledged when {closed}")

    def forget(self, topic: str) -> list[PartitionQueue]:
        """Drop the queues of a topic, unless something waits or is under way; return those."""
        queues = list(self.topics[topic].all())
        if any(queue.waiting or queue.flight for queue in queues):
            return []
        del self.topics[topic]
        return queues

    @property
    def _queues(self) -> Iterator[PartitionQueue]:
        for queues in self.topics.values():
            yield from queues.all()

    def _fail_flight(self, flight: Flight, before: float, why: str = "") -> None:
        """Tell those of a batch whose message came before then."""
        queue = flight.queue
        said = why or f"not acknowledged by {self._named} within {self._patience:.3g} s"
        for _, answer, since in flight.taken:
            if since <= before and not answer.done():
                answer.set_exception(
                    PublishError(
                        f"{queue.topic}/{queue.number}: sent, and {said}. It may be there all "
                        "the same: publish again with the same event_id",
                        fate="unknown",
                    )
                )

    def _late(self, topic: str, why: object) -> PublishError:
        return PublishError(
            f"{topic}: not sent within {self._patience:.3g} s: {why}", fate="not_sent"
        )
