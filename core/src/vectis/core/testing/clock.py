"""A clock that stands still until a test moves it."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FakeClock"]


@attrs.define(order=True)
class _Timer:
    due: float
    serial: int
    callback: Callable[[], None] = attrs.field(order=False)
    cancelled: bool = attrs.field(default=False, order=False)

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    """What a worker waits by in a test: retries, and the bound on dead letters.

    Attributes:
        waits: Every wait that was asked for, in seconds, in order.

    Example:
        >>> from vectis.core.testing import FakeClock
        >>> clock = FakeClock()
        >>> timer = clock.call_later(30.0, lambda: print("now"))
        >>> clock.advance(29.0)
        >>> clock.advance(1.0)
        now
        >>> clock.now(), clock.waits
        (30.0, [30.0])
    """

    def __init__(self) -> None:
        self.waits: list[float] = []
        self._now = 0.0
        self._timers: list[_Timer] = []
        self._serials = count()

    def now(self) -> float:
        """Return the seconds that have passed since the clock was made."""
        return self._now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> _Timer:
        """Call something when the clock was moved by so many seconds; `cancel()` undoes it."""
        self.waits.append(seconds)
        timer = _Timer(self._now + seconds, next(self._serials), callback)
        heappush(self._timers, timer)
        return timer

    @property
    def next(self) -> float | None:
        """The seconds until something is called; None when nothing is to be."""
        while self._timers and self._timers[0].cancelled:
            heappop(self._timers)
        return max(0.0, self._timers[0].due - self._now) if self._timers else None

    def advance(self, seconds: float) -> None:
        """Move the clock, and call what is due meanwhile, in order."""
        end = self._now + seconds
        while self.next is not None and self._timers[0].due <= end:
            timer = heappop(self._timers)
            self._now = max(self._now, timer.due)
            timer.callback()
        self._now = end
