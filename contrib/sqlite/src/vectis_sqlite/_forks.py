"""No connection lives through a fork: SQLite does not notice one, and would corrupt the file.

It keeps a table of a process's files and locks. A child that inherits it believes that it holds
locks which the system gave to its parent alone. So whoever forks first waits until no thread works
with SQLite, and closes every connection. Parent and child open theirs anew when they next need one.
A fork that a new program follows at once (subprocess) goes past all this, and may.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from threading import Event, RLock, get_ident
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from vectis_sqlite._faults import Fault

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PATIENCE", "ForkGuarded", "refuse_if_inherited"]

PATIENCE = 1.0
"""Seconds that a fork waits for the transactions which are under way, all of them together."""


class ForkGuarded(ABC):
    """Something that is entered to work with SQLite, by one thread at a time, and closed by forks.

    It may be entered again from within.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._depth = 0
        _fork.guarded[id(self)] = self

    def enter(self) -> None:
        """Begin to work with SQLite; a fork that is about to happen goes first."""
        self._lock.acquire()
        while not self._depth and _fork.by not in (None, get_ident()):
            self._lock.release()
            _fork.over.wait(PATIENCE)  # not for ever: a signal handler may fork out of this
            self._lock.acquire()
        self._depth += 1

    def leave(self) -> None:
        """End what `enter` began."""
        self._depth -= 1
        self._lock.release()

    @abstractmethod
    def shut(self) -> None:
        """Close, in whatever thread forks; nobody is within. It must not raise."""

    @abstractmethod
    def abandon(self) -> bool:
        """Forget, in the child, what could not be closed; tell whether there was something."""

    def hold(self, seconds: float) -> bool:
        """Keep everybody out until `let_go`; tell whether it could be done."""
        if not self._lock.acquire(timeout=seconds):
            return False
        if self._depth:  # this thread forks out of its own work, for example in a signal handler
            self._lock.release()
            return False
        return True

    def let_go(self) -> None:
        """End what `hold` began."""
        self._lock.release()

    def renew(self) -> bool:
        """Free the lock, in the child, of threads that are not here; tell whether it was in use."""
        was_within = self._depth > 0
        if self._lock.acquire(blocking=False):
            self._lock.release()  # nobody's, or of the thread that forked and will leave
        else:
            self._lock, self._depth = RLock(), 0
            was_within = True
        return was_within


class _Fork:
    """The fork that is about to happen, if one is; and what earlier ones left behind."""

    def __init__(self) -> None:
        self.guarded: WeakValueDictionary[int, ForkGuarded] = WeakValueDictionary()
        self.inherited = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.by: int | None = None
        self.over = Event()
        self._turn = RLock()  # two threads may fork at once
        self._held: list[list[ForkGuarded]] = []  # of this fork, and of those within it

    def before(self) -> None:
        """Close everything; what is in use after `PATIENCE` seconds stays open."""
        deadline = time.monotonic() + PATIENCE
        if not self._turn.acquire(timeout=PATIENCE):
            return
        held: list[ForkGuarded] = []
        self._held.append(held)
        self.over.clear()
        self.by = get_ident()
        # Whoever is made from now on sees that there is a fork, and waits.
        for guarded in self._alive():
            if guarded.hold(max(deadline - time.monotonic(), 0.0)):
                held.append(guarded)
                guarded.shut()

    def in_parent(self) -> None:
        """Let everybody go on; also after a fork that failed."""
        if self.by != get_ident():
            return  # it did not get its turn
        for guarded in self._held.pop():
            guarded.let_go()
        if not self._held:
            self.by = None
            self.over.set()
        self._turn.release()

    def in_child(self) -> None:
        """Begin anew, and remember whether SQLite came along in the middle of something."""
        held = self._held.pop() if self.by == get_ident() else []
        for guarded in held:
            guarded.let_go()
        self._begin_anew()
        for guarded in self._alive():
            was_within = guarded.renew()
            if guarded.abandon() or was_within:
                self.inherited = True

    def _alive(self) -> list[ForkGuarded]:
        # In one step: other threads go on making them.
        return [alive for ref in self.guarded.valuerefs() if (alive := ref()) is not None]


_fork = _Fork()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_fork.before, after_in_parent=_fork.in_parent, after_in_child=_fork.in_child
    )


def refuse_if_inherited(path: Path) -> None:
    """Refuse in the child of a fork that could not close the connections of its parent.

    Raises:
        Fault: This is such a child.
    """
    if _fork.inherited:
        raise Fault(
            f"SQLite file {path}: this process was forked while its parent was using SQLite, and "
            "what it inherited would damage files. Start it as a new process instead: with the "
            "start method 'spawn' of multiprocessing, with subprocess, or as a worker of the "
            "server that loads the application itself.",
            fate="not_sent",
        )
