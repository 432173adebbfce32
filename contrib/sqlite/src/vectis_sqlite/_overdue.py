"""Who has waited too long for the writer: one timer for each event loop while somebody waits."""

from __future__ import annotations

from contextvars import Context
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

__all__ = ["Overdue", "Waiting"]

_GRACE = 2  # rounds of the event loop: after something has blocked it, answers have arrived unseen

Waiting = tuple["asyncio.Future[Any]", float]
"""A future, and until when somebody waits for it, in the seconds of `time.monotonic`."""


class Overdue:
    """Ends futures that are late with an error.

    Args:
        waiting: Returns all futures that are waited for.
        error: Makes the error of one of them.
    """

    def __init__(
        self, waiting: Callable[[], Iterable[Waiting]], error: Callable[[], Exception]
    ) -> None:
        self._waiting = waiting
        self._error = error
        self.loops: set[asyncio.AbstractEventLoop] = set()
        """Those with a timer."""

    def watch(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """Have a look when the first one is due; in the thread of its loop."""
        self.loops = {loop, *(other for other in self.loops if not other.is_closed())}
        self._arm(loop, due)

    def _arm(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        # A context of its own: the first caller's would live as long as the timer.
        loop.call_later(due - monotonic(), self._look, loop, _GRACE, context=Context())

    def _look(self, loop: asyncio.AbstractEventLoop, rounds: int) -> None:
        now = monotonic()
        late, next_due = [], None
        for future, due in self._waiting():
            if future.get_loop() is not loop or future.done():
                continue
            if due <= now:
                late.append(future)
            elif next_due is None or due < next_due:
                next_due = due
        if late and rounds:
            loop.call_soon(self._look, loop, rounds - 1, context=Context())
            return
        for future in late:
            future.set_exception(self._error())
        if next_due is None:
            self.loops.discard(loop)
        else:
            self._arm(loop, next_due)
