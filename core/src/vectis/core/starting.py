"""Runs the start-up and the shutdown hooks once, however many tasks, threads and loops ask."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextvars import ContextVar
from threading import Lock
from typing import TYPE_CHECKING

from vectis.core.forks import after_fork

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Once"]

_inside: ContextVar[object] = ContextVar("vectis_starting", default=None)


class Once:
    """Awaits a call until it has succeeded once; after a failure, the next caller tries again.

    A caller from within the call itself goes straight through: a start-up hook may emit.

    Args:
        call: What is to be done once.
        done: True when there is nothing to do.
    """

    def __init__(self, call: Callable[[], Awaitable[object]], *, done: bool = False) -> None:
        self._call = call
        self.done = done
        self._run: object = None
        self._undo: object = None
        self._forget_others()
        after_fork(self._forget_others)

    def _forget_others(self) -> None:
        # In the child of a fork, whoever was about to do it has stayed in the parent.
        self._lock = Lock()
        self._running: Future[None] | None = None

    @property
    def inside(self) -> bool:
        """Whether the caller is within the call itself, while it runs.

        A task that was begun there is outside when the call is over.
        """
        run = self._run
        return run is not None and _inside.get() is run

    async def __call__(self) -> None:
        """Return when the call has succeeded, here or elsewhere."""
        while not self.done and not self.inside:
            mine = await self._claim()
            if mine is None:
                continue
            self._run = run = object()
            token = _inside.set(run)
            try:
                if not self.done:  # another thread may have come first
                    await self._call()
                self.done = True
            finally:
                _inside.reset(token)
                self._run = None
                self._release(mine)

    async def undo(self, call: Callable[[], Awaitable[object]]) -> None:
        """Await a call that undoes it, if it was done; whoever comes meanwhile waits for that.

        A call that is under way is waited for. From within the call, or what undoes it, this
        returns at once.

        Args:
            call: What undoes it. Until that has succeeded it counts as done.
        """
        while not self.inside and not self._undone_by_caller:
            mine = await self._claim()
            if mine is None:
                continue
            self._undo = run = object()
            token = _inside.set(run)
            try:
                if self.done:
                    await call()
                    self.done = False
            finally:
                _inside.reset(token)
                self._undo = None
                self._release(mine)
            return

    @property
    def _undone_by_caller(self) -> bool:
        run = self._undo
        return run is not None and _inside.get() is run

    async def _claim(self) -> Future[None] | None:
        """Return the mark of whoever is at it now; None after waiting for somebody else."""
        with self._lock:
            running = self._running
            if running is None:
                self._running = mine = Future[None]()
                return mine
        await _over(running)
        return None

    def _release(self, mine: Future[None]) -> None:
        self._running = None
        mine.set_result(None)


async def _over(running: Future[None]) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        running.result()  # emit_sync without a loop: there is nothing to give way to
        return
    # Shielded: a caller that is cancelled must not cancel what others wait for.
    await asyncio.shield(asyncio.wrap_future(running))
