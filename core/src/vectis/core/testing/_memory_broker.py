"""What the memory transport keeps: logs, groups and commits, under one lock."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs

from vectis.core.message import Delivery, Message, Receipt, TopicPartition
from vectis.core.partition import PartitionState, TopicState, partition_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Container, Sequence

    from vectis.core.testing._memory_consumer import MemoryConsumer

__all__ = ["Broker", "Group", "Log"]


@attrs.define
class Log:
    """One partition: its records in order, and the offset that the next one gets."""

    records: list[Delivery] = attrs.field(factory=list)
    end: int = 0

    def index(self, offset: int) -> int:
        """Return where in `records` the first one at or after the offset stands."""
        return bisect_left(self.records, offset, key=lambda record: record.offset)


@attrs.define(eq=False)
class Group:
    """One consumer group: who is in it, who holds what, how far it came."""

    members: dict[MemoryConsumer, Sequence[str]] = attrs.field(factory=dict)
    owners: dict[TopicPartition, MemoryConsumer | None] = attrs.field(factory=dict)
    committed: dict[TopicPartition, int] = attrs.field(factory=dict)
    generation: int = 0

    def remove(self, member: MemoryConsumer) -> None:
        """Free what the member holds and forget it."""
        self.members.pop(member, None)
        for partition, owner in self.owners.items():
            if owner is member:
                self.owners[partition] = None
        self.generation += 1


class Broker:
    """The state that the transport and its consumers share.

    Args:
        partitions: How many partitions each topic has.
        skip_offsets: Offsets that are never given to a record.
    """

    def __init__(self, partitions: int, skip_offsets: Container[int]) -> None:
        self.lock = threading.RLock()
        self.waiting: list[asyncio.Future[None]] = []
        self._partitions = partitions
        self._skip_offsets = skip_offsets
        self._topics: dict[str, list[Log]] = {}
        self._groups: dict[str, Group] = {}
        self._next_keyless = 0

    def append(self, message: Message) -> Receipt:
        """Store a message at the end of its partition."""
        with self.lock:
            logs = self.logs(message.topic)
            if message.key is None:
                self._next_keyless += 1
                number = self._next_keyless % len(logs)
            else:
                number = partition_of(message.key, len(logs))
            log = logs[number]
            while log.end in self._skip_offsets:
                log.end += 1
            offset = log.end
            log.end += 1
            log.records.append(
                Delivery(
                    message.topic,
                    number,
                    offset,
                    message.key,
                    message.value,
                    message.headers,
                    timestamp=time.time_ns() // 1_000_000,
                )
            )
            self.ring()
        return Receipt(message.topic, number, offset, transport="memory")

    def logs(self, topic: str) -> list[Log]:
        """Return the partitions of a topic, made on first use."""
        logs = self._topics.get(topic)
        if logs is None:
            logs = self._topics[topic] = [Log() for _ in range(self._partitions)]
        return logs

    def group(self, name: str | None) -> Group:
        """Return a group, made on first use; for None one that nobody else will ever see."""
        if name is None:
            return Group()
        with self.lock:
            return self._groups.setdefault(name, Group())

    def known_group(self, name: str) -> Group | None:
        """Return a group, or None when it was never used."""
        return self._groups.get(name)

    def join(self, member: MemoryConsumer) -> None:
        """Add a member to its group."""
        group = member.state
        for topic in member.topics:
            for number in range(len(self.logs(topic))):
                group.owners.setdefault(TopicPartition(topic, number), None)
        group.members[member] = member.topics
        group.generation += 1
        self.ring()

    def ring(self) -> None:
        """Wake whoever waits for records or for a change of its group, on whichever loop."""
        waiting, self.waiting = self.waiting, []
        for bell in waiting:
            with suppress(RuntimeError):  # its loop has closed: nobody waits there any more
                bell.get_loop().call_soon_threadsafe(_finish, bell)

    def describe(self) -> list[TopicState]:
        """Return how every topic and every group's progress stands."""
        with self.lock:
            return [
                TopicState(
                    name,
                    tuple(
                        PartitionState(
                            number,
                            start=log.records[0].offset if log.records else log.end,
                            end=log.end,
                            records=len(log.records),
                            committed={
                                group: state.committed[TopicPartition(name, number)]
                                for group, state in sorted(self._groups.items())
                                if TopicPartition(name, number) in state.committed
                            },
                        )
                        for number, log in enumerate(logs)
                    ),
                )
                for name, logs in sorted(self._topics.items())
            ]


def _finish(bell: asyncio.Future[None]) -> None:
    if not bell.done():
        bell.set_result(None)
