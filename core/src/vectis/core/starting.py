"""Runs the start-up hooks once, however many tasks, threads and loops ask at the same time."""

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
            with self._lock:
                running = self._running
                mine: Future[None] = Future()
                if running is None:
                    self._running = mine
            if running is not None:
                await _over(running)
                continue
            self._run = run = object()
            token = _inside.set(run)
            try:
                await self._call()
                self.done = True
            finally:
                _inside.reset(token)
                self._running = self._run = None
                mine.set_result(None)


async def _over(running: Future[None]) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        running.result()  # emit_sync without a loop: there is nothing to give way to
        return
    # Shielded: a caller that is cancelled must not cancel what others wait for.
    await asyncio.shield(asyncio.wrap_future(running))
