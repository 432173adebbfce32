"""Standard input as a leash: when the parent lets go of the other end, this process ends.

A parent that gets a SIGKILL has no time to say anything; that its end closes, the kernel sees to.
"""

from __future__ import annotations

import os
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RUNS", "Leash"]

RUNS = "runs"
"""What a member of a supervised group says once it consumes."""

_STDIN = 0


class Leash:
    """Waits for the end of standard input, from when it is made.

    Until somebody heeds it, this process leaves at once: it has not begun anything.

    Args:
        end: What its end means, for the log.
    """

    def __init__(self, end: str) -> None:
        self.end = end
        self._heed: Callable[[], object] = _leave
        Thread(target=self._wait, name="vectis-leash", daemon=True).start()

    def heed(self, let_go: Callable[[], object]) -> None:
        """Have something called, in another thread, when the parent lets go."""
        self._heed = let_go

    def say(self, word: str) -> None:
        """Send a line to a parent whose end takes some; one that is gone needs none."""
        with suppress(OSError):
            os.write(_STDIN, f"{word}\n".encode())

    def _wait(self) -> None:
        with suppress(OSError):  # closed, or reset by a parent that ended: it is gone as well
            # os.read: a daemon thread inside sys.stdin would hold its lock at the end of Python.
            while os.read(_STDIN, 1024):
                pass
        with suppress(RuntimeError):  # an event loop that was closed at the same moment
            self._heed()


def _leave() -> None:
    os._exit(0)
