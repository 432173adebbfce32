"""How far a worker came: what is finished, and when that is committed."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING

from vectis.core.exceptions import LeaseLost, TransportError
from vectis.core.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from vectis.core.message import TopicPartition
    from vectis.core.transport import Consumer
    from vectis.core.worker.partition import Partition
    from vectis.core.worker.report import Report

__all__ = ["Progress"]

logger = logging.getLogger("vectis.worker")

_LAST_COMMIT = 3.0  # seconds that the commit at the end may take


class Progress:
    """The watermarks of one consumer that are not committed yet.

    Args:
        consumer: Stores the offsets.
        report: Its `uncommitted` tells why the last commit failed.
        interval: Seconds from the first finished delivery to the commit, at most.
    """

    def __init__(self, consumer: Consumer, report: Report, interval: float) -> None:
        self._consumer = consumer
        self._report = report
        self._interval = interval
        self._moved: dict[TopicPartition, Partition] = {}
        self._something = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self.committed = 0.0
        """When progress was committed last, in monotonic seconds; 0.0 before."""

    def moved(self, partition: Partition) -> None:
        """Note a partition of which something was finished; `moved` is set on it."""
        self._moved[partition.where] = partition
        self._something.set()

    async def keep_committing(self) -> None:
        """Commit what is finished, again and again, until cancelled.

        Beside the handlers and not between them: one that waits for its next attempt must not hold
        up what others have finished.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        late = 0.0  # seconds from when the last commit was due until it was made
        while True:
            if not self._something.is_set():
                await self._something.wait()
                began = loop.time()
            # What comes again after a kill is of one interval: of the time from when one commit
            # looked at what is finished until the next one is made. After slow ones, a quick one
            # waits for half of that nevertheless.
            due = began + self._interval - late
            await asyncio.sleep(due - loop.time())
            began = loop.time()
            await self.commit()
            late = min(loop.time() - due, self._interval / 2)

    async def commit(self) -> None:
        """Commit what is finished; on an error it stays noted, and is committed next time."""
        async with self._one_at_a_time:
            self._something.clear()
            moved, self._moved = self._moved, {}
            held = self._consumer.assignment()
            offsets: dict[TopicPartition, int] = {}
            passed: dict[Partition, int] = {}
            for where, partition in moved.items():
                partition.moved = partition.calm = False
                count = partition.passed
                position = partition.watermark.position
                if position is not None and where in held:
                    offsets[where], passed[partition] = position, count
            if not offsets:
                return
            try:
                await self._consumer.commit(offsets)
            except LeaseLost as error:
                logger.warning("%s%s", error, self._overlapping(error.partitions, passed))
            except BaseException as error:
                for partition in moved.values():  # it is still to be committed
                    partition.moved = True
                    self.moved(partition)
                if not isinstance(error, TransportError):
                    raise
                if not self._report.uncommitted:  # said once, and not with every try
                    logger.error("progress is not committed, trying again until it is: %s", error)
                self._report.uncommitted = one_line(str(error))
                return
            for partition, count in passed.items():
                partition.settled = count
            self.committed = monotonic()
            if self._report.uncommitted:
                logger.info("progress is committed again")
                self._report.uncommitted = ""

    def _overlapping(
        self, lost: Collection[TopicPartition], passed: Mapping[Partition, int]
    ) -> str:
        """Count what was finished here when its partition was gone; return it in words."""
        late = {p.where: count - p.settled for p, count in passed.items() if p.where in lost}
        self._report.overlapping += sum(late.values())
        found = ", ".join(f"{late[where]} of {where}" for where in sorted(late))
        return f". Finished too late, perhaps there at the same time: {found}" if late else ""

    async def commit_at_the_end(self) -> None:
        """Commit for the last time; a transport that does not answer holds the end for 3 s."""
        try:
            async with asyncio.timeout(_LAST_COMMIT):
                await self.commit()
        except TimeoutError:
            self._report.uncommitted = f"no answer within {_LAST_COMMIT:g} s"

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Drop partitions that went to another member."""
        for where in partitions:
            self._moved.pop(where, None)
