"""Deliveries that wait for a batch handler, and the batches that are made of them. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future
    from typing import Any

    from vectis.core.events import Event
    from vectis.core.worker.calling import Callee
    from vectis.core.worker.job import Job

__all__ = ["Batch", "Batches"]


class Batch:
    """A turn of a batch handler. It is also the frame that `current` holds meanwhile.

    Args:
        callee: The handler.

    Attributes:
        jobs: What it takes, known when the turn has come.
        thread: The call, when it is given to a thread.
    """

    __slots__ = ("callee", "finished", "jobs", "thread")

    event: Event | None = None  # what the handler emits follows from many, so from none

    def __init__(self, callee: Callee) -> None:
        self.callee = callee
        self.jobs: list[Job] = []
        self.finished = False
        self.thread: Future[Any] | None = None

    def kept_by_thread(self) -> bool:
        """Tell whether a thread has begun the call, which nothing can cancel; else none will."""
        return self.thread is not None and not self.thread.cancel()

    @property
    def events(self) -> Iterable[Event]:
        """The events of its jobs."""
        return (job.event for job in self.jobs if job.event is not None)


class Batches:
    """Gathers the jobs whose next handler takes several at once.

    The first one that waits for a handler asks for a turn, at the end of the queue for runners:
    whatever is ready before it joins meanwhile. So nothing waits for a batch to fill up.

    Args:
        offer: Called with a batch that is to have a turn.
    """

    def __init__(self, offer: Callable[[Batch], None]) -> None:
        self._offer = offer
        self._waiting: dict[Callee, deque[Job]] = {}

    def join(self, job: Job, callee: Callee) -> None:
        """Let a job wait for a batch handler."""
        waiting = self._waiting.setdefault(callee, deque())
        if not waiting:
            self._offer(Batch(callee))
        waiting.append(job)

    def fill(self, batch: Batch) -> None:
        """Give a batch whose turn has come its jobs: the first that wait, as many as it may have.

        When more wait, another batch is offered.
        """
        waiting = self._waiting.get(batch.callee, ())
        while waiting and len(batch.jobs) < (batch.callee.batch or 1):
            batch.jobs.append(waiting.popleft())
        if waiting:
            self._offer(Batch(batch.callee))

    def withdraw(self, wanted: Callable[[Job], bool]) -> None:
        """Take back jobs that wait."""
        for callee, waiting in self._waiting.items():
            self._waiting[callee] = deque(job for job in waiting if not wanted(job))

    def holds(self, wanted: Callable[[Job], bool]) -> bool:
        """Tell whether a job that is wanted waits."""
        return any(wanted(job) for waiting in self._waiting.values() for job in waiting)
