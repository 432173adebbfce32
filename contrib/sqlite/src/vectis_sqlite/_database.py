"""Opening the file: its schema, the version of it, and whether it still is the file opened.

A file of an older release is brought up to date in one transaction by whoever first writes to it.
`log.place` is the partition's id and the offset in one integer, so that the log is a plain table in
the order of reading. The view `records` shows it taken apart, for people.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from vectis_sqlite._faults import explain, foreign_file, newer_file
from vectis_sqlite._forks import ForkGuarded, refuse_if_inherited
from vectis_sqlite._headers import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vectis_sqlite.settings import SqliteSettings

__all__ = ["OFFSET_BITS", "RECORD_BYTES", "SIZE", "Database"]

APPLICATION_ID = 0x56637473  # "Vcts"
VERSION = 3
OFFSET_BITS = 40
CACHE_KIB = 16_384
CHECKPOINT_PAGES = 4_000  # 16 MB: each checkpoint waits for the disk twice

LAYOUTS = """
CREATE TABLE layouts (
    id INTEGER PRIMARY KEY,
    text BLOB NOT NULL UNIQUE  -- JSON: the names of headers; for each its bytes, or the value
)
"""

RECORDS = f"""
CREATE VIEW records AS
    SELECT topics.name AS topic, partitions.number AS "partition",
        log.place & {(1 << OFFSET_BITS) - 1} AS "offset",
        log.key, log.value, CAST(layouts.text AS TEXT) AS layout, log.headers, log.timestamp
    FROM log
    JOIN partitions ON partitions.id = log.place >> {OFFSET_BITS}
    JOIN topics ON topics.id = partitions.topic
    LEFT JOIN layouts
        ON layouts.id = CAST(substr(log.headers, 1, instr(log.headers, x'0a') - 1) AS INTEGER)
"""

SCHEMA = f"""
CREATE TABLE topics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE partitions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic INTEGER NOT NULL REFERENCES topics (id),
    number INTEGER NOT NULL,
    next_offset INTEGER NOT NULL DEFAULT 0,  -- never goes back, also when records are deleted
    bytes INTEGER NOT NULL DEFAULT 0,  -- what its records take, for retention
    UNIQUE (topic, number)
);
CREATE TABLE log (
    place INTEGER PRIMARY KEY,  -- partitions.id << {OFFSET_BITS} | offset
    key BLOB,
    value BLOB,
    headers BLOB NOT NULL,  -- a line with the layout or its number, then the values
    timestamp INTEGER NOT NULL
);
{LAYOUTS};
{RECORDS};
CREATE TABLE groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL DEFAULT 0  -- grows when members or free partitions change
);
CREATE TABLE members (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id INTEGER NOT NULL REFERENCES groups (id),
    topics TEXT NOT NULL,  -- a JSON list
    process INTEGER NOT NULL,
    lease REAL NOT NULL,
    expires REAL NOT NULL,  -- on the clock that all processes of a machine share until it restarts
    bell TEXT  -- the socket in the folder beside the file that wakes it up
);
CREATE TABLE leases (
    group_id INTEGER NOT NULL REFERENCES groups (id),
    partition_id INTEGER NOT NULL REFERENCES partitions (id),
    member INTEGER REFERENCES members (id),
    epoch INTEGER NOT NULL DEFAULT 0,  -- grows with every owner: a commit carries its own
    committed INTEGER,
    PRIMARY KEY (group_id, partition_id)
) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
"""

RECORD_BYTES = 32
"""What a record counts for retention besides its key, value and headers."""

SIZE = f"{RECORD_BYTES} + length(headers) + ifnull(length(key), 0) + ifnull(length(value), 0)"

MIGRATIONS = {2: f"{LAYOUTS};\nDROP VIEW records;\n{RECORDS}"}
"""What leads from a version of the schema to the next one."""


_inherited: list[Connection] = []
"""What belongs to the parent of a fork: closing it here would take the parent's file away."""


class Database(ForkGuarded):
    """One connection to the file, for the one thread that opened it.

    Use it within `with database as connection:`, and keep no cursor beyond: between two uses a fork
    may close it, in any thread, and the next use opens it anew.

    Args:
        path: The file.
        settings: How to open it.
        query_only: For a reader: the file must exist, and nothing is written.
    """

    def __init__(self, path: Path, settings: SqliteSettings, *, query_only: bool = False) -> None:
        super().__init__()
        self.path = path
        self._settings = settings
        self._query_only = query_only
        self._connection: Connection | None = None
        self._identity: tuple[int, int] | None = None

    def __enter__(self) -> Connection:
        self.enter()
        try:
            return self._current()
        except BaseException:
            self.leave()
            raise

    def __exit__(self, *error: object) -> None:
        self.leave()

    def _current(self) -> Connection:
        """Return the open connection; opened anew when somebody replaced the file.

        Raises:
            Fault: It cannot be opened, or is no file of this transport.
        """
        refuse_if_inherited(self.path)
        if self._connection is not None and self._identity != _identity(self.path):
            self.close()  # what is written to a file that was moved away would be lost
        if self._connection is None:
            try:
                self._connection = self._open()
            except sqlite3.Error as error:
                raise explain(
                    error, self.path, busy_timeout=self._settings.busy_timeout, phase="open"
                ) from error
            self._identity = _identity(self.path)
        return self._connection

    @contextmanager
    def moment(self) -> Iterator[Connection]:
        """Give the connection to look at one moment of the file; nobody's write comes between.

        Raises:
            Fault: It cannot be opened, or is no file of this transport.
            sqlite3.Error: What looking at it led to.
        """
        with self as connection:
            connection.execute("BEGIN")
            if connection.is_other():
                connection = self.reopened()
                connection.execute("BEGIN")
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def reopened(self) -> Connection:
        """Open the file anew, since its content is another one, and return the connection."""
        self.close()
        return self._current()

    @property
    def is_open(self) -> bool:
        """Whether the connection is open."""
        return self._connection is not None

    def close(self) -> None:
        """Close the connection; the next use opens it anew."""
        self.enter()
        try:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
        finally:
            self.leave()

    def shut(self) -> None:
        """Close the connection before a fork."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):  # what was committed is in the file or the -wal beside it
                connection.close()

    def abandon(self) -> bool:
        """Put the parent's connection away, not to be closed here; tell whether there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _inherited.append(connection)
        return connection is not None

    def _open(self) -> Connection:
        mode = "rw" if self._query_only else "rwc"
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            factory=Connection,
            timeout=self._settings.busy_timeout,
            check_same_thread=False,  # a fork closes it in its own thread
        )
        try:
            connection.execute("BEGIN")  # one moment for all it looks at: others may make it now
            version = self._check(connection)
            connection.execute("COMMIT")
            if self._query_only:
                connection.execute("PRAGMA query_only = ON")
            else:
                self._prepare(connection, version)
            connection.opened()
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> int:
        """Return the version of the schema, 0 for a new file; within a transaction."""
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application != APPLICATION_ID and (application or version or tables):
            raise foreign_file(self.path)
        if version > VERSION:
            raise newer_file(self.path, version, VERSION)
        return int(version)

    def _prepare(self, connection: sqlite3.Connection, version: int) -> None:
        self._use_wal(connection)
        connection.execute(f"PRAGMA synchronous = {self._settings.synchronous}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        if version == VERSION:
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = self._check(connection)  # another process may have been faster
            steps = [SCHEMA] if version == 0 else [MIGRATIONS[v] for v in range(version, VERSION)]
            for statement in ";\n".join(steps).split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        # Two processes that make the file at once: the loser gets SQLITE_BUSY without any waiting.
        deadline = time.monotonic() + self._settings.busy_timeout
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - Path.stat costs three times as much, and this is per transaction
    except OSError:
        return None
    return status.st_dev, status.st_ino
