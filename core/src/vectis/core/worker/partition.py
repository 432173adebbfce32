"""One partition as long as it is assigned: its watermark, its lanes, and whether it is full."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from vectis.core.worker.job import Job
from vectis.core.worker.lanes import Lanes
from vectis.core.worker.rate import Rate
from vectis.core.worker.watermark import Watermark

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vectis.core.message import Delivery, TopicPartition
    from vectis.core.settings import ConsumerSettings

__all__ = ["EVERYTHING", "NOTHING", "Partition", "fetch_size"]

# Deliveries asked for at once when a hundred handlers may run. More of them fall out of the
# processor's caches where no handler waits; where hundreds do, fewer share what a fetch costs.
_FETCH = 128

EVERYTHING, NOTHING = inf, -inf
"""Bounds of the offsets that may begin."""


def fetch_size(settings: ConsumerSettings, batches: Iterable[int]) -> int:
    """Return how many deliveries to ask for at once: enough for all handlers and a full batch.

    All of them may be of one partition, and as many must fit into it before it is paused.

    Args:
        settings: `concurrency` and `max_in_flight` are used.
        batches: How many deliveries the batch handlers take.
    """
    wanted = max(_FETCH, settings.concurrency, *batches)
    return min(wanted, max(1, settings.max_in_flight // 4))


class Partition:
    """One assignment of one partition. When it is assigned again, another one is made.

    What runs when a partition is revoked keeps its old one, so that nothing that it finishes later
    can be committed by mistake.

    Args:
        where: Topic and number.
        settings: `order`, `max_in_flight` and `max_in_flight_bytes` are used.
        fetched: How many deliveries a fetch may bring.
    """

    def __init__(self, where: TopicPartition, settings: ConsumerSettings, fetched: int) -> None:
        self.where = where
        self.watermark: Watermark[Job] = Watermark()
        self.lanes: Lanes[Job] = Lanes()
        # With the monotonic seconds when the handler began that is awaited; 0.0 between handlers.
        self.running: dict[Job, float] = {}
        self.until: float = EVERYTHING  # nothing above this offset may begin
        self.draining = False  # whether it is about to go
        self.dropped = False  # whether it is gone, and what is finished now comes too late
        self.paused = False
        self.letters = Rate(settings.dead_letters_per_minute)
        self.quiet_until = 0.0  # monotonic seconds; set while too many dead letters are written
        self.quiet_told = -inf  # monotonic seconds, when that was reported last
        self.received = 0  # how many deliveries
        self.settled = 0  # how many of them the last commit was for
        self.moved = False  # whether something was finished since the last commit
        self.calm = False  # whether nothing is to be done when another job is finished
        self._by_key = settings.order == "key"
        self._lane = b"" if settings.order == "partition" else None  # of every delivery, then
        self._most = settings.max_in_flight
        self._fetched = fetched
        self._most_bytes = settings.max_in_flight_bytes

    def receive(self, deliveries: Iterable[Delivery]) -> list[Job]:
        """Note deliveries; return the jobs that may run now, the others wait in their lanes.

        Raises:
            ValueError: An offset is not greater than the one before.
        """
        by_key, lane = self._by_key, self._lane
        jobs = [Job(delivery, self, delivery.key if by_key else lane) for delivery in deliveries]
        self.watermark.receive(jobs)
        self.received += len(jobs)
        return self.lanes.enter(jobs)

    @property
    def passed(self) -> int:
        """How many deliveries lie below the watermark, which is moved."""
        self.watermark.advance()
        return self.received - len(self.watermark)

    def halt(self) -> None:
        """Let nothing begin that lies above what was begun already."""
        if self.until == EVERYTHING:
            begun = [
                job.offset for job in self.watermark if job.finished or job.read or job.trouble
            ]
            self.until = max(begun, default=NOTHING)

    @property
    def full(self) -> bool:
        """Whether another fetch might bring more than may be held, or the bytes are too many.

        Asking moves the watermark, as `has_room` and `passed` do.
        """
        if self.quiet_until:
            return True
        mark = self.watermark
        mark.advance()
        return len(mark) + self._fetched > self._most or mark.size >= self._most_bytes

    @property
    def has_room(self) -> bool:
        """Whether it is worth while to fetch again: at half of the bounds, against flapping."""
        if self.quiet_until:
            return False
        mark = self.watermark
        mark.advance()
        return len(mark) <= self._most // 2 and mark.size <= self._most_bytes // 2
