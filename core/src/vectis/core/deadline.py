"""One deadline for each of many short waits, with one timer per event loop for all of them.

`asyncio.timeout` arms a timer for each, which costs more than sending the message it is for. Here
all have the same number of seconds, so they come due in the order they began.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["Deadline"]

T = TypeVar("T")


class _Wait:
    """A task that waits: what others asked of it before, until when, and what was asked here."""

    # By hand, since one is made for every message.
    __slots__ = ("cancelling", "cancels", "due", "task")

    def __init__(self, task: asyncio.Task[Any], due: float) -> None:
        self.task = task
        self.cancelling = task.cancelling()
        self.due = due
        self.cancels = 0

    def cancel(self) -> None:
        self.cancels += 1
        self.task.cancel()

    def is_ours(self) -> bool:
        """Tell whether the task is cancelled because it was late, and for nothing else."""
        return self.cancels > 0 and self.task.cancelling() - self.cancels <= self.cancelling


class Deadline:
    """Bounds waits to a number of seconds, on any event loop; one timer each while somebody waits.

    Args:
        seconds: How long each wait may take.

    Example:
        >>> import asyncio
        >>> from vectis.core.deadline import Deadline
        >>> asyncio.run(Deadline(0.01).within(asyncio.sleep(60)))
        Traceback (most recent call last):
        ...
        TimeoutError
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waits: dict[asyncio.AbstractEventLoop, dict[_Wait, None]] = {}

    async def within(self, answer: Awaitable[T]) -> T:
        """Return the answer, or cancel it when it is late.

        One that catches its cancellation and goes on is cancelled again after as many seconds more.
        When the task is cancelled by somebody else as well, that is what it learns.

        Args:
            answer: What is waited for, in the calling task.

        Raises:
            TimeoutError: It did not come in time.
            RuntimeError: This is not called from a task.
        """
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a wait with a deadline needs a task, to cancel it")
        waits = self._waits.get(loop)
        if waits is None:
            waits = self._watch(loop)
        wait = _Wait(task, loop.time() + self._seconds)
        waits[wait] = None
        try:
            return await answer
        except asyncio.CancelledError as error:
            if wait.is_ours():
                raise TimeoutError from error
            raise
        finally:
            del waits[wait]
            if wait.cancels:
                for _ in range(wait.cancels):
                    task.uncancel()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> dict[_Wait, None]:
        for other in list(self._waits):
            if other.is_closed():  # it was closed while somebody waited
                self._waits.pop(other, None)
        waits = self._waits[loop] = {}
        self._arm(loop, loop.time() + self._seconds)
        return waits

    def _arm(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        # A context of its own: the first caller's would live as long as the timer.
        loop.call_at(due, self._sweep, loop, context=Context())

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel what is overdue, and come again when the next one is."""
        waits, now = self._waits[loop], loop.time()
        overdue = []
        for wait in waits:  # the oldest first
            if wait.due > now:
                break
            overdue.append(wait)
        for wait in overdue:
            del waits[wait]
            wait.due = now + self._seconds
            waits[wait] = None
            wait.cancel()
        if waits:
            self._arm(loop, next(iter(waits)).due)
        else:
            del self._waits[loop]
