"""One queue a key: what is in one lane runs one after another, lanes run side by side. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

__all__ = ["Laned", "Lanes"]


class Laned(Protocol):
    """What goes into lanes: it knows its own, None when it keeps no order with anything."""

    lane: Hashable | None


T = TypeVar("T", bound=Laned)


class Lanes(Generic[T]):
    """The lanes of one partition.

    Example:
        >>> from types import SimpleNamespace
        >>> from vectis.core.worker.lanes import Lanes
        >>> created, paid = SimpleNamespace(lane="order 7"), SimpleNamespace(lane="order 7")
        >>> other = SimpleNamespace(lane="order 8")
        >>> lanes = Lanes()
        >>> lanes.enter([created, paid, other]) == [created, other]
        True
        >>> lanes.leave(created) is paid, lanes.leave(paid)
        (True, None)
    """

    __slots__ = ("_lanes",)

    def __init__(self) -> None:
        # A lane is there as long as something of it runs; most have nothing waiting and no queue.
        self._lanes: dict[Hashable, deque[T] | None] = {}

    def __len__(self) -> int:
        """How many lanes are busy."""
        return len(self._lanes)

    def enter(self, items: Iterable[T]) -> list[T]:
        """Put items into their lanes; return those whose lane was free: they may run now."""
        lanes = self._lanes
        free = []
        for item in items:
            lane = item.lane
            if lane is None:
                free.append(item)
            elif lane not in lanes:
                lanes[lane] = None
                free.append(item)
            else:
                waiting = lanes[lane]
                if waiting is None:
                    lanes[lane] = deque((item,))
                else:
                    waiting.append(item)
        return free

    def leave(self, item: T) -> T | None:
        """Note that an item is finished; return the next of its lane, None when that is free."""
        lane = item.lane
        if lane is None:
            return None
        waiting = self._lanes.pop(lane)
        if not waiting:
            return None
        self._lanes[lane] = waiting
        return waiting.popleft()
