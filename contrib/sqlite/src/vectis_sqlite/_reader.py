"""The thread of one consumer: it reads the file, and keeps the leases alive.

The lease is renewed from here and not from the event loop: a handler that blocks the loop does not
cost the process its partitions. Nothing is read ahead; a fetch asks, and is answered as soon as
there is a record, a change in the group, an error, or no time left.
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
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import attrs

from vectis.core.exceptions import TransportError
from vectis_sqlite._database import Database
from vectis_sqlite._faults import Fault, explain
from vectis_sqlite._groups import Lease, Membership, Standing, generation, stands, take_part
from vectis_sqlite._records import FETCH_BYTES, in_range, read
from vectis_sqlite._watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from vectis.core.message import Delivery, TopicPartition
    from vectis_sqlite._doorbell import Doorbell
    from vectis_sqlite._headers import Connection
    from vectis_sqlite._records import Topics
    from vectis_sqlite._writer import Writer

__all__ = ["Fetch", "Found", "Reader"]

T = TypeVar("T")


@attrs.define(eq=False)
class Fetch:
    """A request for deliveries.

    Args:
        wanted: Partitions with their ids and the offsets to read from, the first in turn first.
        max_records: How many deliveries at most.
        deadline: When to give up waiting, on the monotonic clock.
        standing: The standing it was made under; a newer one ends it.
        future: Gets what was found, or None to look at the standing and ask again.
        interrupted: What is wanted has changed.
        answered: The future has its answer, or will have it in a moment.
    """

    wanted: Sequence[tuple[TopicPartition, int, int]]
    max_records: int
    deadline: float
    standing: Standing
    future: asyncio.Future[list[Found] | None]
    interrupted: bool = False
    answered: bool = False


class Found(NamedTuple):
    """What a fetch found in a partition.

    Args:
        where: The partition.
        wanted: The offset that was asked for.
        offset: The nearest one that could be read; another one means that some are missing.
        deliveries: From there on.
    """

    where: TopicPartition
    wanted: int
    offset: int
    deliveries: list[Delivery]


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
        self.standing = standing
        self._writer = writer
        self._who = who
        self._process = os.getpid()
        self._watch = Watch(doorbell)
        self._confirmed: tuple[Connection, Standing] | None = None
        self._follows: dict[int, int] = {}
        self._follows_in: Connection | None = None
        self._fetch: Fetch | None = None
        self._calls: deque[tuple[Callable[[Connection], Any], asyncio.Future[Any]]] = deque()
        self._renewal: Future[Standing] | None = None
        self._renew_at = time.monotonic() + who.lease / 3
        self._lock = threading.Lock()
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
        self._accept(await self._writer.run(self._take_part(leases)))

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
                self._renew()
                with database.moment() as connection:
                    answered = self._look(connection)
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

    def _look(self, connection: Connection) -> bool:
        """Answer what can be, and tell whether a fetch was."""
        standing = self.standing
        known = self._is_known(connection, standing)
        if not known or generation(connection, standing.group) != standing.generation:
            self._renew_at = 0.0  # there is something to share anew
            self._renew()
        if known:
            self._answer_calls(connection)
        return self._answer_fetch(connection if known else None, standing)

    def _is_known(self, connection: Connection, standing: Standing) -> bool:
        """Return whether the file is the one in which the member stands so."""
        if self._confirmed is None or any(
            was is not now for was, now in zip(self._confirmed, (connection, standing), strict=True)
        ):
            self._confirmed = (connection, standing) if stands(connection, standing) else None
        return self._confirmed is not None

    def _renew(self) -> None:
        """Give a sign of life when it is due.

        It does not wait for the writer: reading goes on while the file is locked.
        """
        renewal, now = self._renewal, time.monotonic()
        if renewal is None:
            expiry = self.standing.next_expiry
            if now >= self._renew_at or (expiry is not None and now > expiry):
                self._renewal = self._writer.run_from_thread(self._take_part())
                self._renewal.add_done_callback(lambda _: self._watch.ring())
                self._renew_at = now + self._who.lease / 3
        elif renewal.done():
            self._renewal = None
            if renewal.exception() is not None:
                self._renew_at = now + self._who.lease / 10
            self._accept(renewal.result())

    def _accept(self, standing: Standing) -> None:
        """Take over the standing if it is the latest."""
        with self._lock:
            if standing.at >= self.standing.at:
                self.standing = standing

    def _take_part(
        self, release: Collection[Lease] = ()
    ) -> Callable[[Connection, Topics], Standing]:
        standing = self.standing
        return lambda connection, topics: take_part(
            connection,
            topics,
            self._who,
            standing.member,
            now=time.monotonic(),
            bell=self._watch.doorbell.name,
            release=release,
            patient_until=standing.patient_until,
        )

    def _answer_calls(self, connection: Connection) -> None:
        while self._calls:
            work, future = self._calls[0]
            try:
                answer, error = work(connection), None
            except Fault as fault:
                answer, error = None, fault.for_caller()
            self._calls.popleft()
            _tell(future, answer, error)

    def _answer_fetch(self, connection: Connection | None, standing: Standing) -> bool:
        """Answer the waiting fetch if there is something to say, and tell whether there was.

        Args:
            connection: What to read through; None when nothing may be read yet.
            standing: How the member stands.
        """
        request = self._waiting
        if request is None:
            return False
        if request.interrupted or request.standing != standing:
            return _finish(request, None)
        answer = [] if connection is None else self._read(connection, request)
        if answer or time.monotonic() >= request.deadline:
            return _finish(request, answer)
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
        if self._renewal is not None and self._renewal.done():
            return
        until = self._renew_at
        if self._renewal is not None:  # its end rings
            until = time.monotonic() + self._who.lease
        elif self.standing.next_expiry is not None:
            until = min(until, self.standing.next_expiry + 0.001)
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
            _finish(request, None, error)
        while self._calls:
            _tell(self._calls.popleft()[1], None, error)


def _finish(request: Fetch, answer: list[Found] | None, error: Exception | None = None) -> bool:
    request.answered = True
    _tell(request.future, answer, error)
    return True


def _tell(future: asyncio.Future[Any], answer: Any, error: Exception | None) -> None:
    def settle() -> None:
        if future.done():
            return
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)

    try:
        future.get_loop().call_soon_threadsafe(settle)
    except RuntimeError:  # the loop has closed meanwhile: nobody waits there any more
        return
