"""The one thread of a process that writes to a file: everybody who waits shares a transaction.

A transaction that reaches the disk costs the same for one message as for a thousand. While one is
being written the next ones queue up, and go together. Whoever asked is answered after the commit.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import threading
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from vectis.core.exceptions import PublishError
from vectis.core.forks import ForkSafeLock
from vectis_sqlite._database import Database
from vectis_sqlite._doorbell import Ringer, bells_folder
from vectis_sqlite._faults import Fault, explain
from vectis_sqlite._jobs import Job, Work, answers_of, resolve
from vectis_sqlite._news import Bells
from vectis_sqlite._overdue import Overdue
from vectis_sqlite._queue import Queue
from vectis_sqlite._records import Row, Topics, append
from vectis_sqlite._upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vectis.core.message import Receipt
    from vectis_sqlite._headers import Connection
    from vectis_sqlite._overdue import Waiting
    from vectis_sqlite._watch import Watch
    from vectis_sqlite.settings import SqliteSettings

__all__ = ["Writer", "writer_for"]

logger = logging.getLogger("vectis.sqlite")

T = TypeVar("T")

_ROUND = 0.1  # seconds that a round of an event loop hardly takes


class Writer:
    """A queue and the thread that empties it into the file.

    Args:
        path: The file.
        settings: How to open it.
    """

    def __init__(self, path: Path, settings: SqliteSettings) -> None:
        self.path = path
        self.settings = settings
        self.process = os.getpid()  # another one in the child of a fork, where the thread is not
        self.users = 0
        self.listeners: set[Watch] = set()
        self._queue = Queue()
        self._overdue = Overdue(self._waiting, self._late)
        self._wake = threading.Event()
        # Loops that will wake the thread after this round, and until when that is relied on.
        self._waking: dict[asyncio.AbstractEventLoop, float] = {}
        self._stopping = False
        self._stopped: Future[None] = Future()
        self._ended = False  # for good: whoever needs it then makes another one
        self._topics = Topics(settings.partitions)
        self._bells = Bells()
        self._ringer = Ringer(bells_folder(path))
        self._upkeep = Upkeep(path, settings)
        thread = threading.Thread(target=self._run, name=f"vectis-sqlite {path.name}", daemon=True)
        thread.start()

    def publish(self, row: Row, patience: float) -> asyncio.Future[Receipt]:
        """Queue a row; the future of the running loop gets its receipt, or a `PublishError`.

        Args:
            row: The row.
            patience: Seconds until it gets a `PublishError` because nothing was stored.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Receipt] = loop.create_future()
        now = monotonic()
        due = now + patience
        self._queue.put((row, future, due))
        if now > self._waking.get(loop, 0.0):
            self._wake_soon(loop, now)
        if due < self._overdue.looks.get(loop, inf):
            self._overdue.watch(loop, due)
        return future

    def publish_many(self, rows: Sequence[Row]) -> asyncio.Future[list[Receipt]]:
        """Queue rows that succeed or fail together."""
        future: asyncio.Future[list[Receipt]] = asyncio.get_running_loop().create_future()
        self._submit(Job([future], rows=rows))
        return future

    def run(self, work: Work[T]) -> asyncio.Future[T]:
        """Queue work for the next transaction; the future belongs to the running loop."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._submit(Job([future], work=work))
        return future

    def run_from_thread(self, work: Work[T]) -> Future[T]:
        """Queue work for the next transaction, from a thread without a loop."""
        future: Future[T] = Future()
        self._submit(Job([future], work=work))
        return future

    def release(self) -> Future[None]:
        """Give up one use; the last one ends the thread, after the queue is empty.

        Returns:
            A future that is done when the file is closed or, while others use it, when what was
            queued before was written or refused.
        """
        with _registry.lock:
            self.users -= 1
            dealt_with: Future[None] = Future()
            dealt_with.set_running_or_notify_cancel()  # nobody can cancel it
            if self.users:
                self._written().add_done_callback(lambda _: dealt_with.set_result(None))
                return dealt_with
            self._stopping = True
            self._stopped = dealt_with
        self._wake.set()
        return dealt_with

    def use(self) -> None:
        """Take part in using it, also when it is about to end; under the lock of the registry."""
        self.users += 1
        if self._stopping:
            self._stopping = False
            stopped = self._stopped
            self._written().add_done_callback(lambda _: stopped.set_result(None))

    def _written(self) -> Future[None]:
        """Return a future that is done when all that was queued before was dealt with."""
        return self.run_from_thread(lambda connection, topics: None)

    def _late(self) -> PublishError:
        return PublishError(
            f"SQLite file {self.path}: not stored within [hub] publish_timeout: it is locked, or "
            "the disk or this process is too busy. It may be stored all the same: publish again "
            "with the same event_id",
            fate="unknown",
        )

    def _submit(self, job: Job) -> None:
        self._queue.put(job)
        self._wake_up()

    def _wake_soon(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        """Wake the thread when everybody whom the loop runs in this round has published.

        Awake at once it would only wait for the interpreter, on another processor, and what that
        costs both is a sixth of all that is spent on a hundred messages of a hundred tasks.
        """
        for other in tuple(self._waking):
            if other.is_closed():
                self._waking.pop(other, None)
        loop.call_soon(self._round_is_over, loop, context=Context())  # nobody's: it outlives some
        # Not for good: a signal's exception may come between, and take the call along.
        self._waking[loop] = now + _ROUND

    def _round_is_over(self, loop: asyncio.AbstractEventLoop) -> None:
        self._waking.pop(loop, None)
        self._wake_up()

    def _waiting(self) -> list[Waiting]:
        """Return who published alone and waits; whatever kept the thread asleep, it looks too."""
        self._wake_up()
        return self._queue.waiting()

    def _wake_up(self) -> None:
        if not self._wake.is_set():
            self._wake.set()
        if self._ended:
            self._refuse_rest()

    def _run(self) -> None:
        database = Database(self.path, self.settings)
        while not self._finished():
            self._wake.wait(self._upkeep.pause())
            self._wake.clear()
            while self._plan_upkeep() or self._queue:
                jobs = self._queue.take()
                try:
                    self._write(database, jobs)
                except Exception as error:  # this thread must go on, and all be answered
                    logger.exception("SQLite file %s: an error of the transport's own", self.path)
                    what = f"SQLite file {self.path}: {type(error).__name__}: {error}."
                    self._fail(jobs, Fault(what, fate="unknown"))
                self._queue.done()
            with suppress(sqlite3.Error, Fault):  # for tidiness only, and done again some time
                self._upkeep.tidy(database)
        self._ringer.close()
        with suppress(sqlite3.Error):  # what was acknowledged is in the file or the -wal beside it
            database.close()
        self._stopped.set_result(None)
        self._refuse_rest()

    def _finished(self) -> bool:
        """Tell whether all is written and nobody is left, and then leave the registry."""
        if self._queue or not self._stopping:
            return False
        with (
            _registry.lock
        ):  # whoever comes later starts another thread, which has to wait for none
            if self._queue or not self._stopping:
                return False
            self._ended = True
            if _registry.writers.get((self.path, self.settings)) is self:
                del _registry.writers[self.path, self.settings]
        return True

    def _plan_upkeep(self) -> bool:
        """Queue what is due, and tell whether there was something."""
        job = None if self._stopping else self._upkeep.retention()
        if job is not None:
            self._queue.put(job)
        return job is not None

    def _refuse_rest(self) -> None:
        """Answer who came in the moment between the last look at the queue and the end."""
        while self._queue:
            late = Fault(f"SQLite file {self.path}: it was just closed.", fate="not_sent")
            self._fail(self._queue.pop(), late)

    def _fail(self, jobs: Sequence[Job], error: BaseException) -> None:
        """Give those who are not answered yet an error."""
        resolve(jobs, [job.failures(error) for job in jobs], failed=True)

    def _write(self, database: Database, jobs: Sequence[Job]) -> None:
        try:
            answers, bells = self._transact(database, jobs)
        except Exception as error:
            parts = [part for job in jobs for part in job.parts()]
            if isinstance(error, Fault) or len(parts) == 1:
                self._fail(jobs, error)
            else:  # one of them is at fault, and only that one shall fail
                for part in parts:
                    self._write(database, [part])
            return
        try:
            self._tell(bells)  # first: those who are answered want the interpreter for themselves
        finally:
            resolve(jobs, answers)
        self._upkeep.wrote(rows=any(job.rows for job in jobs))

    def _tell(self, bells: set[str] | None) -> None:
        """Wake up the readers that there is news for: those of this process without a socket."""
        if bells is None:
            return
        for watch in tuple(self.listeners):
            name = watch.doorbell.name
            if name is None or name in bells:
                watch.ring()
                bells.discard(name or "")
        if bells:
            self._ringer.ring(bells)

    def _transact(
        self, database: Database, jobs: Sequence[Job]
    ) -> tuple[list[Sequence[Any]], set[str] | None]:
        """Do the jobs in one transaction: all of it, or nothing and a `Fault`.

        Returns:
            Their answers, and the bells to ring; None when nobody waits for what was done.
        """
        with database as connection:  # a Fault when it cannot be opened
            phase = "begin"
            try:
                connection.execute("BEGIN IMMEDIATE")  # a deferred one could not be upgraded
                while self._topics.are_others(connection):
                    connection = database.reopened()
                    connection.execute("BEGIN IMMEDIATE")
                phase = "work"
                rows = [row for job in jobs for row in job.rows]
                receipts = append(connection, self._topics, rows) if rows else []
                answers = answers_of(jobs, receipts, connection, self._topics)
                bells = self._bells.concerned(
                    connection, {row[0] for row in rows}, groups=any(job.work for job in jobs)
                )
                phase = "commit"
                connection.execute("COMMIT")
            except BaseException as error:
                self._undo(database, connection, waits=phase == "begin")
                if (
                    isinstance(error, sqlite3.OperationalError)
                    or type(error) is sqlite3.DatabaseError
                ):
                    raise explain(
                        error, self.path, busy_timeout=self.settings.busy_timeout, phase=phase
                    ) from error
                raise
            return answers, bells

    def _undo(self, database: Database, connection: Connection, *, waits: bool) -> None:
        """Roll back, and open the file anew next time: it may be another one by then."""
        self._topics = Topics(self.settings.partitions)
        try:
            if connection.in_transaction:  # SQLite itself rolled back after some errors
                connection.execute("ROLLBACK")
            if not waits:
                database.close()
        except sqlite3.Error:
            database.close()


class _Registry:
    """The writers of this process: one for each file, shared by whoever uses it."""

    def __init__(self) -> None:
        self.lock = ForkSafeLock()
        self.writers: dict[tuple[Path, SqliteSettings], Writer] = {}


_registry = _Registry()


def writer_for(path: Path, settings: SqliteSettings) -> Writer:
    """Return the writer of a file in this process, in use once more until `release`."""
    with _registry.lock:
        writer = _registry.writers.get((path, settings))
        if writer is None or writer.process != os.getpid():
            writer = _registry.writers[path, settings] = Writer(path, settings)
        writer.use()
        return writer
