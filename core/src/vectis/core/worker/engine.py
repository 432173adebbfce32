"""Order per key and concurrency across keys: lanes, runners and watermarks put together.

The engine is told what was received and what was revoked, and tells how far each partition is
finished. It neither fetches nor commits; what a job needs done is in `Handling`.
"""

from __future__ import annotations

import asyncio
from itertools import groupby
from operator import attrgetter
from time import monotonic
from typing import TYPE_CHECKING, Any

from vectis.core.worker.batches import Batch, Batches
from vectis.core.worker.batching import ONWARD
from vectis.core.worker.clock import RealClock
from vectis.core.worker.judge import NEVER
from vectis.core.worker.partition import NOTHING, Partition, fetch_size
from vectis.core.worker.runners import Runners

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator

    from vectis.core.message import Delivery, TopicPartition
    from vectis.core.settings import ConsumerSettings
    from vectis.core.worker.clock import Clock, Timer
    from vectis.core.worker.handling import Handling
    from vectis.core.worker.job import Job

__all__ = ["Engine"]

_WHERE = attrgetter("topic", "partition")
_NUMBER = attrgetter("partition")


class Engine:
    """Runs the jobs of the assigned partitions.

    Args:
        handling: Takes a job as far as it goes.
        settings: `concurrency`, `order` and the bounds of a partition are used.
        moved: Called with a partition that has finished something, and whose `moved` was not set.
        resume: Called with the place of a paused partition that has room again.
        clock: What retries wait by; default: the real one.

    Attributes:
        fetch_size: How many deliveries to ask for at once.
        partitions: Those that are assigned, by topic and number.
    """

    def __init__(
        self,
        handling: Handling,
        settings: ConsumerSettings,
        moved: Callable[[Partition], None],
        resume: Callable[[TopicPartition], None],
        clock: Clock | None = None,
    ) -> None:
        self._handling = handling
        self._settings = settings
        self._moved = moved
        self._resume = resume
        self._clock = clock or RealClock()
        handling.batches = Batches(lambda batch: self._runners.offer((batch,)))
        self._runners: Runners[Job | Batch] = Runners(
            self._begin, self._done, self._cut_off, self._lost, settings.concurrency
        )
        self._waiting: dict[Job, Timer] = {}
        self._halted = False
        self._draining = 0
        self._ended = asyncio.Event()
        callees = [callee for several in handling.callees.values() for callee in several]
        self.fetch_size = fetch_size(settings, [callee.batch or 0 for callee in callees])
        self._topics: set[str] = set()  # of all partitions that were ever assigned
        # A plain tuple is equal to a TopicPartition, and cheaper to make.
        self.partitions: dict[tuple[str, int], Partition] = {}

    # ------------------------------------------------------------ what comes in

    def assign(self, where: Iterable[TopicPartition]) -> None:
        """Begin with partitions that are ours now."""
        for one in where:
            self._topics.add(one.topic)
            self.partitions[one] = partition = Partition(one, self._settings, self.fetch_size)
            if self._halted:
                partition.halt()

    def receive(self, deliveries: Iterable[Delivery]) -> None:
        """Take deliveries in; each runs as soon as its lane and a runner are free."""
        for where, run in self._runs(deliveries):
            partition = self.partitions.get(where)
            if partition is not None:  # else it was revoked between fetch and here
                self._runners.offer(partition.receive(run))

    def _runs(
        self, deliveries: Iterable[Delivery]
    ) -> Iterable[tuple[tuple[str, int], Iterator[Delivery]]]:
        """Take deliveries apart where the partition changes."""
        if len(self._topics) > 1:
            return groupby(deliveries, _WHERE)
        # Numbers alone are cheaper to compare than pairs.
        (topic,) = self._topics or ("",)
        return (((topic, number), run) for number, run in groupby(deliveries, _NUMBER))

    def full(self) -> list[TopicPartition]:
        """Return partitions that became full: they are to be paused."""
        found = [p for p in self.partitions.values() if not p.paused and p.full]
        for partition in found:
            partition.paused = True
            partition.calm = False
        return [partition.where for partition in found]

    @property
    def running(self) -> list[Job]:
        """The jobs whose handlers run now."""
        partitions = self.partitions.copy().values()  # copies: it may be asked from any thread
        return [job for partition in partitions for job in partition.running.copy()]

    @property
    def awaited(self) -> list[tuple[Job, asyncio.Task[None], Job | Batch]]:
        """The jobs whose handlers wait for something, each with its task and its frame.

        May be asked from any thread.
        """
        return [
            (job, task, frame)
            for task, frame in self._runners.running
            for job in (tuple(frame.jobs) if isinstance(frame, Batch) else (frame,))
        ]

    @property
    def retrying(self) -> int:
        """How many jobs wait for their next attempt."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether a handler runs or something is ready to; not what waits for its next attempt."""
        return self._runners.busy

    async def broken(self) -> None:
        """Wait for a mistake that leaves a job stuck, and raise it; usually for ever."""
        raise await asyncio.wrap_future(self._runners.broken)

    # ------------------------------------------------------------ running

    def _begin(self, job: Job | Batch) -> Awaitable[Any] | None:
        if self._draining:
            self._ended.set()  # most are done at once, and nobody else tells whoever drains
        if isinstance(job, Batch):
            return self._begin_batch(job)
        partition = job.partition
        if job.offset > partition.until:
            return None  # it comes again, here or elsewhere
        if partition.quiet_until and self._keeps_quiet(job, partition):
            return None
        awaited = self._handling.begin(job)
        if awaited is not None:
            partition.running[job] = monotonic()
            return awaited
        if (following := self._finish(job)) is not None:
            self._runners.follow(following)
        return None

    def _keeps_quiet(self, job: Job, partition: Partition) -> bool:
        """Put a job off while its partition has had too many dead letters."""
        quiet = partition.quiet_until - self._clock.now()
        if quiet > 0:
            self._later(job, quiet)
            return True
        partition.quiet_until = 0.0
        return False

    def _begin_batch(self, batch: Batch) -> Awaitable[Any]:
        self._handling.batches.fill(batch)
        for job in batch.jobs:
            job.partition.running[job] = 0.0
        return self._handling.batching.run(batch)

    def _done(self, job: Job | Batch, answer: Any) -> None:
        """Note what became of what was awaited."""
        if self._draining:
            self._ended.set()
        if isinstance(job, Batch):
            following = [after for one, wait in answer if (after := self._after(one, wait))]
            self._runners.offer(following, first=True)
        elif (after := self._after(job, answer)) is not None:
            self._runners.follow(after)

    def _after(self, job: Job, wait: float | None) -> Job | None:
        """Note that a job is finished, or has to wait; return the next of its lane."""
        partition = job.partition
        if wait is None:
            partition.running.pop(job, None)
            return self._finish(job)
        # One that waits for a batch handler has taken itself out, and may run in it by now.
        if wait != NEVER or partition.dropped:
            partition.running.pop(job, None)
        if wait == ONWARD:
            self._onward(job)
        else:
            self._later(job, wait)
        if not partition.calm:
            self._notice(partition)
        return None

    def _finish(self, job: Job) -> Job | None:
        """Note that a job is finished; return the next of its lane."""
        partition = job.partition
        job.finished = True
        if not partition.calm:
            self._notice(partition)
        return partition.lanes.leave(job)

    def _notice(self, partition: Partition) -> None:
        """See to a partition in which a job was done."""
        if partition.dropped:
            return  # it went to another member, and perhaps came back as another one
        if not partition.moved:
            partition.moved = True
            self._moved(partition)
        if partition.paused and partition.has_room:
            partition.paused = False
            self._resume(partition.where)
        partition.calm = not (partition.paused or partition.draining)

    def _cut_off(self, job: Job | Batch) -> Any:
        """Return what becomes of a job that was cancelled while none of its handlers ran."""
        if isinstance(job, Batch):
            return [(one, self._cut_off(one) if one.partition.dropped else 0.0) for one in job.jobs]
        self._handling.judge.was_cut_off(job)
        return NEVER

    def _onward(self, job: Job) -> None:
        """Let a job's next handler have a turn, also while its partition drains."""
        if job.offset <= job.partition.until:
            self._runners.offer((job,))

    def _lost(self, job: Job | Batch) -> None:
        for one in job.jobs if isinstance(job, Batch) else (job,):
            one.partition.running.pop(one, None)
        self._ended.set()

    def _later(self, job: Job, seconds: float) -> None:
        """Run a job again after a while. Its lane is held, a runner is not."""
        if seconds == NEVER or job.offset > job.partition.until or job.partition.draining:
            return  # it comes again

        def again() -> None:
            del self._waiting[job]
            self._runners.offer((job,))

        # By way of the event loop even at once: a handler may ask for nothing else, for ever.
        self._waiting[job] = self._clock.call_later(seconds, again)

    # ------------------------------------------------------------ ending

    async def revoke(self, where: Collection[TopicPartition], timeout: float) -> list[str]:
        """Let what was begun in these partitions finish, and drop the rest.

        Args:
            where: The partitions.
            timeout: Seconds until what still runs is cancelled.

        Returns:
            What was cancelled, as `plugin:handler at topic/partition@offset`.
        """
        leaving = {self.partitions[one] for one in where if one in self.partitions}
        return await self._drain(leaving, timeout)

    def halt(self) -> None:
        """Let nothing begin that lies above what was begun already."""
        self._halted = True
        for partition in self.partitions.values():
            partition.halt()

    async def stop(self, timeout: float) -> list[str]:
        """As `revoke`, for everything, and the runners end."""
        self.halt()
        cut_off = await self._drain(set(self.partitions.values()), timeout)
        self._handling.judge.closing = True
        await self._runners.close()
        return cut_off

    async def _drain(self, leaving: set[Partition], timeout: float) -> list[str]:
        """Finish what was begun, and for the first half of the time also what lies below it.

        What is finished above something unfinished cannot be committed, and would come again.
        """
        batches = self._handling.batches

        def theirs(job: Job | Batch) -> bool:
            if isinstance(job, Batch):
                return any(one.partition in leaving for one in job.jobs)
            return job.partition in leaving

        def beyond(job: Job | Batch) -> bool:
            return not isinstance(job, Batch) and theirs(job) and job.offset > job.partition.until

        for partition in leaving:
            partition.halt()
            partition.draining = True
            partition.calm = False
        for job in [job for job in self._waiting if theirs(job)]:
            self._waiting.pop(job).cancel()
        for _ in range(2):
            self._runners.withdraw(beyond)
            batches.withdraw(beyond)
            await self._until_ended(leaving, theirs, timeout / 2)
            for partition in leaving:
                partition.until = NOTHING
        cut_off = [job for partition in leaving for job in partition.running]
        for partition in leaving:
            partition.dropped = True

        def cancelled(job: Job | Batch) -> bool:
            # What stays of a batch must not run again while a thread still has it: it waits for
            # that, and what is gone counts no more.
            return theirs(job) and not (
                isinstance(job, Batch)
                and any(not one.partition.dropped for one in job.jobs)
                and job.kept_by_thread()
            )

        if cut_off:
            self._handling.judge.cut_off(cut_off)
            self._runners.cancel(cancelled)
        return [self._handling.named(job) for job in sorted(cut_off, key=_by_place)]

    async def _until_ended(
        self, leaving: set[Partition], theirs: Callable[[Job | Batch], bool], timeout: float
    ) -> None:
        self._draining += 1
        try:
            async with asyncio.timeout(timeout):
                while (
                    any(partition.running for partition in leaving)
                    or self._runners.holds(theirs)
                    or self._handling.batches.holds(theirs)
                ):
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


def _by_place(job: Job) -> tuple[TopicPartition, int]:
    return job.partition.where, job.offset
