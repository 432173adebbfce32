"""A reader without a group: it looks at the file, writes nothing to it, and nobody waits for it.

It has no row in the file that a writer could find its bell in, so it looks for news by itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import attrs

from vectis.core.exceptions import TransportError
from vectis.core.message import Delivery, TopicPartition
from vectis_sqlite._database import Database
from vectis_sqlite._faults import Fault, explain
from vectis_sqlite._groups import committed_offset
from vectis_sqlite._records import FETCH_BYTES, end_offset, in_range, read, remaining

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from vectis.core.transport import Assigned
    from vectis_sqlite._headers import Connection
    from vectis_sqlite.settings import SqliteSettings

__all__ = ["SqliteReader"]

logger = logging.getLogger("vectis.sqlite")

T = TypeVar("T")

EVERY = 0.05  # seconds between looks at the file while a fetch waits


@attrs.frozen
class _Found:
    """What a look found in a partition: deliveries from the nearest offset to the one wanted."""

    where: TopicPartition
    wanted: int
    offset: int
    deliveries: list[Delivery]


class SqliteReader:
    """A consumer without a group. See `vectis.core.transport.Consumer` for the contract.

    Args:
        path: The file; it may be made later.
        settings: How to open it.
        topics: The topics to read; each may be made later.
    """

    def __init__(self, path: Path, settings: SqliteSettings, topics: Sequence[str]) -> None:
        # Not above: it cannot be imported by atexit functions, and those may well publish.
        from concurrent.futures import ThreadPoolExecutor

        self._path = path
        self._settings = settings
        self._topics = tuple(topics)
        self._database = Database(path, settings, query_only=True)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vectis-sqlite reader")
        self._process = os.getpid()
        self._callbacks: tuple[Assigned, Assigned] | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._wanted_changed = asyncio.Event()
        self._closed = False

    @property
    def group(self) -> None:
        """None: a reader belongs to no group."""
        return

    async def start(self, *, on_assigned: Assigned, on_revoked: Assigned) -> None:
        """Begin; nothing is ever revoked."""
        if self._closed or self._callbacks is not None:
            raise TransportError(f"{self._named}: a reader starts once; make a new one")
        await self._in_thread(lambda connection: None)
        self._callbacks = (on_assigned, on_revoked)

    async def fetch(self, *, max_records: int, timeout: float) -> list[Delivery]:
        """Return up to `max_records` deliveries, or none after `timeout` seconds."""
        self._check()
        deadline = time.monotonic() + timeout
        while True:
            self._wanted_changed.clear()
            # The version first: what is stored after it was read counts as news.
            version = await self._in_thread(_version)
            new = await self._in_thread(partial(_others, self._topics, frozenset(self._positions)))
            if new:
                await self._assign(new)
            wanted = {tp: at for tp, at in self._positions.items() if tp not in self._paused}
            found = await self._in_thread(partial(_look, wanted, max_records))
            deliveries = self._accept(found or [])
            if deliveries or time.monotonic() >= deadline:
                return deliveries
            await self._until_news(version, deadline)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Refuse."""
        raise TransportError(
            f"{self._named}: a reader belongs to no group, so there is nothing to commit for; "
            "name a group when the consumer is made"
        )

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Make `offset` the next one to be fetched."""
        if partition not in self._positions:
            raise TransportError(
                f"{self._named}: {partition} is not assigned to this reader; seek in `on_assigned` "
                "or later"
            )
        self._positions[partition] = max(offset, 0)
        self._wanted_changed.set()

    async def committed(self, partition: TopicPartition, group: str | None = None) -> int | None:
        """Return the committed offset of the group that is named; without one there is none."""
        self._check()
        if group is None:
            return None
        return await self._in_thread(partial(committed_offset, group, partition))

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Return how many deliveries lie behind the fetch position of each partition."""
        return await self._measured(remaining)

    async def ends(self) -> Mapping[TopicPartition, int]:
        """Return one past the last record of each partition."""
        return await self._measured(lambda connection, id, position: end_offset(connection, id))

    def pause(self, *partitions: TopicPartition) -> None:
        """Leave these out of `fetch` until `resume`."""
        self._paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch from these again."""
        self._paused.difference_update(partitions)
        self._wanted_changed.set()

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions of the topics, as far as they were found."""
        return frozenset(self._positions)

    async def close(self) -> None:
        """Close the file."""
        if self._closed or self._process != os.getpid():
            return
        self._closed = True
        self._positions.clear()
        self._thread.submit(self._database.close)
        self._thread.shutdown(wait=False)

    # ------------------------------------------------------------ on the event loop

    @property
    def _named(self) -> str:
        return f"SQLite file {self._path}, reader of {', '.join(self._topics)}"

    def _check(self) -> None:
        if self._process != os.getpid():
            raise TransportError(
                f"{self._named}: it belongs to the process that forked; make a new one in the child"
            )
        if self._callbacks is None or self._closed:
            raise TransportError(f"{self._named} is not running: `await start(...)` it first")

    async def _assign(self, new: frozenset[TopicPartition]) -> None:
        assert self._callbacks is not None, "a running reader has its callbacks"
        self._positions.update(dict.fromkeys(sorted(new), 0))
        try:
            await self._callbacks[0](new)
        except BaseException:  # nobody knows of them: assign them again next time
            for where in new:
                self._positions.pop(where, None)
            raise

    def _accept(self, answer: Sequence[_Found]) -> list[Delivery]:
        """Move the positions on, leaving out what was paused or sought meanwhile."""
        accepted: list[Delivery] = []
        for found in answer:
            where = found.where
            if where in self._paused or self._positions.get(where) != found.wanted:
                continue
            if found.offset != found.wanted and found.wanted > 0:
                logger.warning(
                    "%s has no offset %d any more, reading goes on at %d",
                    where,
                    found.wanted,
                    found.offset,
                )
            last = found.deliveries[-1].offset + 1 if found.deliveries else found.offset
            del self._positions[where]
            self._positions[where] = last  # at the end: the others come first next time
            accepted += found.deliveries
        return accepted

    async def _until_news(self, before: tuple[int, int] | None, deadline: float) -> None:
        """Return when somebody stored something, when other offsets are wanted, or in time."""
        while (left := deadline - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._wanted_changed.wait(), min(EVERY, left))
            except TimeoutError:
                if await self._in_thread(_version) != before:
                    return
            else:
                return

    async def _measured(
        self, measure: Callable[[Connection, int, int], int]
    ) -> dict[TopicPartition, int]:
        positions = dict(self._positions)

        def work(connection: Connection) -> dict[TopicPartition, int]:
            ids = _partitions(connection, {where.topic for where in positions})
            return {
                where: measure(connection, ids[where], position)
                for where, position in positions.items()
                if where in ids
            }

        self._check()
        return {**dict.fromkeys(positions, 0), **(await self._in_thread(work) or {})}

    async def _in_thread(self, work: Callable[[Connection], T]) -> T | None:
        """Run something that reads in the thread; None when there is no file yet."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._with_connection, work)

    # ------------------------------------------------------------ in the thread

    def _with_connection(self, work: Callable[[Connection], T]) -> T | None:
        if not self._path.exists() and self._path.parent.is_dir():
            return None  # nothing was ever published
        try:
            with self._database.moment() as connection:
                (schema,) = connection.execute("PRAGMA user_version").fetchone()
                return work(connection) if schema else None  # 0: it is being made
        except sqlite3.Error as error:
            self._database.close()
            fault = explain(
                error, self._path, busy_timeout=self._settings.busy_timeout, phase="work"
            )
            raise fault.for_caller() from error
        except Fault as fault:
            raise fault.for_caller() from fault


def _others(
    topics: Sequence[str], known: frozenset[TopicPartition], connection: Connection
) -> frozenset[TopicPartition]:
    return frozenset(_partitions(connection, topics).keys() - known)


def _look(
    wanted: Mapping[TopicPartition, int], max_records: int, connection: Connection
) -> list[_Found]:
    ids = _partitions(connection, {where.topic for where in wanted})
    answer: list[_Found] = []
    count = size = 0
    for where, position in wanted.items():
        if count >= max_records or size >= FETCH_BYTES:
            break
        if where not in ids:
            continue  # another file took the place of the one read before
        offset = in_range(connection, ids[where], position)
        deliveries, taken = read(
            connection, where, ids[where], offset, max_records - count, FETCH_BYTES - size
        )
        if deliveries:
            offset = max(offset, deliveries[0].offset)
        if deliveries or offset != position:
            answer.append(_Found(where, position, offset, deliveries))
        count += len(deliveries)
        size += taken
    return answer


def _partitions(
    connection: Connection, topics: Sequence[str] | set[str]
) -> dict[TopicPartition, int]:
    # One by one: SQLite bounds the variables of a statement, and there are few topics.
    return {
        TopicPartition(topic, number): id
        for topic in topics
        for number, id in connection.execute(
            "SELECT partitions.number, partitions.id FROM partitions "
            "JOIN topics ON topics.id = partitions.topic WHERE topics.name = ?",
            (topic,),
        ).fetchall()
    }


def _version(connection: Connection) -> tuple[int, int]:
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return connection.number, version
