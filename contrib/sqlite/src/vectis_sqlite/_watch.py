"""Waiting for news: a ring from this process or another one, and a look at the file to be sure.

The only place that knows how a sleeping reader learns of a new record.
"""

from __future__ import annotations

import selectors
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vectis_sqlite._database import Database
    from vectis_sqlite._doorbell import Doorbell

__all__ = ["Watch"]

WITH_BELL = 0.5  # seconds between looks at the file: a ring may get lost
WITHOUT = 0.05


class Watch:
    """What one thread sleeps beside.

    It wakes up when somebody rings, at once. Between rings it looks at `PRAGMA data_version`, which
    moves when another connection commits: every half second, or every 50 ms where other processes
    have no bell to ring.

    Args:
        doorbell: The bell for other processes, hung up if it can be.
    """

    def __init__(self, doorbell: Doorbell) -> None:
        self.doorbell = doorbell
        self._near, self._far = socket.socketpair()
        for end in (self._near, self._far):
            end.setblocking(False)
        self._ends = [self._near]
        if doorbell.socket is not None:
            self._ends.append(doorbell.socket)
        self._selector = selectors.DefaultSelector()
        for end in self._ends:
            self._selector.register(end, selectors.EVENT_READ)
        self._pause = WITHOUT if doorbell.socket is None else WITH_BELL
        self._rung = False
        self._version = -1

    def ring(self) -> None:
        """Wake the sleeper up, from any thread of this process."""
        if not self._rung:
            self._rung = True
            with suppress(OSError):  # full, so it rings already; or closed, so nobody sleeps
                self._far.send(b"\0")

    def sleep(self, seconds: float, database: Database | None = None) -> None:
        """Return when somebody rings, when somebody committed, or after so many seconds.

        Args:
            seconds: The longest time to sleep, in seconds.
            database: What to look at the file with; None to listen for rings only.
        """
        deadline = time.monotonic() + seconds
        while not self._rung:
            if database is not None and self._moved(database):
                return
            left = deadline - time.monotonic()
            if left <= 0:
                return
            if self._selector.select(left if database is None else min(self._pause, left)):
                break
        self._rung = False  # before emptying: a ring in between is seen by the next sleep
        for end in self._ends:
            _empty(end)

    def close(self) -> None:
        """Take everything down; the sleeper must have left."""
        self._selector.close()
        self.doorbell.close()
        self._near.close()
        self._far.close()

    def _moved(self, database: Database) -> bool:
        with database as connection:
            (version,) = connection.execute("PRAGMA data_version").fetchone()
        moved, self._version = version != self._version, version
        return bool(moved)


def _empty(end: socket.socket) -> None:
    with suppress(BlockingIOError):
        while end.recv(4096):
            pass
