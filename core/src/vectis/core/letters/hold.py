"""Holding the partitions of dead-letter topics: one replay or purge of a group at a time."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from vectis.core.exceptions import LeaseLost, TransportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from types import TracebackType

    from vectis.core.hub import Hub
    from vectis.core.message import TopicPartition

__all__ = ["Busy", "Hold", "group_of"]

_LOOK = 0.2  # seconds between looks while partitions are awaited
_SHARED = 2.0  # seconds with a part of them: whoever has the rest is alive
_TAKEN = 30.0  # seconds without any: longer than the lease of a member that was killed
_AGAIN = 1.0  # seconds before a transport that failed is asked again


def group_of(group: str) -> str:
    """Return the group that replays a group's letters.

    Example:
        >>> from vectis.core.letters.hold import group_of
        >>> group_of("shop")
        'shop.dlq'
    """
    return f"{group}.dlq"


class Busy(TransportError):
    """Another replay or purge of the group holds the partitions."""


class Hold:
    """All partitions of some dead-letter topics, held as the only member of a group.

    An async context manager. While it is open it goes on fetching nothing, because partitions
    change hands there; they are given up between two letters only.

    Args:
        hub: Its transport is used.
        group: The group whose letters they are.
        wanted: The partitions.
        stopping: Set when somebody wants it to end; then it may be opened without them.
        tell: Called with a sentence when there is something to wait for.

    Attributes:
        busy: To be held around everything that is done for one letter.
        assignments: How often partitions were assigned. When it has grown, another member may have
            been there meanwhile, and what is known of the topics is old.
    """

    def __init__(
        self,
        hub: Hub,
        group: str,
        wanted: frozenset[TopicPartition],
        stopping: asyncio.Event,
        tell: Callable[[str], None],
    ) -> None:
        self._group = group_of(group)
        self._wanted = wanted
        self._stopping = stopping
        self._tell = tell
        topics = sorted({where.topic for where in wanted})
        self._named = f"group {self._group}: {', '.join(topics)}"
        _, self._consumer = hub.consumer(topics, self._group)
        self._committed: dict[TopicPartition, int] = {}
        self._keeping: asyncio.Task[None] | None = None
        self.busy = asyncio.Lock()
        self.assignments = 0

    async def __aenter__(self) -> Hold:
        """Take the partitions.

        Raises:
            Busy: Another member holds some of them, and is alive.
            TransportError: The transport cannot be used.
        """
        try:
            await self._consumer.start(on_assigned=self._assigned, on_revoked=self._revoked)
            await self._take()
        except BaseException:
            await self._consumer.close()
            raise
        self._keeping = asyncio.create_task(self._keep(), name="vectis-dlq-hold")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._keeping is not None, "it was opened"
        self._keeping.cancel()
        await asyncio.wait([self._keeping])
        await self._consumer.close()

    @property
    def complete(self) -> bool:
        """Whether all the partitions are held now."""
        return self._wanted <= self._consumer.assignment()

    async def until_complete(self) -> None:
        """Wait until all the partitions are held again, or it is to end.

        Raises:
            Busy: Another member has them.
        """
        began = monotonic()
        while not self.complete and not self._stopping.is_set():
            if monotonic() - began > _TAKEN:
                raise self._taken()
            await _either(self._stopping, _LOOK)

    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Store what has moved, durably; it is tried until it works.

        Raises:
            LeaseLost: Another member took a partition over.
            TransportError: It does not work, and it is time to end.
        """
        moved = {
            where: at
            for where, at in positions.items()
            if where in self._wanted and at > self._committed.get(where, 0)
        }
        if moved:
            await self.insist(lambda: self._consumer.commit(moved), "progress is not committed")
            self._committed.update(moved)

    async def insist(self, action: Callable[[], Awaitable[object]], what: str) -> None:
        """Do something on the transport again and again until it works, or it is time to end.

        Args:
            action: What is to be done; doing it twice must be harmless.
            what: What is the matter as long as it fails.

        Raises:
            LeaseLost: Trying again cannot help.
            TransportError: The last failure, when it is time to end.
        """
        told = False
        while True:
            try:
                await action()
            except LeaseLost:
                raise
            except TransportError as error:
                if self._stopping.is_set():
                    raise
                if not told:
                    self._tell(f"{what}, trying again until it is: {error}")
                told = True
                await _either(self._stopping, _AGAIN)
            else:
                return

    async def _take(self) -> None:
        began = monotonic()
        some: float | None = None
        told = False
        timeout = 0.0
        while not self._stopping.is_set():
            await self._consumer.fetch(max_records=1, timeout=timeout)
            if self.complete:
                return
            timeout = _LOOK
            now = monotonic()
            if some is None and self._wanted & self._consumer.assignment():
                some = now
            if now - began > _TAKEN or (some is not None and now - some > _SHARED):
                raise self._taken()
            if not told and now - began > 5 * _LOOK:
                told = True
                self._tell(
                    "waiting for partitions that another replay, perhaps one that was killed, "
                    "still holds"
                )

    def _taken(self) -> Busy:
        missing = len(self._wanted - self._consumer.assignment())
        return Busy(
            f"{self._named}: another replay or purge is at work and holds {missing} of "
            f"{len(self._wanted)} partitions. Let it finish or stop it, then run this again"
        )

    async def _keep(self) -> None:
        failing = False
        while True:
            try:
                await self._consumer.fetch(max_records=1, timeout=_AGAIN)
                failing = False
            except TransportError as error:
                if not failing:
                    self._tell(f"{self._named}: {error}")
                failing = True
                await asyncio.sleep(_AGAIN)

    async def _assigned(self, partitions: frozenset[TopicPartition]) -> None:
        self._consumer.pause(*partitions)  # letters are read from outside of the group
        self._committed = {
            where: at for where, at in self._committed.items() if where not in partitions
        }
        self.assignments += 1

    async def _revoked(self, partitions: frozenset[TopicPartition]) -> None:
        async with self.busy:
            pass  # the letter in hand is finished now


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but not longer than so many seconds."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
