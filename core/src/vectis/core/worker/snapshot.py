"""Makes the status of a worker, from any thread and without asking its event loop for anything.

What the loop changes meanwhile is copied in one step of the interpreter before it is looked at, so
that the loop needs no lock. Nothing is counted for this: it is all there already.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from time import monotonic, time
from typing import TYPE_CHECKING

from vectis.core.redact import one_line
from vectis.core.worker.stacks import frames_in_threads, frames_of_task, place_in
from vectis.core.worker.status import (
    DeliveryStatus,
    HandlerStatus,
    LoopStatus,
    PartitionStatus,
    WorkerStatus,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import FrameType

    from vectis.core.hub import Hub
    from vectis.core.worker.engine import Engine
    from vectis.core.worker.handling import Handling
    from vectis.core.worker.job import Job
    from vectis.core.worker.progress import Progress
    from vectis.core.worker.report import Report
    from vectis.core.worker.vitals import Vitals

__all__ = ["Snapshots", "Stuck"]

_SHOWN = 50  # stuck deliveries told one by one; an outage can make thousands
_KEY = 80  # characters of a key, which comes from outside


class Stuck:
    """A delivery whose handler has been running for too long.

    Args:
        job: Its job.
        seconds: How long the attempt has been running.
        frames: What it is doing, the innermost frame first; empty when that cannot be told.
        batch: All jobs of the attempt, when they are several.
    """

    __slots__ = ("batch", "frames", "job", "seconds")

    def __init__(
        self, job: Job, seconds: float, frames: Sequence[FrameType], batch: Sequence[Job] = ()
    ) -> None:
        self.job = job
        self.seconds = seconds
        self.frames = frames
        self.batch = batch or (job,)


class Snapshots:
    """Looks at one worker.

    Args:
        hub: Its plugins, and what it has published.
        group: The worker's group.
        transport: The name of the plugin that it reads through.
        topics: What it reads.
        engine: What is in flight.
        handling: The handlers.
        progress: What is committed.
        report: What was done.
        vitals: What its loop noted.

    Attributes:
        blame: What times the handlers; None while nobody wants to know.
    """

    def __init__(
        self,
        hub: Hub,
        group: str,
        transport: str,
        topics: tuple[str, ...],
        engine: Engine,
        handling: Handling,
        progress: Progress,
        report: Report,
        vitals: Vitals,
    ) -> None:
        self._hub = hub
        self._group = group
        self._transport = transport
        self._topics = topics
        self._engine = engine
        self._handling = handling
        self._progress = progress
        self._report = report
        self._vitals = vitals
        self._limit = hub.consumer_settings.stuck_after

    def take(self, loop: LoopStatus, blocking: Stuck | None = None) -> WorkerStatus:
        """Return the status of this moment.

        Args:
            loop: What the watchdog says about the event loop.
            blocking: The delivery whose handler blocks it.
        """
        now, vitals, report, hub = monotonic(), self._vitals, self._report, self._hub
        running = [job for job, *_ in self._engine.awaited]
        stuck = self.stuck()
        if blocking is not None:
            # Perhaps in its first step, before anything was awaited; and only the thread's stack
            # tells where it is.
            running += [job for job in blocking.batch if job not in running]
            stuck = [one for one in stuck if one.job not in blocking.batch]
            if blocking.seconds > self._limit:
                stuck.insert(0, blocking)
        partitions = tuple(self._partitions())
        asked = vitals.lag_asked
        return WorkerStatus(
            time=datetime.now(UTC),
            pid=os.getpid(),
            group=self._group,
            transport=self._transport,
            topics=self._topics,
            state=vitals.state,
            uptime=now - vitals.began,
            limit=self._limit,
            partitions=partitions,
            lag=sum(p.lag or 0 for p in partitions) if asked else None,
            lag_age=now - asked if asked else None,
            running=len(running),
            in_flight=sum(p.in_flight for p in partitions),
            retrying=self._engine.retrying,
            oldest=self._oldest(blocking),
            stuck=tuple(self._described(one.job, one) for one in stuck[:_SHOWN]),
            stuck_count=len(stuck),
            overdue=_since(vitals.due, now) or 0.0,
            since_fetch=_since(vitals.fetched, now),
            since_commit=_since(self._progress.committed, now),
            fetch_error=vitals.fetch_error,
            commit_error=report.uncommitted,
            handled=report.handled,
            skipped=report.skipped,
            dead_lettered=report.dead_lettered,
            retried=report.retried,
            overlapping=report.overlapping,
            handlers=tuple(self._handlers(running)),
            loop=loop,
            quarantined={
                plugin.name: one_line(plugin.reason)
                for plugin in hub.plugins
                if plugin.state == "quarantined"
            },
            published=dict(hub.publication.counts.copy()),
            hook_errors={
                f"{plugin} {hook}": count
                for (hook, plugin), count in hub.lifecycle.errors.copy().items()
            },
        )

    def stuck(self) -> list[Stuck]:
        """Return what has been running longer than `[consumer] stuck_after`, the longest first."""
        now = monotonic()
        late = [
            (now - since, job, task, frame)
            for job, task, frame in self._engine.awaited
            if (since := job.partition.running.get(job)) and now - since > self._limit
        ]
        if not late:
            return []
        late.sort(key=lambda one: one[0], reverse=True)
        threads = frames_in_threads()
        return [
            Stuck(job, seconds, threads.get(id(frame)) or frames_of_task(task))
            for seconds, job, task, frame in late
        ]

    def named(self, job: Job) -> str:
        """Return a job's handler and place, for reports."""
        return self._handling.named(job)

    def handler(self, job: Job) -> str:
        """Return `plugin:name` of the handler that is next for a job or runs, else nothing."""
        callee = self._handling.callee(job)
        return callee.subscription.id if callee is not None else ""

    def _partitions(self) -> Iterable[PartitionStatus]:
        lag = self._vitals.lag
        partitions = self._engine.partitions.copy().values()
        for partition in sorted(partitions, key=lambda partition: partition.where):
            where = partition.where
            position, above = partition.watermark.look()
            yield PartitionStatus(
                topic=where.topic,
                partition=where.partition,
                lag=lag.get(where),
                in_flight=len(above),
                bytes=sum([place.size for place in above]),
                position=position,
                paused=partition.paused,
                quiet=bool(partition.quiet_until),
            )

    def _handlers(self, running: Iterable[Job]) -> Iterable[HandlerStatus]:
        busy: dict[int, int] = {}
        for job in running:
            callee = self._handling.callee(job)
            if callee is not None:
                busy[id(callee)] = busy.get(id(callee), 0) + 1
        for event_type, callees in self._handling.callees.items():
            for callee in callees:
                yield HandlerStatus(
                    handler=callee.subscription.id,
                    event_type=event_type,
                    running=busy.get(id(callee), 0),
                    handled=callee.handled,
                    failed=callee.failed,
                    retried=callee.retried,
                    dead_lettered=callee.dead_lettered,
                )

    def _oldest(self, blocking: Stuck | None) -> DeliveryStatus | None:
        held = [p.watermark.oldest for p in self._engine.partitions.copy().values()]
        jobs = [job for job in held if job is not None]
        job = min(jobs, key=lambda job: job.delivery.timestamp, default=None)
        if job is None:
            return None
        if blocking is not None and job in blocking.batch:
            return self._described(job, blocking)
        return self._described(job, self._waiting(job))

    def _waiting(self, job: Job) -> Stuck | None:
        """Return what a job's handler does while it waits for something; None when it does not."""
        since = job.partition.running.get(job)
        for one, task, frame in self._engine.awaited if since else ():
            if one is job and since:
                frames = frames_in_threads().get(id(frame)) or frames_of_task(task)
                return Stuck(job, monotonic() - since, frames)
        return None

    def _described(self, job: Job, stuck: Stuck | None = None) -> DeliveryStatus:
        delivery, key = job.delivery, job.delivery.key
        since = job.partition.running.get(job)
        running = monotonic() - since if since else 0.0
        return DeliveryStatus(
            place=delivery.place,
            key=None if key is None else one_line(key[: 8 * _KEY].decode(errors="replace"), _KEY),
            handler=self.handler(job),
            attempt=delivery.attempt,
            running=running if stuck is None else max(running, stuck.seconds),
            age=max(0.0, time() - delivery.timestamp / 1000) if delivery.timestamp else 0.0,
            where=place_in(stuck.frames) if stuck is not None else "",
        )


def _since(moment: float, now: float) -> float | None:
    return max(0.0, now - moment) if moment else None
