"""One deadline for each of many short waits, with one timer per event loop for all of them.

`asyncio.timeout` arms a timer for each, which costs more than sending the message it is for. Here
all have the same number of seconds, so they come due in the order they began.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

__all__ = ["Deadline"]


_GRACE = 2  # rounds of the event loop: one for the answer, one for the task that waits for it


class _Wait:
    """A task that waits: what others asked of it before, until when, and what was asked here."""

    # By hand, since one is made for every message.
    __slots__ = ("_cancelling", "_cancels", "_task", "_waits", "due")

    def __init__(self, task: asyncio.Task[Any], due: float, waits: dict[_Wait, None]) -> None:
        self._task = task
        self._cancelling = task.cancelling()
        self._cancels = 0
        self._waits = waits
        self.due = due

    def __enter__(self) -> None:
        self._waits[self] = None

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del self._waits[self]
        if self._cancels:
            self._ended_late(error)

    def cancel(self) -> None:
        self._cancels += 1
        self._task.cancel()

    def _ended_late(self, error: BaseException | None) -> None:
        task = self._task
        # Cancelled because it was late, and for nothing else.
        ours = task.cancelling() - self._cancels <= self._cancelling
        for _ in range(self._cancels):
            task.uncancel()
        if ours and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error


class Deadline:
    """Bounds waits to a number of seconds, on any event loop; one timer each while somebody waits.

    Args:
        seconds: How long each wait may take.

    Example:
        >>> import asyncio
        >>> from vectis.core.deadline import Deadline
        >>> async def main():
        ...     with Deadline(0.01).begun():
        ...         await asyncio.sleep(60)
        >>> asyncio.run(main())
        Traceback (most recent call last):
        ...
        TimeoutError
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waits: dict[asyncio.AbstractEventLoop, dict[_Wait, None]] = {}

    # A context manager and no coroutine around the awaitable, which would cost as much again.
    def begun(self) -> AbstractContextManager[None]:
        """Cancel what is awaited inside the `with` block when it is late.

        What catches its cancellation and goes on is cancelled again after as many seconds more.
        When the task is cancelled by somebody else as well, that is what it learns.

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
        return _Wait(task, loop.time() + self._seconds, waits)

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
        """Find what is overdue, and let answers that have arrived be taken before it is cancelled.

        After something has blocked the loop they are only now being delivered, in this round.
        """
        waits, now = self._waits[loop], loop.time()
        overdue = []
        for wait in waits:  # the oldest first
            if wait.due > now:
                break
            overdue.append(wait)
        self._cancel(loop, overdue, rounds=_GRACE if overdue else 0)

    def _cancel(self, loop: asyncio.AbstractEventLoop, overdue: list[_Wait], rounds: int) -> None:
        """Cancel what is still overdue after some rounds, and come again when the next one is."""
        if rounds:
            loop.call_soon(self._cancel, loop, overdue, rounds - 1, context=Context())
            return
        waits, due = self._waits[loop], loop.time() + self._seconds
        for wait in overdue:
            if wait in waits:
                del waits[wait]
                wait.due = due
                waits[wait] = None
                wait.cancel()
        if waits:
            self._arm(loop, next(iter(waits)).due)
        else:
            del self._waits[loop]
