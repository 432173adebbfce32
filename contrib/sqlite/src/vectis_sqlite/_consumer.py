"""One member of a consumer group, as the worker sees it: positions, pauses, callbacks.

Everything here runs on the event loop and touches no file: the thread in `_reader` reads, the one
in `_writer` commits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING

import attrs

from vectis.core.exceptions import LeaseLost, TransportError
from vectis_sqlite._doorbell import Doorbell
from vectis_sqlite._fetch import Fetch, Found
from vectis_sqlite._groups import (
    Lease,
    Membership,
    Standing,
    commit,
    committed_offset,
    leave,
    take_part,
)
from vectis_sqlite._reader import Reader
from vectis_sqlite._records import end_offset, id_of, in_range, remaining

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vectis.core.message import Delivery, TopicPartition
    from vectis.core.transport import Assigned
    from vectis_sqlite._headers import Connection
    from vectis_sqlite._records import Topics
    from vectis_sqlite._writer import Writer

__all__ = ["SqliteConsumer"]

logger = logging.getLogger("vectis.sqlite")


@attrs.define(eq=False)
class _Held:
    """A partition that this member holds, and the offset it reads next."""

    lease: Lease
    position: int
    whole: bool
    """Whether what is not there at offset 0 was missed: it was there, and never read."""


class SqliteConsumer:
    """A consumer of the SQLite transport. See `vectis.core.transport.Consumer` for the contract.

    Args:
        open_writer: Gives the writer of the file, in use until released.
        who: The group, the topics and the lease.
    """

    def __init__(self, open_writer: Callable[[], Writer], who: Membership) -> None:
        self._open_writer = open_writer
        self._who = who
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._callbacks: tuple[Assigned, Assigned] | None = None
        self._standing: Standing | None = None
        self._held: dict[TopicPartition, _Held] = {}
        self._paused: set[TopicPartition] = set()
        self._closed = False
        self._closing: asyncio.Task[None] | None = None

    @property
    def group(self) -> str:
        """The consumer group's name."""
        return self._who.group

    async def start(self, *, on_assigned: Assigned, on_revoked: Assigned) -> None:
        """Join the group."""
        if self._closed or self._writer is not None:
            raise TransportError(
                f"group {self._who.group!r}: a consumer starts once; make a new one"
            )
        self._callbacks = (on_assigned, on_revoked)
        self._writer = writer = self._open_writer()
        doorbell = Doorbell(writer.path)

        joined: list[Standing] = []

        def join(connection: Connection, topics: Topics) -> Standing:
            doorbell.open()  # here, where the file is there: the bell is for whoever may write it
            now = time.monotonic()
            standing = take_part(connection, topics, self._who, None, now=now, bell=doorbell.name)
            joined[:] = [standing]
            return standing

        def leave_again(connection: Connection, _: Topics) -> None:
            for standing in joined:
                leave(connection, standing.group, standing.member)

        joining = writer.run(join)
        try:
            standing = await joining
            if self._closed:
                raise TransportError(f"group {self._who.group!r}: closed while it started")
            self._reader = Reader(writer, self._who, standing, doorbell)
        except BaseException:
            self._writer = None
            if joining.cancelled() or joining.exception() is None:
                writer.run_from_thread(leave_again)
            writer.release().add_done_callback(lambda _: doorbell.close())
            raise

    async def fetch(self, *, max_records: int, timeout: float) -> list[Delivery]:
        """Return up to `max_records` deliveries, or none after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            standing = await self._settle()
            request = Fetch(
                wanted=[
                    (where, held.lease.partition, held.position)
                    for where, held in self._held.items()
                    if where not in self._paused
                ],
                max_records=max_records,
                deadline=deadline,
                standing=standing,
                future=asyncio.get_running_loop().create_future(),
            )
            answer = await self._running.fetch(request)
            if answer is None:
                continue
            deliveries = self._accept(answer)
            if deliveries or time.monotonic() >= deadline:
                return deliveries

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store the offsets durably, each under the lease it was read with."""
        reader, writer = self._running, self._writer
        assert writer is not None, "a running consumer has its writer"
        held = [
            (where, self._held[where].lease, offset)
            for where, offset in offsets.items()
            if where in self._held
        ]
        lost = [where for where in offsets if where not in self._held]
        if held:
            group = reader.standing.group
            lost += await writer.run(lambda connection, _: commit(connection, group, held))
        if lost:
            raise LeaseLost(
                f"group {self._who.group!r}: {', '.join(map(str, sorted(lost)))} went to another "
                "member, nothing was stored for it; what was not committed is delivered again "
                "there",
                partitions=lost,
            )

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Make `offset` the next one to be fetched."""
        if partition not in self._held:
            raise TransportError(
                f"group {self._who.group!r}: {partition} is not assigned to this consumer; "
                "seek in `on_assigned` or later"
            )
        held = self._held[partition]
        held.position = max(offset, 0)
        held.whole = False
        self._running.interrupt()

    async def committed(self, partition: TopicPartition, group: str | None = None) -> int | None:
        """Return the group's committed offset, or that of another group; or None."""
        whose = self._who.group if group is None else group
        return await self._running.call(partial(committed_offset, whose, partition))

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Return how many deliveries lie behind the fetch position of each partition."""
        positions = {where: held.position for where, held in self._held.items()}
        return await self._running.call(
            lambda connection: {
                where: remaining(connection, id_of(connection, where), position)
                for where, position in positions.items()
            }
        )

    async def ends(self) -> Mapping[TopicPartition, int]:
        """Return one past the last record of each partition."""
        held = self.assignment()
        return await self._running.call(
            lambda connection: {
                where: end_offset(connection, id_of(connection, where)) for where in held
            }
        )

    def pause(self, *partitions: TopicPartition) -> None:
        """Leave these out of `fetch` until `resume`."""
        self._paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch from these again."""
        self._paused.difference_update(partitions)
        if self._reader is not None:
            self._reader.interrupt()

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions held now."""
        return frozenset(self._held)

    async def close(self) -> None:
        """Leave the group at once. No callback is called."""
        self._closed = True
        self._held.clear()
        closing, reader, writer = self._closing, self._reader, self._writer
        # In a task of its own, which goes on when whoever waits for it is cancelled.
        if closing is None or closing.get_loop() is not asyncio.get_running_loop():
            if reader is None or writer is None or reader.inherited:
                return
            closing = self._closing = asyncio.ensure_future(self._leave(reader, writer))
        await asyncio.shield(closing)

    async def _leave(self, reader: Reader, writer: Writer) -> None:
        try:
            await asyncio.wrap_future(reader.stop())
            standing = reader.standing
            await writer.run(
                lambda connection, _: leave(connection, standing.group, standing.member)
            )
        except TransportError as error:
            logger.warning(
                "group %r: could not say that a member left, its partitions are free in %g s: %s",
                self._who.group,
                self._who.lease,
                error,
            )
        finally:
            self._reader = self._writer = None
            await asyncio.wait([asyncio.wrap_future(writer.release())])

    @property
    def _running(self) -> Reader:
        if self._closed:
            raise TransportError(
                f"this consumer of group {self._who.group!r} is closed; make a new one"
            )
        if self._reader is None:
            raise TransportError(
                f"this consumer of group {self._who.group!r} is not running: "
                "`await start(...)` it first"
            )
        self._reader.check()
        return self._reader

    async def _settle(self) -> Standing:
        """Bring what is held in line with the standing in the group, awaiting the callbacks."""
        reader = self._running
        assert self._callbacks is not None, "a running consumer has its callbacks"
        on_assigned, on_revoked = self._callbacks
        while self._standing is None or self._standing != reader.standing:
            standing = reader.standing
            gone = frozenset(
                where
                for where, held in self._held.items()
                if where in standing.leaving or standing.held.get(where) != held.lease
            )
            if gone:
                await on_revoked(gone)
            if gone or standing.leaving:
                await self._let_go(reader, gone, standing)
                continue
            new = frozenset(standing.held.keys() - self._held.keys())
            whole = await self._whole(reader, [standing.held[where] for where in new])
            if standing != reader.standing:
                continue
            for where in new:
                lease = standing.held[where]
                self._held[where] = _Held(lease, lease.committed or 0, lease.partition in whole)
            try:
                if new:
                    await on_assigned(new)
            except BaseException:  # nobody knows of them: assign them again next time
                for where in new:
                    self._held.pop(where, None)
                raise
            self._standing = standing
        return self._standing

    async def _whole(self, reader: Reader, leases: Sequence[Lease]) -> frozenset[int]:
        """Return the partitions of which the group misses what is not there at offset 0.

        A group without a commit that begins with a topic that was trimmed before misses nothing.
        """
        stood = frozenset(lease.partition for lease in leases if lease.committed == 0)
        begun = [lease.partition for lease in leases if lease.committed is None]
        if not begun:
            return stood
        return stood | await reader.call(
            lambda connection: frozenset(id for id in begun if not in_range(connection, id, 0))
        )

    async def _let_go(
        self, reader: Reader, gone: frozenset[TopicPartition], standing: Standing
    ) -> None:
        # Whatever happens from here on: what is dropped and stays ours has to be assigned anew.
        self._standing = None
        for where in gone:
            self._held.pop(where, None)
            self._paused.discard(where)
        leases = [standing.held[where] for where in standing.leaving]
        if leases:
            await reader.release(leases)

    def _accept(self, answer: Sequence[Found]) -> list[Delivery]:
        """Move the positions on, leaving out what was paused, sought or lost meanwhile."""
        accepted: list[Delivery] = []
        for found in answer:
            where, wanted, offset, deliveries = found
            held = self._held.get(where)
            if held is None or where in self._paused or held.position != wanted:
                continue
            if offset != wanted and (wanted > 0 or held.whole):
                self._report(found)
            held.position = deliveries[-1].offset + 1 if deliveries else offset
            self._held[where] = self._held.pop(where)  # to the end: the others come first next time
            accepted += deliveries
        return accepted

    def _report(self, found: Found) -> None:
        where, wanted, offset, _ = found
        if offset > wanted:
            why = "retention deleted what was not read yet, see [sqlite] retention_age and _bytes"
        else:
            why = "the partition ends there, so another file took the place of the one read before"
        logger.error(
            "group %r: %s has no offset %d, reading goes on at %d: %s",
            self._who.group,
            where,
            wanted,
            offset,
            why,
        )
