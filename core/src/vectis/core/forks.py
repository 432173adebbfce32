"""What the child of a fork must make anew: locks that another thread held, threads, signals.

Only the thread that forked goes on in the child. A lock that another one held stays locked there
for ever unless a fresh one takes its place. Connections to the outside are the
business of those who hold them.
"""

from __future__ import annotations

import os
import signal
from itertools import count
from threading import RLock
from types import MethodType
from typing import TYPE_CHECKING
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ForkSafeLock", "SignalsOfChildren", "after_fork"]

_calls: dict[int, Callable[[], object]] = {}
_numbers = count()


def after_fork(call: Callable[[], object]) -> None:
    """Have something called in every child of a fork, in the order in which it was asked for.

    Args:
        call: Must neither wait nor raise. The object of a method is held weakly: when it is gone,
            nothing is called.

    Example:
        >>> from threading import Lock
        >>> from vectis.core.forks import after_fork
        >>> class Stock:
        ...     def __init__(self):
        ...         self.renew_lock()
        ...         after_fork(self.renew_lock)
        ...
        ...     def renew_lock(self):
        ...         self.lock = Lock()
        >>> stock = Stock()
    """
    number, forget = next(_numbers), _calls.pop
    if not isinstance(call, MethodType):
        _calls[number] = call
        return
    method, owner = call.__func__, ref(call.__self__, lambda _: forget(number, None))

    def call_if_alive() -> None:
        alive = owner()
        if alive is not None:
            method(alive)

    _calls[number] = call_if_alive


class ForkSafeLock:
    """A reentrant lock that no thread of the parent holds in the child of a fork.

    Example:
        >>> from vectis.core.forks import ForkSafeLock
        >>> lock = ForkSafeLock()
        >>> with lock, lock:
        ...     print("mine")
        mine
    """

    def __init__(self) -> None:
        self._lock = RLock()
        after_fork(self._free)

    def _free(self) -> None:
        if self._lock.acquire(blocking=False):
            self._lock.release()  # nobody's, or of the thread that forked and will release it
        else:
            self._lock = RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


class SignalsOfChildren:
    """As long as this is held, SIGTERM and SIGINT to the child of a fork are its own, not ours.

    Handlers start processes, and end them with SIGTERM. For whoever hears these signals in the main
    thread: a child would go on with the handlers of its parent.

    Example:
        >>> from vectis.core.forks import SignalsOfChildren
        >>> held = SignalsOfChildren()
        >>> del held
    """

    def __init__(self) -> None:
        after_fork(self._begin_anew)

    def _begin_anew(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _in_child() -> None:
    for call in tuple(_calls.values()):
        call()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
