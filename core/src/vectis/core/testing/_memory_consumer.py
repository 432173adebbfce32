"""One member of a group of the memory transport."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import attrs

from vectis.core.exceptions import LeaseLost, TransportError
from vectis.core.partition import fair_share

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from vectis.core.message import Delivery, TopicPartition
    from vectis.core.testing._memory_broker import Broker, Log
    from vectis.core.transport import Assigned

__all__ = ["MemoryConsumer"]


@attrs.define
class _Place:
    """How far a member has read one of its partitions."""

    log: Log
    index: int


class MemoryConsumer:
    """One member of a group. See `vectis.core.transport.Consumer` for the contract.

    A reader is the only member of a group that nobody else sees.
    """

    def __init__(self, broker: Broker, topics: tuple[str, ...], group: str | None) -> None:
        self.topics = topics
        self.group = group
        self.state = broker.group(self.group)
        self._broker = broker
        self._lock = broker.lock
        self._held: dict[TopicPartition, _Place] = {}
        self._paused: set[TopicPartition] = set()
        self._generation = -1
        self._callbacks: tuple[Assigned, Assigned] | None = None
        self._closed = False

    async def start(self, *, on_assigned: Assigned, on_revoked: Assigned) -> None:
        if self._closed:
            raise TransportError(f"this consumer of group {self.group!r} is closed: make a new one")
        self._callbacks = (on_assigned, on_revoked)
        with self._lock:
            self._broker.join(self)

    async def fetch(self, *, max_records: int, timeout: float) -> list[Delivery]:
        deadline = time.monotonic() + timeout
        await asyncio.sleep(0)  # a full log must not keep the loop from everything else
        while True:
            await self._settle()
            with self._lock:
                records = self._take(max_records)
                remaining = deadline - time.monotonic()
                if records or remaining <= 0:
                    return records
                bell = asyncio.get_running_loop().create_future()
                if self._generation == self.state.generation:
                    self._broker.waiting.append(bell)
                else:
                    bell.set_result(None)
            try:
                await asyncio.wait([bell], timeout=remaining)
            finally:
                with self._lock:
                    if bell in self._broker.waiting:
                        self._broker.waiting.remove(bell)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self.group is None:
            raise TransportError("a reader belongs to no group and cannot commit: name a group")
        with self._lock:
            kept = {tp: at for tp, at in offsets.items() if self.state.owners.get(tp) is self}
            self.state.committed.update(kept)
        lost = sorted(offsets.keys() - kept.keys())
        if lost:
            raise LeaseLost(
                f"group {self.group!r}: {', '.join(map(str, lost))} went to another member, "
                "nothing was stored for it; what it has not committed is delivered again there",
                partitions=lost,
            )

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        with self._lock:
            place = self._place(partition)
            place.index = place.log.index(offset)
            self._broker.ring()

    async def committed(self, partition: TopicPartition, group: str | None = None) -> int | None:
        state = self.state if group is None else self._broker.known_group(group)
        return None if state is None else state.committed.get(partition)

    async def lag(self) -> Mapping[TopicPartition, int]:
        with self._lock:
            return {tp: len(at.log.records) - at.index for tp, at in self._held.items()}

    async def ends(self) -> Mapping[TopicPartition, int]:
        with self._lock:
            return {tp: at.log.end for tp, at in self._held.items()}

    def pause(self, *partitions: TopicPartition) -> None:
        self._paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        with self._lock:
            self._paused.difference_update(partitions)
            self._broker.ring()

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._held)

    async def close(self) -> None:
        self._closed = True
        with self._lock:
            self._held.clear()
            self.state.remove(self)
            self._broker.ring()

    async def _settle(self) -> None:
        """Bring what this member holds in line with its fair share, awaiting the callbacks."""
        if self._callbacks is None or self._closed:
            raise TransportError(
                f"this consumer of group {self.group!r} is not running: `await start(...)` it first"
            )
        on_assigned, on_revoked = self._callbacks
        while self._generation != self.state.generation:
            with self._lock:
                lost = {tp for tp in self._held if self.state.owners[tp] is not self}
                if self not in self.state.members:
                    self._broker.join(self)
                generation = self.state.generation
                share = fair_share(self.state.owners, self.state.members)
                leaving = {tp for tp in self._held if share.get(tp) is not self} | lost
            if leaving:
                await on_revoked(frozenset(leaving))
                self._release(leaving)
                continue
            taken = self._claim(share)
            try:
                if taken:
                    await on_assigned(taken)
            except BaseException:  # nobody knows of them: give them back
                self._release(taken)
                raise
            self._generation = generation

    def _release(self, partitions: Set[TopicPartition]) -> None:
        with self._lock:
            for partition in partitions:
                self._held.pop(partition, None)
                self._paused.discard(partition)
                if self.state.owners[partition] is self:
                    self.state.owners[partition] = None
            self.state.generation += 1
            self._broker.ring()

    def _claim(self, share: Mapping[TopicPartition, MemoryConsumer]) -> frozenset[TopicPartition]:
        with self._lock:
            owners = self.state.owners
            free = [tp for tp in share if share[tp] is self and owners[tp] is None]
            for partition in free:
                owners[partition] = self
                log = self._broker.logs(partition.topic)[partition.partition]
                start = log.index(self.state.committed.get(partition, 0))
                self._held[partition] = _Place(log, start)
        return frozenset(free)

    def _take(self, max_records: int) -> list[Delivery]:
        """Read on, beginning with the partition whose turn it is, so that none waits for ever."""
        taken: list[Delivery] = []
        for partition in list(self._held):
            if len(taken) >= max_records:
                break
            if partition in self._paused:
                continue
            place = self._held[partition]
            end = min(place.index + max_records - len(taken), len(place.log.records))
            if end > place.index:
                taken += place.log.records[place.index : end]
                place.index = end
                self._held[partition] = self._held.pop(partition)  # to the end of the queue
        return taken

    def _place(self, partition: TopicPartition) -> _Place:
        place = self._held.get(partition)
        if place is None:
            raise TransportError(
                f"group {self.group!r}: {partition} is not assigned to this consumer; "
                "seek in `on_assigned` or later"
            )
        return place
