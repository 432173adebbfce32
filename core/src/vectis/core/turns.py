"""Turns: calls of one key go one after another, so that a slow guard cannot reorder them.

Only publishing with hooks, or before the hub has started, takes turns: otherwise nothing is awaited
before the transport has the message.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import ContextVar
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

__all__ = ["Turn", "Turns"]

_turns_held: ContextVar[tuple[Turn, ...]] = ContextVar("vectis_turns_held", default=())


class Turns:
    """The order of calls, per event loop, topic and key.

    Attributes:
        taken: The turns that somebody has or waits for.
    """

    def __init__(self) -> None:
        self.taken: dict[Hashable, deque[Turn]] = {}

    def queue(self, topic: str, key: bytes | None, *, starting: bool = False) -> Turn:
        """Stand in the queue for a turn, at once; without a key nobody waits.

        Args:
            topic: The topic.
            key: The message's key.
            starting: Whether a start-up hook asks. It waits for others that do, and not for those
                who wait until the hub has started.

        Returns:
            The turn: `async with` waits for it and gives it up. Whoever comes that far or not has
            to `leave` it.
        """
        if key is None:
            return Turn(deque())
        place: Hashable = (asyncio.get_running_loop(), topic, key, starting)
        queue = self.taken.get(place)
        if queue is None:
            queue = self.taken[place] = deque()
        elif (held := _turns_held.get()) and _waits_for(queue, held):
            # A hook publishes to a key that waits for this very hook: it goes ahead of those who
            # wait there, and what it publishes is in order among itself.
            place = (place, held[-1])
            queue = self.taken.setdefault(place, deque())
        return Turn(queue, self.taken, place)


def _waits_for(queue: Iterable[Turn], held: tuple[Turn, ...]) -> bool:
    """Tell whether somebody in a queue cannot leave it before those leave who are held.

    A hook that publishes to the key whose turn it has is the shortest way to that. Two hooks that
    publish to each other's key are a longer one.
    """
    seen: set[Turn] = set()
    ahead = list(queue)
    while ahead:
        turn = ahead.pop()
        if turn in held:
            return True
        if turn not in seen:
            seen.add(turn)
            ahead += [other for inner in tuple(turn.inner) for other in inner.ahead]
    return False


class Turn:
    """A place in a queue; whoever stands first has the turn.

    Attributes:
        inner: Those that were asked for by whoever has this turn, before it left.
    """

    def __init__(
        self,
        queue: deque[Turn],
        taken: dict[Hashable, deque[Turn]] | None = None,
        place: Hashable = None,
    ) -> None:
        self._queue = queue
        self._taken = taken
        self._place = place
        self._come: asyncio.Future[None] | None = None
        self._left = False
        self._outer = tuple(turn for turn in _turns_held.get() if not turn._left)
        self.inner: set[Turn] = set()
        for turn in self._outer:
            turn.inner.add(self)
        queue.append(self)

    @property
    def ahead(self) -> Iterator[Turn]:
        """Those that leave before this one has its turn."""
        return takewhile(lambda turn: turn is not self, tuple(self._queue))

    async def wait(self) -> None:
        """Wait until those before have left."""
        if self._queue[0] is not self:
            self._come = asyncio.get_running_loop().create_future()
            await self._come

    def leave(self) -> None:
        """Let the next one have the turn; leaving twice is leaving once."""
        if self._left:
            return
        self._left = True
        for turn in self._outer:
            turn.inner.discard(self)
        self._outer = ()
        self._queue.remove(self)
        if not self._queue:
            if self._taken is not None:
                del self._taken[self._place]
            return
        following = self._queue[0]._come
        if following is not None and not following.done():
            following.set_result(None)

    async def __aenter__(self) -> None:
        try:
            await self.wait()
        except BaseException:
            self.leave()
            raise
        self._token = _turns_held.set((*self._outer, self))

    async def __aexit__(self, *error: object) -> None:
        _turns_held.reset(self._token)
        del self._token
        self.leave()
