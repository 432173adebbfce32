"""The queue before the writer: put in from any thread, taken out by one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, cast

from vectis_sqlite._jobs import Job, Single, gathered

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from typing import Any

    from vectis_sqlite._overdue import Waiting

__all__ = ["Queue"]

BATCH_ROWS = 5_000
BATCH_BYTES = 16 * 1024 * 1024


class Queue:
    """What waits for the next transaction, and what is in this one.

    Attributes:
        put: Puts something in, last.
    """

    def __init__(self) -> None:
        self._queue: deque[Job | Single] = deque()
        self._taken: list[Job | Single] = []  # what is being written
        self.put: Callable[[Job | Single], None] = self._queue.append

    def __len__(self) -> int:
        return len(self._queue)

    def take(self) -> list[Job]:
        """Return the next jobs that go into one transaction; `done` says that they are answered."""
        queue = self._queue
        taken = self._taken = []
        for _ in range(min(len(queue), BATCH_ROWS)):
            taken.append(queue[0])  # before it leaves: whoever looks for what is late sees it
            queue.popleft()
        jobs: list[Job] = []
        rest = deque(gathered(taken))
        rows = size = 0
        while rest and rows < BATCH_ROWS and size < BATCH_BYTES:
            job = rest.popleft()
            bytes_of_job = job.size
            if bytes_of_job > BATCH_BYTES and len(job.futures) > 1:
                rest.extendleft(reversed(list(job.parts())))
                continue
            jobs.append(job)
            rows += len(job.rows)
            size += bytes_of_job
        queue.extendleft(reversed(rest))
        return jobs

    def done(self) -> None:
        """Note that what was taken is answered."""
        self._taken = []

    def pop(self) -> Sequence[Job]:
        """Return the next one, to be refused; none when another thread has taken it."""
        try:
            return list(gathered([self._queue.popleft()]))
        except IndexError:
            return ()

    def waiting(self) -> list[Waiting]:
        """Return who published alone and waits, or did a moment ago, some twice.

        To be called from any thread.
        """
        waiting: list[Waiting] = []
        for one in [*self._taken, *self._queue]:
            if not isinstance(one, Job):
                waiting.append(one[1:])
            elif one.each:
                futures = cast("Sequence[asyncio.Future[Any]]", one.futures)
                waiting += zip(futures, one.due, strict=True)
        return waiting
