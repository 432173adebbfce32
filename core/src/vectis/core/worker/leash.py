"""Standard input as a leash: when the parent lets go of the other end, this process ends.

A parent that gets a SIGKILL has no time to say anything; that its end closes, the kernel sees to.
"""

from __future__ import annotations

import os
from contextlib import suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RUNS", "Leash"]

RUNS = "runs"
"""What a member of a supervised group says once it consumes."""

_STDIN = 0


class Leash:
    """Waits for the end of standard input, from when it is made.

    Args:
        end: What its end means, for the log.
        waits: What an end does that comes before somebody heeds it, when nothing has begun yet.
            True has it wait until then, so that what keeps this process from starting is still
            said, also when there was nothing on standard input from the first. False leaves at
            once, without a word.
    """

    def __init__(self, end: str, *, waits: bool) -> None:
        self.end = end
        self._heed: Callable[[], object] = (lambda: None) if waits else _leave
        self._ended = False
        self._turn = Lock()  # between the end and who begins to heed it: one of them calls
        Thread(target=self._wait, name="vectis-leash", daemon=True).start()

    def heed(self, let_go: Callable[[], object]) -> None:
        """Have something called, in another thread, when the parent lets go.

        Where it has already, that is now, and in this thread.
        """
        with self._turn:
            self._heed = let_go
            ended = self._ended
        if ended:
            let_go()

    def say(self, word: str) -> None:
        """Send a line to a parent whose end takes some; one that is gone needs none."""
        with suppress(OSError):
            os.write(_STDIN, f"{word}\n".encode())

    def _wait(self) -> None:
        with suppress(OSError):  # closed, or reset by a parent that ended: it is gone as well
            # os.read: a daemon thread inside sys.stdin would hold its lock at the end of Python.
            while os.read(_STDIN, 1024):
                pass
        with self._turn:
            self._ended = True
            heed = self._heed
        with suppress(RuntimeError):  # an event loop that was closed at the same moment
            heed()


def _leave() -> None:
    os._exit(0)
