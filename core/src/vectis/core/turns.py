"""Turns: calls of one key go one after another, so that a slow guard cannot reorder them.

Only publishing with hooks, or before the hub has started, takes turns: otherwise nothing is awaited
before the transport has the message.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Turns"]

_turns_held: ContextVar[tuple[object, ...]] = ContextVar("vectis_turns_held", default=())


class Turns:
    """The order of calls, per event loop, topic and key.

    Attributes:
        taken: The turns that somebody has or waits for.
    """

    def __init__(self) -> None:
        self.taken: dict[tuple[asyncio.AbstractEventLoop, str, object], _Turn] = {}

    def of(self, topic: str, key: object) -> _Turn:
        """Return the turn to take, with `async with`; without a key nobody waits."""
        if key is None:
            return _Turn()
        place = (asyncio.get_running_loop(), topic, key)
        turn = self.taken.get(place)
        if turn is None:
            turn = self.taken[place] = _Turn(lambda: self.taken.pop(place, None))
        elif turn.is_mine():
            return _Turn()  # a hook publishes to the key whose turn it has: it would wait for ever
        return turn


class _Turn:
    """A lock in order of arrival that calls `unused` when nobody holds it or waits for it."""

    def __init__(self, unused: Callable[[], object] | None = None) -> None:
        self._lock = asyncio.Lock()
        self._unused = unused
        self._users = 0
        self._holder: object = None

    def is_mine(self) -> bool:
        """Tell whether this is called from inside the turn, also from a task started there."""
        return self._holder is not None and self._holder in _turns_held.get()

    async def __aenter__(self) -> None:
        if self._unused is None:
            return
        self._users += 1
        try:
            await self._lock.acquire()
        except BaseException:
            self._leave()
            raise
        self._holder = object()
        self._token = _turns_held.set((*_turns_held.get(), self._holder))

    async def __aexit__(self, *error: object) -> None:
        if self._unused is None:
            return
        _turns_held.reset(self._token)
        self._holder = None
        self._lock.release()
        self._leave()

    def _leave(self) -> None:
        self._users -= 1
        if self._users == 0 and self._unused is not None:
            self._unused()
