"""Partitions: which one a key goes to, which member of a group reads it, and how they stand.

Shared by the transports, so that a key keeps its place and a group its rules whichever transport
carries them. Storage, leases and offsets are each transport's own.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection, Hashable, Mapping
from typing import TYPE_CHECKING, TypeVar

import attrs

if TYPE_CHECKING:
    from vectis.core.message import TopicPartition

__all__ = ["PartitionState", "TopicState", "fair_share", "partition_of"]

Member = TypeVar("Member", bound=Hashable)


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key, the same in every process and release.

    The CRC-32 of the key modulo the number of partitions: written in C, and as even on numbered
    keys as on random ones.

    Args:
        key: The key's bytes.
        partitions: How many partitions the topic has.

    Example:
        >>> from vectis.core.partition import partition_of
        >>> partition_of(b"order-7", 8)
        2
    """
    return zlib.crc32(key) % partitions


def fair_share(
    owners: Mapping[TopicPartition, Member | None],
    members: Mapping[Member, Collection[str]],
) -> dict[TopicPartition, Member]:
    """Return who should read each partition: shares differ by one at most, and few ones move.

    Every member computes the same from the same state. A member gives up what should be another's,
    and takes what should be its own as soon as nobody holds it, which leads to the share returned.

    Args:
        owners: Each partition of the group with the member that holds it now, or None.
        members: The members in the order in which they joined, each with the topics it reads.
            Shares are even when all of them read the same topics.

    Returns:
        Each partition that somebody reads, with the member it should go to.

    Example:
        >>> from vectis.core.message import TopicPartition
        >>> from vectis.core.partition import fair_share
        >>> first, second = TopicPartition("orders", 0), TopicPartition("orders", 1)
        >>> share = fair_share({first: "a", second: "a"}, {"a": {"orders"}, "b": {"orders"}})
        >>> share[first], share[second]
        ('a', 'b')
    """
    if not members:
        return {}
    held = Counter(owner for owner in owners.values() if owner is not None)
    even, rest = divmod(len(owners), len(members))
    most_first = sorted(members, key=lambda member: -held[member])
    quota = {member: even + (place < rest) for place, member in enumerate(most_first)}

    load = dict.fromkeys(members, 0)
    share: dict[TopicPartition, Member] = {}
    # Kept across topics: whoever comes gets some of each, and not all of the last one.
    for partition in sorted(owners, key=lambda where: (where.partition, where.topic)):
        owner = owners[partition]
        if owner is None or partition.topic not in members.get(owner, ()):
            continue
        if load[owner] < quota[owner]:
            share[partition] = owner
            load[owner] += 1
    for partition in sorted(owners):
        readers = [member for member in members if partition.topic in members[member]]
        if partition not in share and readers:
            member = min(readers, key=load.__getitem__)
            share[partition] = member
            load[member] += 1
    return share


@attrs.frozen
class PartitionState:
    """How a partition stands.

    Args:
        number: The partition's number, from 0.
        start: The offset of the first record kept, or `end` when there is none.
        end: The offset that the next record gets.
        records: How many records are kept.
        committed: The committed offset of each group that has one.
    """

    number: int
    start: int
    end: int
    records: int
    committed: Mapping[str, int]

    def lag(self, group: str) -> int:
        """Return how many records the group has not committed yet; offset holes count as records.

        Example:
            >>> from vectis.core.partition import PartitionState
            >>> PartitionState(0, start=0, end=10, records=10, committed={"shop": 4}).lag("shop")
            6
        """
        return self.end - max(self.start, self.committed.get(group, self.start))


@attrs.frozen
class TopicState:
    """How a topic stands.

    Args:
        name: The topic's name.
        partitions: Its partitions, by number.
    """

    name: str
    partitions: tuple[PartitionState, ...]

    @property
    def records(self) -> int:
        """How many records are kept in all partitions."""
        return sum(partition.records for partition in self.partitions)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that committed something, by name."""
        return tuple(sorted({group for part in self.partitions for group in part.committed}))

    def lag(self, group: str) -> int:
        """Return how many records the group has not committed yet, in all partitions."""
        return sum(partition.lag(group) for partition in self.partitions)
