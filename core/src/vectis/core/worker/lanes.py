"""One queue a key: what is in one lane runs one after another, lanes run side by side. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

__all__ = ["Lanes"]

T = TypeVar("T")


class Lanes(Generic[T]):
    """The lanes of one partition.

    Example:
        >>> from vectis.core.worker.lanes import Lanes
        >>> lanes = Lanes[str]()
        >>> lanes.enter("order 7", "created"), lanes.enter("order 7", "paid")
        (True, False)
        >>> lanes.enter("order 8", "created")
        True
        >>> lanes.leave("order 7"), lanes.leave("order 7")
        ('paid', None)
    """

    __slots__ = ("_lanes",)

    def __init__(self) -> None:
        # A lane is there as long as something of it runs; most have nothing waiting and no queue.
        self._lanes: dict[Hashable, deque[T] | None] = {}

    def __len__(self) -> int:
        """How many lanes are busy."""
        return len(self._lanes)

    def enter(self, key: Hashable, item: T) -> bool:
        """Put an item into its lane; True when the lane was free, and the item may run now."""
        lanes = self._lanes
        if key not in lanes:
            lanes[key] = None
            return True
        waiting = lanes[key]
        if waiting is None:
            lanes[key] = deque((item,))
        else:
            waiting.append(item)
        return False

    def leave(self, key: Hashable) -> T | None:
        """Note that what ran is finished; return the next of its lane, None when it is free."""
        waiting = self._lanes[key]
        if waiting:
            return waiting.popleft()
        del self._lanes[key]
        return None

    def drop_waiting(self) -> Iterator[T]:
        """Empty every queue, and yield what waited in them; what runs goes on."""
        for key, waiting in self._lanes.items():
            if waiting:
                self._lanes[key] = None
                yield from waiting
