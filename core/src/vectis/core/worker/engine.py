"""Order per key and concurrency across keys: lanes, runners and watermarks put together.

The engine is told what was received and what was revoked, and tells how far each partition is
finished. It neither fetches nor commits; what a job needs done is in `Handling`.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING

from vectis.core.worker.handling import CutOff
from vectis.core.worker.partition import Partition
from vectis.core.worker.runners import Runners

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from vectis.core.message import Delivery, TopicPartition
    from vectis.core.settings import ConsumerSettings
    from vectis.core.worker.handling import Handling
    from vectis.core.worker.job import Job

__all__ = ["Engine"]

logger = logging.getLogger("vectis.worker")


class Engine:
    """Runs the jobs of the assigned partitions.

    Args:
        handling: Takes a job as far as it goes.
        settings: `concurrency`, `order` and the bounds of a partition are used.
        finished: Called when the watermark of a partition has moved.
    """

    def __init__(
        self,
        handling: Handling,
        settings: ConsumerSettings,
        finished: Callable[[Partition], None],
    ) -> None:
        self._handling = handling
        self._settings = settings
        self._moved = finished
        self._runners = Runners(self._run, settings.concurrency)
        self._waiting: dict[Job, asyncio.TimerHandle] = {}
        self._stopping = False
        self._draining = 0
        self._ended = asyncio.Event()
        self.partitions: dict[TopicPartition, Partition] = {}

    # ------------------------------------------------------------ what comes in

    def assign(self, where: Iterable[TopicPartition]) -> None:
        """Begin with partitions that are ours now."""
        for one in where:
            self.partitions[one] = Partition(one, self._settings)

    def receive(self, deliveries: Iterable[Delivery]) -> None:
        """Take deliveries in; each runs as soon as its lane and a runner are free."""
        partitions, offer = self.partitions, self._runners.offer
        for delivery in deliveries:
            partition = partitions.get(delivery.topic_partition)
            if partition is None:  # revoked between fetch and here
                continue
            job, free = partition.receive(delivery)
            if free:
                offer(job)

    def full(self) -> list[TopicPartition]:
        """Return partitions that became full: they are to be paused."""
        found = [p for p in self.partitions.values() if not p.paused and p.full]
        for partition in found:
            partition.paused = True
        return [partition.where for partition in found]

    @property
    def running(self) -> list[Job]:
        """The jobs whose handlers run now."""
        return [job for partition in self.partitions.values() for job in partition.running]

    async def broken(self) -> None:
        """Wait for a mistake that leaves a job stuck, and raise it; usually for ever."""
        raise await asyncio.wrap_future(self._runners.broken)

    # ------------------------------------------------------------ running

    async def _run(self, job: Job) -> Job | None:
        """Run a job; return the next of its lane, so that what came first is finished first."""
        partition = job.partition
        if partition.revoked or self._stopping:
            return None
        if partition.quiet_until:
            quiet = partition.quiet_until - monotonic()
            if quiet > 0:
                self._later(job, quiet)
                return None
            partition.quiet_until = 0.0
        partition.running.add(job)
        try:
            wait = await self._handling.advance(job)
        except CutOff:
            return None  # it comes again, here or elsewhere
        finally:
            partition.running.discard(job)
            if self._draining:
                self._ended.set()
        if wait is not None:
            self._later(job, wait)
            return None
        following = partition.finish(job)
        if self.partitions.get(partition.where) is not partition:
            return None  # it went to another member, and perhaps came back as another one
        self._moved(partition)
        return following

    def _later(self, job: Job, seconds: float) -> None:
        """Run a job again after a while. Its lane is held, a runner is not."""
        if self._stopping or job.partition.revoked:
            return  # it comes again

        def again() -> None:
            del self._waiting[job]
            self._runners.offer(job)

        self._waiting[job] = asyncio.get_running_loop().call_later(seconds, again)

    # ------------------------------------------------------------ ending

    async def revoke(self, where: Collection[TopicPartition], timeout: float) -> list[str]:
        """Let what runs in these partitions finish, and drop the rest.

        Args:
            where: The partitions.
            timeout: Seconds until what still runs is cancelled.

        Returns:
            What was cancelled, as `plugin:handler at topic/partition@offset`.
        """
        leaving = {self.partitions[one] for one in where if one in self.partitions}
        return await self._drain(leaving, timeout)

    def halt(self) -> None:
        """Let no further job begin."""
        self._stopping = True

    async def stop(self, timeout: float) -> list[str]:
        """As `revoke`, for everything, and the runners end."""
        self.halt()
        cut_off = await self._drain(set(self.partitions.values()), timeout)
        await self._runners.close()
        return cut_off

    async def _drain(self, leaving: set[Partition], timeout: float) -> list[str]:
        def theirs(job: Job) -> bool:
            return job.partition in leaving

        self._runners.withdraw(theirs)
        for partition in leaving:
            for _ in partition.lanes.drop_waiting():
                pass
        for job in [job for job in self._waiting if theirs(job)]:
            self._waiting.pop(job).cancel()
        await self._until_ended(leaving, timeout)
        cut_off = [self._handling.named(job) for p in leaving for job in p.running]
        for partition in leaving:
            partition.revoked = True
        if cut_off:
            self._handling.cut_off(job for p in leaving for job in p.running)
            self._runners.cancel(theirs)
        return cut_off

    async def _until_ended(self, leaving: set[Partition], timeout: float) -> None:
        self._draining += 1
        try:
            async with asyncio.timeout(timeout):
                while any(partition.running for partition in leaving):
                    self._ended.clear()
                    await self._ended.wait()
        except TimeoutError:
            return
        finally:
            self._draining -= 1

    def forget(self, where: Iterable[TopicPartition]) -> None:
        """Drop partitions that are not ours any more."""
        for one in where:
            self.partitions.pop(one, None)
