"""The embedded transport itself: carriers and consumers over one file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from typing import TYPE_CHECKING, Any

from vectis.core.exceptions import PublishError, TransportError
from vectis.core.forks import ForkSafeLock
from vectis.core.partition import PartitionState, TopicState
from vectis.core.transport import Carrier
from vectis_sqlite._consumer import SqliteConsumer
from vectis_sqlite._database import Database
from vectis_sqlite._faults import Fault, explain
from vectis_sqlite._groups import Membership
from vectis_sqlite._reading import SqliteReader
from vectis_sqlite._records import Row, first_offset, row_of
from vectis_sqlite._writer import Writer, writer_for

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from pathlib import Path

    from vectis.core.message import Message, Receipt
    from vectis.core.transport import Consumer
    from vectis_sqlite._headers import Connection
    from vectis_sqlite.settings import SqliteSettings

__all__ = ["SqliteTransport"]

CHUNK = 1_000
"""Messages of one `send_many` that share a transaction, and fail together if it fails."""


class SqliteTransport:
    """Topics, groups and commits in one SQLite file, shared by the processes of one machine.

    Making one opens nothing. It may be used from several event loops and threads, one after another
    or at once. A fork closes the file before it happens, and parent and child open it anew; a child
    whose parent could not close it within a second is refused, and told to be spawned.

    Args:
        settings: The `[sqlite]` settings; their path must not be None.
        config_file: The config file they came from: a relative path starts at its folder.
        publish_timeout: Seconds until a message that is sent alone and not stored has failed.

    Example:
        >>> import asyncio, tempfile
        >>> from vectis.core.message import Message
        >>> from vectis_sqlite import SqliteSettings, SqliteTransport
        >>> async def publish(folder: str) -> int:
        ...     transport = SqliteTransport(SqliteSettings(path=f"{folder}/events.db"))
        ...     carrier = transport.carrier("orders")
        ...     receipt = await carrier.send(Message("orders", b"7", b"{}"))
        ...     await carrier.close()
        ...     return receipt.offset
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     asyncio.run(publish(folder))
        0
    """

    def __init__(
        self,
        settings: SqliteSettings,
        *,
        config_file: Path | None = None,
        publish_timeout: float = 10.0,
    ) -> None:
        path = settings.file(config_file)
        if path is None:
            raise TransportError("the SQLite transport needs a file: set [sqlite] path")
        self.path = path
        self._settings = settings
        self._patience = publish_timeout
        self._writer: Writer | None = None
        self._lock = ForkSafeLock()

    def carrier(self, topic: str) -> Carrier:
        """Return what takes messages to a topic. It makes no difference to this transport which."""
        return Carrier(
            send=self._send,
            send_many=self._send_many,
            close=self.close,
            describe=f"SQLite file {self.path}",
            keeps_deadline=True,
        )

    def consumer(self, topics: Sequence[str], group: str | None) -> Consumer:
        """Return a new member of a group, or a reader without one, not yet started.

        Args:
            topics: The topics it reads; for a group each is made when it is not there yet.
            group: The group's name; None for a reader, which writes nothing to the file.
        """
        if group is None:
            return SqliteReader(self.path, self._settings, topics)
        return SqliteConsumer(
            lambda: writer_for(self.path, self._settings),
            Membership(group, tuple(topics), self._settings.lease),
        )

    async def close(self) -> None:
        """Wait until what was sent is stored, and close the file if nobody else here uses it.

        Raises:
            TransportError: The file stayed locked; what waits goes on waiting.
        """
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is None or writer.process != os.getpid():
            return
        seconds = 2 * self._settings.busy_timeout
        written = asyncio.wrap_future(writer.release())
        # What became of each message is its sender's to know, not the closer's.
        _, late = await asyncio.wait([written], timeout=seconds)
        if late:
            raise TransportError(
                f"SQLite file {self.path}: still not written after {seconds:g} s; "
                "look for what keeps it locked"
            )

    def describe_topics(self) -> list[TopicState]:
        """Return how every topic and every group's progress stands, topics by name.

        It reads the file in the calling thread: for command lines, not for an event loop.

        Raises:
            TransportError: The file cannot be read.
        """
        if not self.path.exists() and self.path.parent.is_dir():
            return []  # nothing was ever published
        database = Database(self.path, self._settings, query_only=True)
        try:
            with database as connection:
                return _describe(connection)
        except sqlite3.Error as error:
            raise explain(
                error, self.path, busy_timeout=self._settings.busy_timeout, phase="work"
            ).for_caller() from error
        except Fault as fault:
            raise fault.for_caller() from fault
        finally:
            database.close()

    def _send(self, message: Message) -> asyncio.Future[Receipt]:
        # Not a coroutine: the order of the calls is the order of the records.
        return self._open().publish(row_of(message), self._patience)

    def _send_many(
        self, messages: Sequence[Message]
    ) -> Coroutine[Any, Any, list[Receipt | BaseException]]:
        # Everything is queued before it returns, for the same reason.
        writer = self._open()
        chunks = [messages[at : at + CHUNK] for at in range(0, len(messages), CHUNK)]
        return _collect([_submit(writer, chunk) for chunk in chunks], [*map(len, chunks)])

    def _open(self) -> Writer:
        writer = self._writer
        if writer is not None and writer.process == os.getpid():
            return writer
        with self._lock:
            writer = self._writer
            if writer is None or writer.process != os.getpid():  # a fork left its thread behind
                writer = self._writer = writer_for(self.path, self._settings)
            return writer


_Chunk = tuple[list["Row | PublishError"] | None, "asyncio.Future[list[Receipt]]"]
"""Rows and errors if a message was refused, None if none was; and the future of the receipts."""


def _submit(writer: Writer, messages: Sequence[Message]) -> _Chunk:
    """Queue messages; what is refused does not go with the others."""
    try:
        return None, writer.publish_many([row_of(message) for message in messages])
    except PublishError:
        rows = [_row_or_error(message) for message in messages]
        kept = [row for row in rows if not isinstance(row, PublishError)]
        return rows, writer.publish_many(kept)


def _row_or_error(message: Message) -> Row | PublishError:
    try:
        return row_of(message)
    except PublishError as error:
        return error


async def _collect(chunks: Sequence[_Chunk], sizes: Sequence[int]) -> list[Receipt | BaseException]:
    answers: list[Receipt | BaseException] = []
    for (rows, future), size in zip(chunks, sizes, strict=True):
        try:
            stored: Sequence[Receipt | BaseException] = await future
        except PublishError as error:
            stored = [error] * size
        if rows is None:
            answers += stored
        else:
            rest = iter(stored)
            answers += [row if isinstance(row, PublishError) else next(rest) for row in rows]
    return answers


def _describe(connection: Connection) -> list[TopicState]:
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if not schema:
        return []  # the file is just being made
    committed: dict[int, dict[str, int]] = {}
    for id, group, offset in connection.execute(
        "SELECT leases.partition_id, groups.name, leases.committed FROM leases "
        "JOIN groups ON groups.id = leases.group_id "
        "WHERE leases.committed IS NOT NULL ORDER BY groups.name"
    ).fetchall():
        committed.setdefault(id, {})[group] = offset
    topics: dict[str, list[PartitionState]] = {}
    for name, id, number, end in connection.execute(
        "SELECT topics.name, partitions.id, partitions.number, partitions.next_offset "
        "FROM partitions JOIN topics ON topics.id = partitions.topic "
        "ORDER BY topics.name, partitions.number"
    ).fetchall():
        start = first_offset(connection, id)
        topics.setdefault(name, []).append(
            PartitionState(number, start, end, end - start, committed.get(id, {}))
        )
    return [TopicState(name, tuple(partitions)) for name, partitions in topics.items()]
