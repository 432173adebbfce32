"""What the worker waits by: retries, and the bound on dead letters. A test puts its own in place.

Not for what is measured, such as how long a handler took, and not for what a transport waits for.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Clock", "RealClock", "Timer"]


class Timer(Protocol):
    """Something that is going to be called."""

    def cancel(self) -> None:
        """Let it not be called."""


class Clock(Protocol):
    """The time, and being called later."""

    def now(self) -> float:
        """Return the time in seconds; it never goes back."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call something on the running event loop, when so many seconds have passed."""


class RealClock:
    """The clock of this machine."""

    def now(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call something on the running event loop, when so many seconds have passed."""
        return asyncio.get_running_loop().call_later(seconds, callback)
