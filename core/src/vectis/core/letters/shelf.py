"""What waits on the dead-letter topics of one group, and how far the group may commit. Pure.

An offset is committed when nothing that is still needed lies below it. Needed is a letter that
waits, and also the note that one is settled, until the offset of the letter's own partition has
been committed past it: without the note it would come again. Letters of other groups, and notes
without a letter, hold nothing up.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from vectis.core.letters.wire import Foreign, Settled, StoredLetter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vectis.core.letters.wire import Record
    from vectis.core.message import TopicPartition

__all__ = ["Shelf", "Waiting"]

Waiting = StoredLetter | Foreign
"""What waits for the group: its letters, and records that nobody can make anything of."""


class Shelf:
    """The records behind one group's committed offsets.

    Args:
        group: The group whose letters they are.
        starts: The committed offset of each partition, or where it begins.
        records: Everything from there on, in order within each partition.

    Attributes:
        group: The same.

    Example:
        >>> from vectis.core.dead_letter import DeadLetter
        >>> from vectis.core.letters import read_record
        >>> from vectis.core.letters.shelf import Shelf
        >>> from vectis.core.message import Delivery, TopicPartition
        >>> written = DeadLetter(delivery=Delivery("t", 0, 7), group="shop", error="no").message()
        >>> stored = Delivery("t.dlq", 0, 4, headers=written.headers)
        >>> here = TopicPartition("t.dlq", 0)
        >>> shelf = Shelf("shop", {here: 0}, [read_record(stored)])
        >>> [letter.id for letter in shelf.waiting], shelf.positions
        (['t.dlq/0@4'], {TopicPartition(topic='t.dlq', partition=0): 4})
        >>> shelf.settle(shelf.waiting[0])
        >>> shelf.waiting, shelf.positions
        ([], {TopicPartition(topic='t.dlq', partition=0): 5})
    """

    def __init__(
        self, group: str, starts: Mapping[TopicPartition, int], records: Iterable[Record]
    ) -> None:
        self.group = group
        self._positions = dict(starts)
        self._stored = dict(starts)
        self._ends = dict(starts)
        self._waiting: dict[tuple[TopicPartition, int], Waiting] = {}
        self._others: dict[str, dict[tuple[TopicPartition, int], Waiting]] = {}
        notes: list[Settled] = []
        for record in records:
            self._ends[record.where] = record.offset + 1
            if isinstance(record, Settled):
                notes.append(record)
            elif isinstance(record, StoredLetter) and record.group != group:
                theirs = self._others.setdefault(record.group, {})
                theirs[record.where, record.offset] = record
            else:
                self._waiting[record.where, record.offset] = record
        valid = [n for n in notes if n.group == group and _is_about_one(n, self._waiting)]
        # What holds a partition's offset, in order: letters that wait, and notes that are needed.
        self._held: dict[TopicPartition, deque[Waiting | Settled]] = {
            where: deque() for where in self._ends
        }
        for held in sorted([*self._waiting.values(), *valid], key=lambda one: one.offset):
            self._held[held.where].append(held)
        for note in valid:
            self._waiting.pop((note.letter, note.letter_offset), None)
        for note in notes:
            theirs = self._others.get(note.group, {})
            if _is_about_one(note, theirs):
                del theirs[note.letter, note.letter_offset]
        self._advance()

    @property
    def waiting(self) -> list[Waiting]:
        """What waits, by topic, partition and offset."""
        return [self._waiting[place] for place in sorted(self._waiting)]

    @property
    def others(self) -> dict[str, int]:
        """How many letters wait for other groups, by group, as far as the records tell.

        What such a group has committed is not among them: see `passed_by`.
        """
        return {group: len(letters) for group, letters in self._others.items() if letters}

    def passed_by(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        """Count no letters of another group that lie before what it has committed.

        Args:
            group: The other group.
            positions: What the group of its letters has committed, by partition.
        """
        for where, offset in list(self._others.get(group, ())):
            if offset < positions.get(where, 0):
                del self._others[group][where, offset]

    @property
    def positions(self) -> dict[TopicPartition, int]:
        """The offset that may be committed for each partition."""
        return dict(self._positions)

    def stored(self, positions: Mapping[TopicPartition, int]) -> bool:
        """Note that these positions are committed; True when there is more to commit now."""
        self._stored.update(positions)
        self._advance()
        return self._positions != self._stored

    def settle(self, record: Waiting) -> None:
        """Note that something does not wait any more."""
        self._waiting.pop((record.where, record.offset), None)
        self._advance()

    def passed(self, record: Waiting) -> bool:
        """Tell whether committing is enough for a settled record, so that it needs no note."""
        return record.offset < self._positions[record.where]

    def _advance(self) -> None:
        for where, held in self._held.items():
            while held and not self._is_needed(held[0]):
                held.popleft()
            position = held[0].offset if held else self._ends[where]
            self._positions[where] = max(position, self._positions.get(where, 0))

    def _is_needed(self, record: Waiting | Settled) -> bool:
        if not isinstance(record, Settled):
            return (record.where, record.offset) in self._waiting
        # In the letter's own partition it lies behind it, and is committed with it.
        return record.letter != record.where and record.letter_offset >= self._stored.get(
            record.letter, 0
        )


def _is_about_one(note: Settled, letters: Mapping[tuple[TopicPartition, int], Waiting]) -> bool:
    """Tell whether a note is about one of these letters."""
    letter = letters.get((note.letter, note.letter_offset))
    if letter is None:
        return False
    # A note is written after the letter. One that claims to know better was not written here.
    if note.letter == note.where:
        return note.offset > letter.offset
    return note.timestamp >= letter.timestamp
