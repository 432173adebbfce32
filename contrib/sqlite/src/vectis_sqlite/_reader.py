"""The thread of one consumer: it reads the file, and keeps the leases alive.

How it does the latter is in `_renewal`. Nothing is read ahead; a fetch asks, and is answered as
soon as there is a record, a change in the group, an error, or no time left.
Nor is anything read out of a file that took the place of the one it joined, before it has joined
there too: the ids of partitions are another file's own.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from vectis.core.exceptions import TransportError
from vectis_sqlite._database import Database
from vectis_sqlite._faults import Fault, explain
from vectis_sqlite._fetch import Fetch, Found, finish, tell
from vectis_sqlite._records import FETCH_BYTES, in_range, read
from vectis_sqlite._renewal import Renewal
from vectis_sqlite._watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from vectis_sqlite._doorbell import Doorbell
    from vectis_sqlite._groups import Lease, Membership, Standing
    from vectis_sqlite._headers import Connection
    from vectis_sqlite._writer import Writer

__all__ = ["Reader"]

T = TypeVar("T")


class Reader:
    """The reading thread of one member.

    Args:
        writer: What writes to the same file.
        who: The member.
        standing: How it stood when it joined.
        doorbell: What other processes wake it up with.
    """

    def __init__(
        self, writer: Writer, who: Membership, standing: Standing, doorbell: Doorbell
    ) -> None:
        self._writer = writer
        self._who = who
        self._process = os.getpid()
        self._watch = Watch(doorbell)
        self._renewal = Renewal(writer, who, standing, self._watch)
        self._follows: dict[int, int] = {}
        self._follows_in: Connection | None = None
        self._fetch: Fetch | None = None
        self._calls: deque[tuple[Callable[[Connection], Any], asyncio.Future[Any]]] = deque()
        self._stopping = False
        self._stopped: Future[None] = Future()
        self._stopped.set_running_or_notify_cancel()  # who waits may be cancelled, the end may not
        writer.listeners.add(self._watch)
        try:
            threading.Thread(
                target=self._run, name=f"vectis-sqlite reader {who.group}", daemon=True
            ).start()
        except BaseException:
            writer.listeners.discard(self._watch)
            self._watch.close()
            raise

    async def fetch(self, request: Fetch) -> list[Found] | None:
        """Wait for the answer to a request; only one at a time."""
        self.check()
        if self._fetch is not None:
            raise TransportError(
                f"group {self._who.group!r}: a fetch of this consumer is already waiting; "
                "await it before the next one"
            )
        self._fetch = request
        self._watch.ring()
        try:
            return await request.future
        finally:
            self._fetch = None

    async def call(self, work: Callable[[Connection], T]) -> T:
        """Run something that reads in the thread."""
        self.check()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.append((work, future))
        self._watch.ring()
        return await future

    async def release(self, leases: Collection[Lease]) -> None:
        """Give leases up, and see what is free instead."""
        self.check()
        await self._renewal.release(leases)

    def interrupt(self) -> None:
        """Let a waiting fetch ask again: what it wants has changed."""
        request = self._fetch
        if request is not None:
            request.interrupted = True
            self._watch.ring()

    def stop(self) -> Future[None]:
        """End the thread; the future is done when it has ended."""
        self._stopping = True
        self._writer.listeners.discard(self._watch)
        self._watch.ring()
        return self._stopped

    @property
    def standing(self) -> Standing:
        """How the member stands in its group, as far as is known."""
        return self._renewal.standing

    @property
    def inherited(self) -> bool:
        """Whether this is the child of a fork, and thread and lease are the parent's."""
        return self._process != os.getpid()

    def check(self) -> None:
        """Refuse to work in the child of a fork."""
        if self.inherited:
            raise TransportError(
                f"group {self._who.group!r}: this consumer belongs to the process that forked; "
                "make a new one in the child"
            )

    # -- in the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        database = Database(self._writer.path, self._writer.settings, query_only=True)
        while not self._stopping:
            try:
                self._renewal.renew()
                # Before the moment: what is asked later may be of something that came after it.
                calls, request = len(self._calls), self._waiting
                with database.moment() as connection:
                    answered = self._look(connection, calls, request)
                if not answered:
                    self._sleep(database)
            except Exception as error:
                if not isinstance(error, TransportError):
                    database.close()
                self._fail(self._explained(error))
                self._watch.sleep(self._who.lease / 10)
        database.close()
        self._fail(TransportError(f"group {self._who.group!r}: this consumer is closed"))
        self._watch.close()
        self._stopped.set_result(None)

    def _look(self, connection: Connection, calls: int, request: Fetch | None) -> bool:
        """Answer what can be, and tell whether a fetch was.

        Args:
            connection: The file, as it is at one moment.
            calls: How many calls had come by then.
            request: The fetch that waited then.
        """
        standing = self.standing
        known = self._renewal.confirm(connection, standing)
        if known:
            self._answer_calls(connection, calls)
        return self._answer_fetch(connection if known else None, standing, request)

    def _answer_calls(self, connection: Connection, count: int) -> None:
        for _ in range(count):
            work, future = self._calls[0]
            try:
                answer, error = work(connection), None
            except Fault as fault:
                answer, error = None, fault.for_caller()
            self._calls.popleft()
            tell(future, answer, error)

    def _answer_fetch(
        self, connection: Connection | None, standing: Standing, request: Fetch | None
    ) -> bool:
        """Answer the waiting fetch if there is something to say, and tell whether there was.

        Args:
            connection: What to read through; None when nothing may be read yet.
            standing: How the member stands.
            request: The fetch.
        """
        if request is None:
            return False
        if request.interrupted or request.standing != standing:
            return finish(request, None)
        answer = [] if connection is None else self._read(connection, request)
        if answer or time.monotonic() >= request.deadline:
            return finish(request, answer)
        return False

    def _read(self, connection: Connection, request: Fetch) -> list[Found]:
        answer: list[Found] = []
        count = size = 0
        for where, id, wanted in request.wanted:
            if count >= request.max_records or size >= FETCH_BYTES:
                break
            offset = self._in_range(connection, id, wanted)
            deliveries, taken = read(
                connection, where, id, offset, request.max_records - count, FETCH_BYTES - size
            )
            if deliveries:
                offset = max(offset, deliveries[0].offset)
            if deliveries or offset != wanted:
                answer.append(Found(where, wanted, offset, deliveries))
            self._follows[id] = deliveries[-1].offset + 1 if deliveries else offset
            count += len(deliveries)
            size += taken
        return answer

    def _in_range(self, connection: Connection, id: int, wanted: int) -> int:
        """Return the offset to read from: the wanted one, unless the partition does not have it.

        What follows what was read last needs no look: only retention can have deleted it, and the
        next record shows that.
        """
        if self._follows_in is not connection:  # opened anew: it may be another file
            self._follows_in = connection
            self._follows.clear()
        return wanted if self._follows.get(id) == wanted else in_range(connection, id, wanted)

    @property
    def _waiting(self) -> Fetch | None:
        """The request that waits for an answer. The loop puts it there, and takes it away."""
        request = self._fetch
        done = request is None or request.answered or request.future.done()
        return None if done else request

    def _sleep(self, database: Database) -> None:
        """Sleep until the next thing that has to be done."""
        until = self._renewal.next_due()
        if until is None:
            return
        request = self._waiting
        if request is not None:
            until = min(until, request.deadline)
        self._watch.sleep(
            max(until - time.monotonic(), 0.001), None if request is None else database
        )

    def _explained(self, error: Exception) -> Exception:
        if isinstance(error, sqlite3.Error):
            settings = self._writer.settings
            error = explain(
                error, self._writer.path, busy_timeout=settings.busy_timeout, phase="work"
            )
        return error.for_caller() if isinstance(error, Fault) else error

    def _fail(self, error: Exception) -> None:
        """Tell everybody who waits."""
        request = self._waiting
        if request is not None:
            finish(request, None, error)
        while self._calls:
            tell(self._calls.popleft()[1], None, error)
