"""Finds what hangs, from a thread of its own: stuck handlers, a blocked event loop, a dead fetch.

Each is named once when it begins and once when it is over, however long it lasts and however many
deliveries it holds. Code in C that holds the interpreter lock stops this thread as well.
"""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING

from vectis.core.heartbeat import Heartbeat, text_of_frames
from vectis.core.worker.errors import fields_of
from vectis.core.worker.snapshot import Stuck
from vectis.core.worker.stacks import blocking, line_of
from vectis.core.worker.status import LoopStatus

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence
    from types import FrameType

    from vectis.core.worker.job import Job
    from vectis.core.worker.snapshot import Snapshots
    from vectis.core.worker.status import WorkerStatus
    from vectis.core.worker.vitals import Vitals

__all__ = ["Watchdog"]

logger = logging.getLogger("vectis.worker")

_PERIOD = 0.25  # seconds between two looks
_BLOCKED = 1.0  # seconds after which a loop that does not answer is reported
_STACK = 30  # frames of a stack that are kept, the innermost


class _Heart(Heartbeat):
    """A heartbeat that knows how long the last answer took."""

    lag = 0.0

    def answer(self) -> None:
        if self.sent is not None:
            self.lag = monotonic() - self.sent
        super().answer()


class Watchdog:
    """Watches one worker.

    Args:
        snapshots: Says what is stuck.
        vitals: Says when it last fetched.
        limit: Seconds after which a handler or a fetch counts as stuck.
    """

    def __init__(self, snapshots: Snapshots, vitals: Vitals, limit: float) -> None:
        self._snapshots = snapshots
        self._vitals = vitals
        self._limit = limit
        self._period = min(_PERIOD, limit / 4)
        self._blocked_after = min(_BLOCKED, limit)
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._heart: _Heart | None = None
        self._looked = monotonic()
        self._blocked_since = 0.0
        self._blocking: Job | None = None
        self._stuck: dict[str, set[Job]] = {}  # by handler, those that were told of
        self._told: dict[str, float] = {}  # when, by handler
        self._fetch_stalled = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to watch; called on the loop, in its thread."""
        self._heart = _Heart(loop, threading.get_ident())
        self._end.clear()
        self._looked = monotonic()
        self._thread = threading.Thread(
            target=self._watch, name="vectis-worker-watchdog", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread, without waiting for it."""
        self._end.set()

    def status(self) -> WorkerStatus:
        """Return the worker's status, from any thread."""
        heart = self._heart
        if heart is None or self._end.is_set():
            return self._snapshots.take(LoopStatus())
        sent = heart.sent
        late = monotonic() - sent if sent is not None else 0.0
        jobs, frames = blocking(heart.thread) if late > self._period else ((), [])
        running = None
        if jobs:
            # Another one than was seen before has begun in between: nobody knows when.
            many = self._blocking is not None and self._blocking not in jobs
            running = Stuck(jobs[0], 0.0 if many else late, frames, jobs)
        if late <= self._blocked_after:
            return self._snapshots.take(LoopStatus(lag=max(late, heart.lag)), running)
        loop = LoopStatus(
            lag=late,
            blocked=late,
            by=self._snapshots.named(jobs[0]) if jobs else "",
            stack=tuple(line_of(frame) for frame in frames[:_STACK][::-1]),
        )
        return self._snapshots.take(loop, running)

    def _watch(self) -> None:
        while not self._end.wait(self._period):
            try:
                self._look()
            except Exception:
                # What is seen may have changed in between: the next look is in a moment.
                logger.debug("the watchdog could not look", exc_info=True)

    def _look(self) -> None:
        now = monotonic()
        late, self._looked = now - self._looked, now
        heart = self._heart
        assert heart is not None  # `start` made it
        if late > self._period + self._blocked_after / 2:
            # This thread stood still itself, as in a process that was stopped: measure anew.
            heart.sent = now if heart.sent is not None else None
            return
        sent = heart.sent
        self._look_at_loop(heart, now)
        if sent is None or now - sent < self._blocked_after / 2:
            # Otherwise the loop is about to be called blocked, which explains everything else.
            self._look_at_fetch(now)
            self._look_at_handlers(now)

    def _look_at_loop(self, heart: _Heart, now: float) -> None:
        sent = heart.sent
        if sent is None:
            if self._blocked_since:
                logger.warning("the event loop runs again, after %.1f s", now - self._blocked_since)
            self._blocked_since, self._blocking = 0.0, None
        elif now - sent > self._blocked_after and not self._blocked_since:
            self._report_blocked(heart, now, sent)
        heart.beat(now)

    def _report_blocked(self, heart: _Heart, now: float, sent: float) -> None:
        jobs, frames = blocking(heart.thread)
        job = jobs[0] if jobs else None
        if job is None:
            by = "by no handler"
        elif self._blocking in jobs:
            by = f"by handler {self._snapshots.named(job)}"
        elif now - sent < 2 * self._blocked_after:
            self._blocking = job  # it may be one of many short ones: look once more
            return
        else:
            by = f"by many deliveries in a row, now {self._snapshots.named(job)}"
        self._blocked_since = sent
        logger.error(
            "the event loop has been blocked for %.1f s now %s: nothing is fetched or committed. "
            "What blocks belongs in a handler written with plain `def`, which runs in a thread%s",
            now - sent,
            by,
            _stack(frames),
            extra={} if job is None else fields_of(job.delivery, self._snapshots.handler(job)),
        )

    def _look_at_fetch(self, now: float) -> None:
        due = self._vitals.due
        stalled = bool(due) and now - due > self._limit
        if stalled and not self._fetch_stalled:
            logger.error(
                "a fetch should have come back %.0f s ago: the transport neither answers nor "
                "fails, so nothing arrives. If that lasts, start this worker again; /livez says so",
                now - due,
            )
        elif self._fetch_stalled and not stalled:
            logger.warning("fetches come back again")
        self._fetch_stalled = stalled

    def _look_at_handlers(self, now: float) -> None:
        by_handler: dict[str, list[Stuck]] = {}
        for one in self._snapshots.stuck():
            by_handler.setdefault(self._snapshots.handler(one.job), []).append(one)
        for handler, stuck in by_handler.items():
            told = self._stuck.setdefault(handler, set())
            told &= {one.job for one in stuck}
            first = next((one for one in stuck if one.job not in told), None)
            # More of them come one after another, and each alone is no news.
            if first is None or now - self._told.get(handler, -self._limit) < self._limit:
                continue
            logger.error(
                "handler %s is stuck: it has been running for %.0f s%s; deliveries of the same "
                "key wait behind it%s",
                self._snapshots.named(first.job),
                first.seconds,
                f", and {len(stuck) - 1} more of its deliveries" if len(stuck) > 1 else "",
                _stack(first.frames),
                extra=fields_of(first.job.delivery, handler),
            )
            self._told[handler] = now
            told |= {one.job for one in stuck}
        # At the end what is stuck is cut off, which is no recovery.
        for handler in self._stuck.keys() - by_handler.keys():
            del self._stuck[handler]
            self._told.pop(handler, None)
            if self._vitals.state == "running":
                logger.warning("handler %s is not stuck any more", handler)


def _stack(frames: Sequence[FrameType]) -> str:
    return f"\n{text_of_frames(frames[:_STACK])}" if frames else ""
