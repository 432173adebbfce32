"""How far one partition is finished without a gap. Pure: no clock, no input or output."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Held", "Watermark"]


class Held:
    """The place of a delivery that was received and is above the watermark.

    Args:
        offset: Its offset.
        size: Its bytes.

    Attributes:
        finished: Whether it is; set by whoever finished it.
    """

    __slots__ = ("finished", "offset", "size")

    offset: int
    size: int
    finished: bool

    def __init__(self, offset: int, size: int) -> None:
        self.offset = offset
        self.size = size
        self.finished = False


H = TypeVar("H", bound=Held)


class Watermark(Generic[H]):
    """The received deliveries of one partition, and the offset below which all are finished.

    A gap is a received, unfinished delivery. Offset numbers themselves may be missing, after
    compaction for example, and hold nothing up.

    It moves when it is told to, and not with every delivery that is finished: a hundred of them at
    once cost half as much.

    Attributes:
        position: The offset to commit, one past the last delivery below the watermark; None as long
            as nothing is.
        size: Bytes of what is above the watermark.

    Example:
        >>> from vectis.core.worker.watermark import Held, Watermark
        >>> watermark = Watermark()
        >>> first, second = Held(7, size=100), Held(9, size=100)
        >>> watermark.receive([first, second])
        >>> second.finished = True
        >>> watermark.advance()
        >>> watermark.position, len(watermark)
        (None, 2)
        >>> first.finished = True
        >>> watermark.advance()
        >>> watermark.position, len(watermark)
        (10, 0)
    """

    __slots__ = ("_held", "_last", "position", "size")

    def __init__(self) -> None:
        self._held: deque[H] = deque()
        self._last = -1  # the greatest offset so far
        self.position: int | None = None
        self.size = 0

    def __len__(self) -> int:
        """How many deliveries are above the watermark, finished or not."""
        return len(self._held)

    def __iter__(self) -> Iterator[H]:
        """What is above the watermark, in the order of offsets."""
        return iter(self._held)

    @property
    def oldest(self) -> H | None:
        """The first unfinished one: what holds the watermark. May be asked from any thread."""
        return next((place for place in self._held.copy() if not place.finished), None)

    def look(self) -> tuple[int | None, list[H]]:
        """Return the position, and what is above the watermark, as if it were moved now.

        May be asked from any thread, and moves nothing.
        """
        position, held = self.position, list(self._held.copy())
        for number, place in enumerate(held):
            if not place.finished:
                return position, held[number:]
            position = place.offset + 1
        return position, []

    def receive(self, places: Sequence[H]) -> None:
        """Note deliveries, in the order of offsets.

        Args:
            places: The offset of each is greater than every one before.

        Raises:
            ValueError: An offset does not grow; nothing is noted.
        """
        last, size = self._last, self.size
        for place in places:
            if place.offset <= last:
                raise ValueError(
                    f"offset {place.offset} after {last}: offsets of a partition only grow"
                )
            last = place.offset
            size += place.size
        self._held.extend(places)
        self._last, self.size = last, size

    def advance(self) -> None:
        """Move the watermark as far as what is finished allows."""
        held, size, last = self._held, self.size, None
        while held and held[0].finished:
            last = held.popleft()
            size -= last.size
        if last is not None:
            self.position, self.size = last.offset + 1, size
