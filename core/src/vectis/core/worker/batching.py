"""A turn of a batch handler: one call for many jobs, and what becomes of each of them."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from vectis.core.closing import closes
from vectis.core.worker.errors import failures_of
from vectis.core.worker.judge import NEVER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from vectis.core.worker.attempt import Attempts
    from vectis.core.worker.batches import Batch
    from vectis.core.worker.calling import Callee
    from vectis.core.worker.job import Job
    from vectis.core.worker.judge import Judge

__all__ = ["ONWARD", "Batching"]

ONWARD = -1.0
"""In place of seconds to wait: nothing failed, and a job goes on as soon as its turn comes."""


class Batching:
    """Runs the batches of one worker.

    What becomes of a job is told as `Handling` tells it, or is `ONWARD`.

    Args:
        callees: The handlers per event type.
        attempts: Calls them.
        judge: Decides what becomes of jobs that fail.
        advance: Takes a job on that is through with its batch, as far as it goes.
    """

    def __init__(
        self,
        callees: Mapping[str, tuple[Callee, ...]],
        attempts: Attempts,
        judge: Judge,
        advance: Callable[[Job], Awaitable[float | None]],
    ) -> None:
        self._callees = callees
        self._attempts = attempts
        self._judge = judge
        self._advance = advance

    async def run(self, batch: Batch) -> list[tuple[Job, float | None]]:
        """Call a batch handler once; return its jobs with what became of each."""
        callee, jobs = batch.callee, batch.jobs
        if not jobs:
            return []  # they were withdrawn meanwhile
        since = monotonic()
        for job in jobs:
            job.partition.running[job] = since
        failed: Mapping[int, BaseException] = {}
        try:
            await self._attempts.of_many(batch)
        except BaseException as error:
            if closes(error):
                raise  # the loop is gone
            # What came out of a thread is true of those that stay, whoever else was cut off.
            if not batch.kept_by_thread() and (
                cut_off := [job for job in jobs if self._judge.was_cut_off(job)]
            ):
                # Those of other partitions went down with them.
                return [(job, NEVER if job in cut_off else ONWARD) for job in jobs]
            if isinstance(error, asyncio.CancelledError) and self._judge.closing:
                raise
            failed = failures_of(error, len(jobs))
        finally:
            batch.finished = True
            for job in jobs:
                job.partition.running[job] = 0.0
        await self._judge.calm()
        return [(job, await self._settle(job, callee, failed.get(n))) for n, job in enumerate(jobs)]

    async def _settle(self, job: Job, callee: Callee, error: BaseException | None) -> float | None:
        """Return what becomes of one job of a batch."""
        if self._judge.was_cut_off(job):
            return NEVER
        wait: float | None = None
        if error is not None:
            wait = await self._judge.after(job, callee, error)
        else:
            callee.passed(job)
        if job.partition.dropped:  # while that was settled: another member has it by now
            self._judge.was_cut_off(job)
            return NEVER
        if error is not None:
            return await self._advance(job) if wait is None else wait
        assert job.received is not None  # it was in the batch
        if job.handler < len(self._callees[job.received.type]):
            return ONWARD  # its next handler must not hold up the others
        return await self._advance(job)
