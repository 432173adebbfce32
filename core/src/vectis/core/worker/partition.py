"""One partition as long as it is assigned: its watermark, its lanes, and whether it is full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectis.core.worker.job import Job
from vectis.core.worker.lanes import Lanes
from vectis.core.worker.rate import Rate
from vectis.core.worker.watermark import Watermark

if TYPE_CHECKING:
    from vectis.core.message import Delivery, TopicPartition
    from vectis.core.settings import ConsumerSettings

__all__ = ["Partition"]


class Partition:
    """One assignment of one partition. When it is assigned again, another one is made.

    What runs when a partition is revoked keeps its old one, so that nothing that it finishes later
    can be committed by mistake.

    Args:
        where: Topic and number.
        settings: `order`, `max_in_flight` and `max_in_flight_bytes` are used.
    """

    def __init__(self, where: TopicPartition, settings: ConsumerSettings) -> None:
        self.where = where
        self.watermark = Watermark()
        self.lanes: Lanes[Job] = Lanes()
        self.running: set[Job] = set()
        self.revoked = False
        self.paused = False
        self.letters = Rate(settings.dead_letters_per_minute)
        self.quiet_until = 0.0  # monotonic seconds; set while too many dead letters are written
        self._order = settings.order
        self._most = settings.max_in_flight
        self._most_bytes = settings.max_in_flight_bytes

    def receive(self, delivery: Delivery) -> tuple[Job, bool]:
        """Note a delivery; return its job, and whether it may run now."""
        size = len(delivery.value or b"") + len(delivery.key or b"")
        lane = self._lane(delivery)
        job = Job(delivery, self, self.watermark.receive(delivery.offset, size), lane)
        return job, lane is None or self.lanes.enter(lane, job)

    def finish(self, job: Job) -> Job | None:
        """Note that a job is finished; return the next of its lane."""
        job.finished = True
        self.watermark.finish(job.held)
        return None if job.lane is None else self.lanes.leave(job.lane)

    @property
    def full(self) -> bool:
        """Whether as much is held as may be, in deliveries or in bytes."""
        if self.quiet_until:
            return True
        mark = self.watermark
        return len(mark) >= self._most or mark.size >= self._most_bytes

    @property
    def has_room(self) -> bool:
        """Whether it is worth while to fetch again: at half of the bounds, against flapping."""
        if self.quiet_until:
            return False
        mark = self.watermark
        return len(mark) <= self._most // 2 and mark.size <= self._most_bytes // 2

    def _lane(self, delivery: Delivery) -> bytes | None:
        if self._order == "key":
            return delivery.key
        return b"" if self._order == "partition" else None
