"""Deleting what is too old or too much: functions in a transaction, a little at a time.

It waits for no group. Offsets are never used again: a partition's next one is kept apart from its
records.
"""

from __future__ import annotations

import sys
from itertools import takewhile
from typing import TYPE_CHECKING

import attrs

from vectis_sqlite._database import OFFSET_BITS, SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from sqlite3 import Connection

    from vectis_sqlite.settings import SqliteSettings

__all__ = ["retain"]

CHUNK = 2_000
"""Records that are deleted in one transaction, roughly: whoever publishes waits for no more."""

_ALL = (1 << OFFSET_BITS) - 1


def retain(connection: Connection, settings: SqliteSettings, *, now: float) -> bool:
    """Delete a chunk of what should not be kept, and tell whether there may be more.

    Args:
        connection: Within a writing transaction.
        settings: Their `retention_age` and `retention_bytes` decide.
        now: Seconds since 1970 (UTC).
    """
    deleted = 0
    for kept in _by_topic(connection):
        if settings.retention_age is not None:
            cutoff = int((now - settings.retention_age) * 1000)
            deleted += _too_old(connection, kept, cutoff, CHUNK - deleted)
        if settings.retention_bytes is not None:
            deleted += _too_much(connection, kept, settings.retention_bytes, CHUNK - deleted)
        if deleted >= CHUNK:
            return True
    return False


_Record = tuple[int, int, int]
"""Place, timestamp and bytes."""


@attrs.define
class _Kept:
    """What a topic has: for each partition with records, when its oldest came, and their bytes."""

    oldest: dict[int, int]
    size: int


def _by_topic(connection: Connection) -> Iterable[_Kept]:
    topics: dict[int, _Kept] = {}
    for topic, id, size in connection.execute(
        "SELECT topic, id, bytes FROM partitions WHERE bytes > 0"
    ).fetchall():
        oldest = _oldest(connection, id)
        if oldest is None:  # somebody else emptied it
            connection.execute("UPDATE partitions SET bytes = 0 WHERE id = ?", (id,))
            continue
        kept = topics.setdefault(topic, _Kept({}, 0))
        kept.oldest[id] = oldest
        kept.size += size
    return topics.values()


def _too_old(connection: Connection, kept: _Kept, cutoff: int, limit: int) -> int:
    """Delete records up to the first one of each partition that is not too old."""
    deleted = 0
    for id, oldest in [*kept.oldest.items()]:
        if oldest < cutoff and deleted < limit:
            records = takewhile(
                lambda record: record[1] < cutoff, _head(connection, id, limit - deleted)
            )
            deleted += _delete(connection, kept, id, [*records])
    return deleted


def _too_much(connection: Connection, kept: _Kept, most: int, limit: int) -> int:
    """Delete the topic's oldest records as long as `most` bytes are left."""
    deleted = 0
    while kept.oldest and deleted < limit:
        first, *rest = sorted(kept.oldest, key=kept.oldest.__getitem__)
        until = kept.oldest[rest[0]] if rest else sys.maxsize  # then another partition's turn
        records: list[_Record] = []
        size = kept.size
        for record in _head(connection, first, limit - deleted):
            size -= record[2]
            if size < most or (records and record[1] > until):
                break
            records.append(record)
        if not records:
            break
        deleted += _delete(connection, kept, first, records)
    return deleted


def _oldest(connection: Connection, id: int) -> int | None:
    head = _head(connection, id, 1)
    return head[0][1] if head else None


def _head(connection: Connection, id: int, count: int) -> list[_Record]:
    first = id << OFFSET_BITS
    return connection.execute(
        f"SELECT place, timestamp, {SIZE} FROM log "
        "WHERE place BETWEEN ? AND ? ORDER BY place LIMIT ?",
        (first, first + _ALL, count),
    ).fetchall()


def _delete(connection: Connection, kept: _Kept, id: int, records: Sequence[_Record]) -> int:
    size = sum(record[2] for record in records)
    connection.execute(
        "DELETE FROM log WHERE place BETWEEN ? AND ?", (records[0][0], records[-1][0])
    )
    connection.execute("UPDATE partitions SET bytes = max(bytes - ?, 0) WHERE id = ?", (size, id))
    kept.size -= size
    oldest = _oldest(connection, id)
    if oldest is None:
        del kept.oldest[id]
    else:
        kept.oldest[id] = oldest
    return len(records)
