"""Who has waited too long for the writer: one timer for each event loop that publishes."""

from __future__ import annotations

from contextvars import Context
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

__all__ = ["Overdue", "Waiting"]

_GRACE = 2  # rounds of the event loop: after something has blocked it, answers have arrived unseen
_PAUSE = 0.05  # seconds between two looks at least: each is at everything that waits

Waiting = tuple["asyncio.Future[Any]", float]
"""A future, and until when somebody waits for it, in the seconds of `time.monotonic`."""


class Overdue:
    """Ends futures that are late with an error.

    Args:
        waiting: Returns all futures that are waited for, some of them twice.
        error: Makes the error of one of them.

    Attributes:
        looks: The event loops with a timer, each with the moment when it ends.
    """

    def __init__(
        self, waiting: Callable[[], Iterable[Waiting]], error: Callable[[], Exception]
    ) -> None:
        self._waiting = waiting
        self._error = error
        # Each loop changes what is its own, in its own thread.
        self.looks: dict[asyncio.AbstractEventLoop, float] = {}
        self._timers: dict[asyncio.AbstractEventLoop, asyncio.TimerHandle] = {}

    def watch(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """Have a look when the first one is due; in the thread of its loop."""
        for other in list(self.looks):
            if other.is_closed():
                self.looks.pop(other, None)
                self._timers.pop(other, None)
        self._arm(loop, due)

    def _arm(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        earlier = self._timers.get(loop)
        if earlier is not None:
            earlier.cancel()
        self.looks[loop] = due
        # A context of its own: the first caller's would live as long as the timer.
        self._timers[loop] = loop.call_later(
            due - monotonic(), self._look, loop, _GRACE, context=Context()
        )

    def _look(self, loop: asyncio.AbstractEventLoop, rounds: int) -> None:
        now = monotonic()
        late: dict[asyncio.Future[Any], None] = {}
        next_due: float | None = None
        for future, due in self._waiting():
            if future.get_loop() is not loop or future.done():
                continue
            if due <= now:
                late[future] = None
            elif next_due is None or due < next_due:
                next_due = due
        if late and rounds:
            loop.call_soon(self._look, loop, rounds - 1, context=Context())
            return
        for future in late:
            future.set_exception(self._error())
        if next_due is None:
            del self.looks[loop], self._timers[loop]
        else:
            self._arm(loop, max(next_due, now + _PAUSE))
