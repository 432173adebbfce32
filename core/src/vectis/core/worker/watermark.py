"""How far one partition is finished without a gap. Pure: no clock, no input or output."""

from __future__ import annotations

from collections import deque

__all__ = ["Held", "Watermark"]


class Held:
    """The place of a delivery that was received and is above the watermark."""

    __slots__ = ("finished", "offset", "size")

    def __init__(self, offset: int, size: int) -> None:
        self.offset = offset
        self.size = size
        self.finished = False


class Watermark:
    """The received deliveries of one partition, and the offset below which all are finished.

    A gap is a received, unfinished delivery. Offset numbers themselves may be missing, after
    compaction for example, and hold nothing up.

    Attributes:
        position: The offset to commit, one past the last delivery below the watermark; None as long
            as nothing is finished.
        size: Bytes of what is above the watermark.

    Example:
        >>> from vectis.core.worker.watermark import Watermark
        >>> watermark = Watermark()
        >>> first, second = watermark.receive(7, 100), watermark.receive(9, 100)
        >>> watermark.finish(second)
        >>> watermark.position, len(watermark)
        (None, 2)
        >>> watermark.finish(first)
        >>> watermark.position, len(watermark)
        (10, 0)
    """

    __slots__ = ("_held", "position", "size")

    def __init__(self) -> None:
        self._held: deque[Held] = deque()
        self.position: int | None = None
        self.size = 0

    def __len__(self) -> int:
        """How many deliveries are above the watermark, finished or not."""
        return len(self._held)

    @property
    def oldest(self) -> int | None:
        """The offset of the first unfinished delivery: what holds the watermark."""
        return self._held[0].offset if self._held else None

    def receive(self, offset: int, size: int) -> Held:
        """Note a delivery, in the order of offsets, and return its place.

        Args:
            offset: Greater than every offset before.
            size: Its bytes.

        Raises:
            ValueError: The offset does not grow.
        """
        held = self._held
        last = held[-1].offset if held else (self.position or 0) - 1
        if offset <= last:
            raise ValueError(f"offset {offset} after {last}: offsets of a partition only grow")
        place = Held(offset, size)
        held.append(place)
        self.size += size
        return place

    def finish(self, place: Held) -> None:
        """Note that a delivery is finished, and move the watermark as far as that allows."""
        place.finished = True
        held = self._held
        while held and held[0].finished:
            first = held.popleft()
            self.size -= first.size
            self.position = first.offset + 1
