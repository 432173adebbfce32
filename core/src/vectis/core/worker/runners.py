"""As many tasks as handlers may run at once, started when one is needed and kept.

A runner takes job after job. As long as handlers finish without waiting, one runner does them all
and no task is made or woken for any of them; only when it waits in one are more runners woken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

__all__ = ["Runners"]

T = TypeVar("T")

# Seconds of jobs in one turn of the event loop, after which everything else on it has one: commits,
# fetches, the heartbeat, a signal to stop.
_TURN = 0.01


class Runners(Generic[T]):
    """Runs jobs, at most so many at once, in the order they were offered.

    Args:
        begin: Takes a job as far as it goes without waiting; returns what is to be awaited before
            it is done, or None when it is done already. Neither it nor what it returns raises.
        done: Called with a job and what was awaited for it.
        cut_off: Called with a job that `cancel` cancelled, when that ended what was awaited;
            returns what `done` is called with then.
        lost: Called with a job whose runner was cancelled from outside.
        most: How many may run at once.

    Example:
        >>> import asyncio
        >>> from vectis.core.worker.runners import Runners
        >>> async def main():
        ...     runners = Runners(begin=print, done=print, cut_off=print, lost=print, most=2)
        ...     runners.offer([1, 2])
        ...     await runners.idle()
        ...     await runners.close()
        >>> _ = asyncio.run(main())
        1
        2
    """

    def __init__(
        self,
        begin: Callable[[T], Awaitable[Any] | None],
        done: Callable[[T, Any], None],
        cut_off: Callable[[T], Any],
        lost: Callable[[T], None],
        most: int,
    ) -> None:
        self._begin = begin
        self._done = done
        self._cut_off = cut_off
        self._lost = lost
        self._most = most
        self._ready: deque[T] = deque()
        self._parked: list[asyncio.Future[None]] = []
        self._tasks: dict[asyncio.Task[None], T | None] = {}  # with the job that is awaited
        self._cancelled: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking = False
        self._wave = 1  # how many runners are woken next
        self._closing = False
        self._running = 0
        self._in_turn = False
        self._until = 0.0  # monotonic seconds, when the turn is over
        self._pausing = 0  # of these, those that only let the event loop have a turn
        self._bell: asyncio.Future[None] | None = None
        self.broken: Future[BaseException] = Future()
        """Done when a runner ended that should not have: what it ran is stuck."""

    def offer(self, jobs: Iterable[T], *, first: bool = False) -> None:
        """Run jobs as soon as their turn comes, or before all that wait; on the event loop only."""
        if first:
            self._ready.extendleft(reversed([*jobs]))
        else:
            self._ready.extend(jobs)
        self._look_soon_if_needed()

    @property
    def running(self) -> list[tuple[asyncio.Task[None], T]]:
        """The jobs that are awaited now, each with its task; may be asked from any thread."""
        return [(task, job) for task, job in self._tasks.copy().items() if job is not None]

    def follow(self, job: T) -> None:
        """Run a job before all others that wait: it comes right after one that is done.

        For `begin` and `done` only: nobody is woken for it, as the runner that calls them looks for
        its next job then.
        """
        self._ready.appendleft(job)

    def cancel(self, wanted: Callable[[T], bool]) -> None:
        """Cancel the running jobs that are wanted; what is awaited for them ends in its own way."""
        for task, job in list(self._tasks.items()):
            if job is not None and wanted(job):
                self._cancelled.add(task)
                task.cancel()

    def withdraw(self, wanted: Callable[[T], bool]) -> None:
        """Take back jobs that wait for a runner."""
        self._ready = deque(job for job in self._ready if not wanted(job))

    def holds(self, wanted: Callable[[T], bool]) -> bool:
        """Tell whether a job that is wanted waits for a runner."""
        return any(wanted(job) for job in self._ready)

    @property
    def busy(self) -> bool:
        """Whether something runs or waits for a runner."""
        return bool(self._ready or self._running)

    async def idle(self) -> None:
        """Return when nothing runs or waits any more."""
        while self.busy:
            self._bell = asyncio.get_running_loop().create_future()
            await self._bell

    async def close(self, *, grace: float = 1.0) -> None:
        """End the runners; one whose handler swallows its cancellation is left after `grace` s."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)

    def _look_soon_if_needed(self) -> None:
        if self._ready and not self._looking:
            self._look_soon()

    def _look_soon(self) -> None:
        self._looking = True
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._loop.call_soon(self._look)

    def _look(self) -> None:
        """Wake runners: one, and twice as many each time that the last ones left something.

        Those take what is ready before this is called again. Handlers that do not wait leave
        nothing, and a second runner would be woken for nothing.
        """
        self._looking = False
        if not self._ready or self._pausing:
            self._wave = 1
            return  # whoever pauses goes on in a moment
        for _ in range(min(self._wave, len(self._ready))):
            if not self._wake():
                return  # all are busy: whoever is done takes it
        self._wave *= 2
        self._look_soon()

    def _wake(self) -> bool:
        while self._parked:
            bell = self._parked.pop()
            if not bell.done():
                bell.set_result(None)
                return True
        if len(self._tasks) >= self._most:
            return False
        assert self._loop is not None  # whoever looks was called by it
        task = self._loop.create_task(self._take_jobs(), name="vectis-runner")
        self._tasks.setdefault(task, None)  # an eager one may be at work already
        task.add_done_callback(self._ended)
        return True

    async def _take_jobs(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        tasks, begin, done = self._tasks, self._begin, self._done
        cancelling = task.cancelling
        while True:
            self._running += 1
            try:
                while self._ready:
                    if not self._in_turn:
                        self._begin_turn(loop)
                    elif monotonic() > self._until:
                        await self._let_loop_turn(task)
                        continue
                    job = self._ready.popleft()
                    awaited = begin(job)
                    if awaited is not None:
                        tasks[task] = job
                        try:
                            result = await awaited
                        except BaseException as error:
                            cancelled = isinstance(error, asyncio.CancelledError)
                            if not (cancelled and task in self._cancelled):
                                self._lost(job)
                                raise
                            result = self._cut_off(job)
                        done(job, result)
                        tasks[task] = None
                        self._cancelled.discard(task)
                    if cancelling():
                        await self._outlive(task)
            finally:
                tasks[task] = None
                self._running -= 1
            if self._bell is not None and not self._running and not self._bell.done():
                self._bell.set_result(None)
            bell = loop.create_future()
            self._parked.append(bell)
            await self._until_woken(task, bell)

    def _begin_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Note when jobs have run for long enough; the event loop's next turn begins another."""
        self._in_turn, self._until = True, monotonic() + _TURN
        loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._in_turn = False

    async def _let_loop_turn(self, task: asyncio.Task[None]) -> None:
        self._pausing += 1
        try:
            await self._until_woken(task, asyncio.sleep(0))
        finally:
            self._pausing -= 1
        self._look_soon_if_needed()

    async def _until_woken(self, task: asyncio.Task[None], bell: Awaitable[None]) -> None:
        try:
            await bell
        except asyncio.CancelledError:
            self._live_on(task)

    async def _outlive(self, task: asyncio.Task[None]) -> None:
        """Outlive a cancellation that was for a job, or that a handler made of its own task.

        One that the task has not felt yet must not hit the next job.
        """
        await self._until_woken(task, asyncio.sleep(0))
        self._live_on(task)

    def _live_on(self, task: asyncio.Task[None]) -> None:
        if self._closing:
            raise asyncio.CancelledError
        while task.cancelling():
            task.uncancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        self._cancelled.discard(task)
        if self._closing or self.broken.done():
            return
        if task.cancelled() or task.exception() is None:
            error: BaseException = RuntimeError("a runner of the worker was cancelled from inside")
        else:
            error = task.exception() or RuntimeError("a runner of the worker ended")
        self.broken.set_result(error)
