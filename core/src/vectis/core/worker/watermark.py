"""How far one partition is finished without a gap. Pure: no clock, no input or output."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Held", "Watermark"]


class Held:
    """The place of a delivery that was received and is above the watermark.

    Args:
        offset: Its offset.
        size: Its bytes.
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

    Attributes:
        position: The offset to commit, one past the last delivery below the watermark; None as long
            as nothing is finished.
        size: Bytes of what is above the watermark.

    Example:
        >>> from vectis.core.worker.watermark import Held, Watermark
        >>> watermark = Watermark()
        >>> first, second = Held(7, size=100), Held(9, size=100)
        >>> watermark.receive([first, second])
        >>> watermark.finish(second)
        >>> watermark.position, len(watermark)
        (None, 2)
        >>> watermark.finish(first)
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
        try:
            return self._held[0]
        except IndexError:
            return None

    def receive(self, places: Iterable[H]) -> None:
        """Note deliveries, in the order of offsets.

        Args:
            places: The offset of each is greater than every one before.

        Raises:
            ValueError: An offset does not grow; those before it are noted.
        """
        held, last = self._held, self._last
        for place in places:
            offset = place.offset
            if offset <= last:
                raise ValueError(f"offset {offset} after {last}: offsets of a partition only grow")
            self._last = last = offset
            held.append(place)
            self.size += place.size

    def finish(self, place: H) -> None:
        """Note that a delivery is finished, and move the watermark as far as that allows."""
        place.finished = True
        held = self._held
        while held and held[0].finished:
            first = held.popleft()
            self.size -= first.size
            self.position = first.offset + 1
