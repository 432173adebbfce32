"""The one watchdog thread of a process: it ticks whoever asked to be ticked, and parks otherwise.

It holds those it ticks weakly, so that it keeps no hub alive. What a tick does is not its business.
"""

from __future__ import annotations

import sys
import threading
from time import perf_counter
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from vectis.core.forks import after_fork

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Ticked", "Ticker", "ticker"]


class Ticked(Protocol):
    """Whoever is ticked."""

    def tick(self) -> float | None:
        """Look after everything, and return the seconds until the next tick; None: no more."""

    def park(self) -> None:
        """Take note that no ticks come: the last one failed, or there can be no thread."""


class Ticker:
    """A daemon thread that is started on first use, also in the child of a fork."""

    def __init__(self) -> None:
        self._forget_thread()
        after_fork(self._forget_thread)

    def _forget_thread(self) -> None:
        self._lock = threading.Lock()
        self._sooner = threading.Event()
        self._thread: threading.Thread | None = None
        self._due: WeakKeyDictionary[Ticked, float] = WeakKeyDictionary()

    def tick(self, ticked: Ticked, seconds: float) -> None:
        """Tick somebody after so many seconds, unless that is to happen sooner anyway."""
        with self._lock:
            self._plan(ticked, seconds)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="vectis-watchdog", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is ending: nobody watches, emits go on
                    ticked.park()
                    return
                self._thread = thread
        self._sooner.set()

    def _plan(self, ticked: Ticked, seconds: float) -> None:
        due = perf_counter() + seconds
        self._due[ticked] = min(due, self._due.get(ticked, due))

    def _run(self) -> None:
        while True:
            self._tick(self._take_due())
            self._sooner.wait(self._pause())
            self._sooner.clear()

    def _take_due(self) -> list[Ticked]:
        with self._lock:
            now = perf_counter()
            taken = [ticked for ticked, due in self._due.items() if due <= now]
            # Out of the plan before they are ticked: who asks meanwhile is planned anew.
            for ticked in taken:
                del self._due[ticked]
        return taken

    def _tick(self, taken: Iterable[Ticked]) -> None:
        for ticked in taken:
            try:
                seconds = ticked.tick()
            except Exception:  # such as one of a log handler of the application
                ticked.park()
                thread = threading.current_thread()
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), thread)))
                continue
            if seconds is not None:
                with self._lock:
                    self._plan(ticked, seconds)

    def _pause(self) -> float | None:
        with self._lock:
            due = min(self._due.values(), default=None)
        return None if due is None else max(0.0, due - perf_counter())


ticker = Ticker()
"""Ticks the watchdogs of all hubs of this process."""
