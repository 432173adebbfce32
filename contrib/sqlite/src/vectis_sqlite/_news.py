"""Who should be told of a transaction: the members that wait for what it stored."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from sqlite3 import Connection

__all__ = ["Bells", "topics_read"]


@lru_cache(maxsize=256)
def topics_read(text: str) -> frozenset[str]:
    """Return the topics of a member from its row."""
    return frozenset(orjson.loads(text))


class Bells:
    """Knows which members a transaction is news for; for one writer, who asks before each commit.

    New records are news for those who read their topics, a change in a group for all its members.
    """

    def __init__(self) -> None:
        self._generations = -1

    def concerned(
        self, connection: Connection, topics: AbstractSet[str], *, groups: bool
    ) -> set[str] | None:
        """Return the bells of the members that should look at the file; None for no news.

        Args:
            connection: Within the transaction.
            topics: Those with new records.
            groups: Something other than records was written, and may have changed a group.
        """
        moved = groups and self._moved(connection)
        if not moved and not topics:
            return None
        return {
            bell
            for bell, read in connection.execute(
                "SELECT bell, topics FROM members WHERE bell IS NOT NULL"
            ).fetchall()
            if moved or not topics.isdisjoint(topics_read(read))
        }

    def _moved(self, connection: Connection) -> bool:
        (now,) = connection.execute("SELECT ifnull(sum(generation), 0) FROM groups").fetchone()
        moved, self._generations = now != self._generations, now
        return bool(moved)
