"""Appending records to the log and reading them back: plain functions over a connection."""

from __future__ import annotations

import time
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

from vectis.core.exceptions import PublishError
from vectis.core.message import Delivery, Message, Receipt, TopicPartition
from vectis.core.partition import partition_of
from vectis_sqlite._database import OFFSET_BITS, RECORD_BYTES
from vectis_sqlite._faults import Fault
from vectis_sqlite._headers import NO_HEADERS, pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vectis_sqlite._headers import Connection

__all__ = [
    "FETCH_BYTES",
    "Row",
    "Topics",
    "append",
    "end_offset",
    "first_offset",
    "id_of",
    "in_range",
    "read",
    "remaining",
    "row_of",
]

FETCH_BYTES = 8 * 1024 * 1024
"""A fetch stops after the record that takes it over this many bytes."""

LARGEST = 900_000_000  # bytes; SQLite refuses a row over 1,000,000,000

# A plain tuple: a class of its own costs four times as much, and there is one a message.
Row = tuple[str, bytes | None, bytes | None, bytes, bytes, int]
"""A message in the form that is stored: topic, key, value, the layout of the headers, their own
values, and what it takes, in bytes."""


def row_of(message: Message) -> Row:
    """Return the row of a message.

    Raises:
        PublishError: A message that could not be read back as it was; `rejected`.
    """
    key, value, topic = message.key, message.value, message.topic
    if not topic:
        raise _refused(message, "the topic has no name")
    try:
        layout, own = pack(message.headers)
    except (TypeError, ValueError, AttributeError) as error:
        raise _refused(message, f"headers must be pairs of a name and bytes ({error})") from error
    size = RECORD_BYTES + len(own)
    if key is not None:
        if not isinstance(key, bytes):
            raise _refused(message, f"the key must be bytes or None, not {type(key).__name__}")
        size += len(key)
    if value is not None:
        if not isinstance(value, bytes):
            raise _refused(message, f"the value must be bytes or None, not {type(value).__name__}")
        size += len(value)
    if size + len(layout) > LARGEST:
        raise _refused(message, f"{message.size:,} bytes are more than a SQLite row can hold")
    return topic, key, value, layout, own, size


def _refused(message: Message, why: str) -> PublishError:
    return PublishError(f"message for topic {message.topic!r}: {why}", fate="rejected")


class Topics:
    """The topics of one open file, made on first use; forget it when a transaction fails.

    Args:
        partitions: How many partitions a new topic gets.
    """

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._known: dict[str, list[int]] = {}
        self._ends: dict[int, int] = {}
        self._connection: Connection | None = None
        self._version = -1
        self._turn = count()

    def are_others(self, connection: Connection) -> bool:
        """Return whether the file must be opened anew, as it got other content; else take note.

        To be asked when a writing transaction has begun, before anything else.
        """
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if self._connection is not connection:  # opened anew: it may be another file
            self._connection = connection
            self._known.clear()
        elif version == self._version:
            return False
        self._version = version
        self._ends.clear()
        return connection.is_other()

    def ids(self, connection: Connection, topic: str) -> list[int]:
        """Return the ids of a topic's partitions, by number; within a writing transaction."""
        ids = self._known.get(topic)
        if ids is None:
            ids = self._known[topic] = self._find_or_make(connection, topic)
        return ids

    @property
    def ends(self) -> dict[int, int]:
        """The next offset of partitions, to be kept up by whoever appends.

        Only those are in it that nobody else can have moved; within a writing transaction.
        """
        return self._ends

    def turn(self) -> int:
        """Return a number for a message without a key, which goes to each partition in turn."""
        return next(self._turn)

    def _find_or_make(self, connection: Connection, topic: str) -> list[int]:
        made = connection.execute(
            "INSERT INTO topics (name) VALUES (?) ON CONFLICT DO NOTHING", (topic,)
        )
        if made.rowcount:
            connection.executemany(
                "INSERT INTO partitions (topic, number) VALUES (?, ?)",
                [(made.lastrowid, number) for number in range(self._partitions)],
            )
        found = connection.execute(
            "SELECT partitions.id FROM partitions JOIN topics ON topics.id = partitions.topic "
            "WHERE topics.name = ? ORDER BY partitions.number",
            (topic,),
        )
        return [id for (id,) in found.fetchall()]


def append(connection: Connection, topics: Topics, rows: Iterable[Row]) -> list[Receipt]:
    """Append rows within a transaction, and return their receipts, good once it is committed."""
    now = time.time_ns() // 1_000_000
    ends = topics.ends
    grown: dict[int, int] = {}
    fields: list[Any] = []
    receipts = []
    last = ""
    ids: list[int] = []
    known = head = b""
    for topic, key, value, layout, own, size in rows:
        if topic != last:  # most rows of a batch have the topic of the one before
            last, ids = topic, topics.ids(connection, topic)
        number = topics.turn() % len(ids) if key is None else partition_of(key, len(ids))
        partition = ids[number]
        if layout is not known:  # as with topics
            known, head = layout, connection.head(layout)
        if partition in grown:
            grown[partition] += size + len(head)
            offset = ends[partition]
        else:
            grown[partition] = size + len(head)
            offset = ends[partition] if partition in ends else end_offset(connection, partition)
        ends[partition] = offset + 1
        fields += partition << OFFSET_BITS | offset, key, value, head + own, now
        receipts.append(Receipt(topic, number, offset, "", "sqlite"))
    _insert(connection, fields)
    connection.executemany(
        "UPDATE partitions SET next_offset = ?, bytes = bytes + ? WHERE id = ?",
        [(ends[partition], size, partition) for partition, size in grown.items()],
    )
    return receipts


_COLUMNS = 5
_AT_ONCE = 128  # records of one statement; SQLite takes 32,766 values at least
_FEW = 16  # what the sizes above this one are multiples of, so that there are few statements


def _insert(connection: Connection, fields: Sequence[Any]) -> None:
    """Store records given as the values of all their columns, one after another.

    Many in a statement: the interpreter is let go with each, and while the event loop works it
    takes milliseconds to get it back.
    """
    at = 0
    while at < len(fields):
        count = min((len(fields) - at) // _COLUMNS, _AT_ONCE)
        if count > _FEW:
            count -= count % _FEW
        end = at + _COLUMNS * count
        connection.execute(_insertion(count), fields[at:end])
        at = end


@lru_cache(maxsize=32)
def _insertion(count: int) -> str:
    # A statement that fails ends the transaction, as it would anyway. SQLite need not copy each
    # page first, to undo the statement alone: more than half of its work in small transactions.
    values = ", ".join(["(?, ?, ?, ?, ?)"] * count)
    return f"INSERT OR ROLLBACK INTO log VALUES {values}"


def read(
    connection: Connection, where: TopicPartition, id: int, offset: int, limit: int, size: int
) -> tuple[list[Delivery], int]:
    """Return up to `limit` deliveries from an offset on, and how many bytes they took.

    It stops after the delivery that takes it to `size` bytes. No cursor stays open: one would stop
    checkpoints, and the file beside would grow.
    """
    topic, number = where
    first = id << OFFSET_BITS
    deliveries: list[Delivery] = []
    taken = 0
    head, headers_of = NO_HEADERS
    cursor = connection.execute(
        "SELECT place, key, value, headers, timestamp FROM log "
        "WHERE place BETWEEN ? AND ? ORDER BY place LIMIT ?",
        (first + offset, first + (1 << OFFSET_BITS) - 1, limit),
    )
    try:
        for place, key, value, packed, timestamp in cursor:
            if not packed.startswith(head):  # most begin as the one before
                head, headers_of = connection.split(packed)
            headers = headers_of(packed, len(head))
            deliveries.append(
                Delivery(topic, number, place - first, key, value, headers, timestamp)
            )
            taken += len(packed) + len(key or b"") + len(value or b"")
            if taken >= size:
                break
    finally:
        cursor.close()
    return deliveries, taken


def in_range(connection: Connection, id: int, offset: int) -> int:
    """Return the offset, or the nearest one that is kept or comes next when it is out of range."""
    end = end_offset(connection, id)
    return min(max(offset, first_offset(connection, id)), end)


def first_offset(connection: Connection, id: int) -> int:
    """Return the offset of the first record kept, or that of the next one when there is none."""
    first = id << OFFSET_BITS
    (place,) = connection.execute(
        "SELECT min(place) FROM log WHERE place BETWEEN ? AND ?",
        (first, first + (1 << OFFSET_BITS) - 1),
    ).fetchone()
    return end_offset(connection, id) if place is None else int(place) - first


def id_of(connection: Connection, where: TopicPartition) -> int:
    """Return the id that a partition has in the file.

    Raises:
        Fault: It is not there.
    """
    row = connection.execute(
        "SELECT partitions.id FROM partitions JOIN topics ON topics.id = partitions.topic "
        "WHERE topics.name = ? AND partitions.number = ?",
        where,
    ).fetchone()
    if row is None:
        raise _gone(str(where))
    return int(row[0])


def end_offset(connection: Connection, id: int) -> int:
    """Return the offset that the next record gets.

    Raises:
        Fault: The partition is not there.
    """
    row = connection.execute("SELECT next_offset FROM partitions WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise _gone(f"the partition with the id {id}")
    return int(row[0])


def _gone(what: str) -> Fault:
    return Fault(
        f"{what} is not in the SQLite file: another file took the place of the one it was in, or "
        "somebody deleted it. A consumer that fetches again reads what is there.",
        fate="not_sent",
    )


def remaining(connection: Connection, id: int, position: int) -> int:
    """Return how many records lie at or behind a position; none behind one that is out of range."""
    return max(end_offset(connection, id) - max(position, first_offset(connection, id)), 0)
