"""What the tests of the contract share: a member with a diary, publishing, waiting, order."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Protocol

import attrs

from vectis.core.message import Delivery, Message, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from vectis.core.transport import Carrier, Consumer

DEADLINE = 30.0
"""Seconds after which a test gives up waiting for something that should have happened."""

FOREVER = 20 * DEADLINE
"""Seconds for a fetch that has to be woken up: its own end comes too late to pass for that."""


class Transport(Protocol):
    """What the tests need of a transport: the two offers that its hooks hand to the hub."""

    def carrier(self, topic: str) -> Carrier:
        """Return what `vectis_emit` offers for a topic."""

    def consumer(self, topics: Sequence[str], group: str | None) -> Consumer:
        """Return what `vectis_consume` offers; a reader for the group None."""


@attrs.frozen(kw_only=True)
class Features:
    """What a transport can do beyond the contract.

    Args:
        durable: A second transport made from the same folder finds what the first one stored, also
            after `kill -9`. The class of the tests must then be importable: a process of its own
            makes one and is killed.
        expiry: The tests can make a member lose everything, see `expire`.
        offset_holes: The offsets of some records are missing, as after compaction.
        max_size: A message of this many bytes must pass.
        refused_size: A message of this many bytes must be refused; None for no such limit.

    Example:
        >>> from vectis.core.testing.contract import Features
        >>> Features(durable=True).max_size
        1000000
    """

    durable: bool = False
    expiry: bool = False
    offset_holes: bool = False
    max_size: int = 1_000_000
    refused_size: int | None = None


class Contract:
    """What every part of the contract stands on."""

    features = Features()

    def transport(self, folder: Path) -> Transport:
        """Return a transport that may keep its files in this folder; override it."""
        raise NotImplementedError("override `transport` to return the transport under test")

    def expire(self, transport: Transport, consumer: Consumer) -> None:
        """Take everything from a member, as if it had slept past its lease; for `expiry`."""
        raise NotImplementedError("override `expire`, or leave the feature `expiry` off")


class Member:
    """One member of a consumer group, or a reader, with a diary of what the transport told it."""

    def __init__(
        self,
        transport: Transport,
        topic: str,
        group: str | None,
        *,
        more_topics: Sequence[str] = (),
    ) -> None:
        self.consumer = transport.consumer([topic, *more_topics], group)
        self.deliveries: list[Delivery] = []
        self.assigned: list[frozenset[TopicPartition]] = []
        self.drain: Callable[[], Awaitable[object]] | None = None
        self.revoked: list[frozenset[TopicPartition]] = []
        self.commit_on_revoke: dict[TopicPartition, int] = {}

    async def __aenter__(self) -> Member:
        await self.consumer.start(on_assigned=self._on_assigned, on_revoked=self._on_revoked)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.consumer.close()

    async def fetch(self, *, max_records: int = 100, timeout: float = 0.05) -> list[Delivery]:
        """Fetch once, and keep what came."""
        deliveries = await self.consumer.fetch(max_records=max_records, timeout=timeout)
        self.deliveries += deliveries
        return deliveries

    async def read(self, count: int) -> list[Delivery]:
        """Fetch until as many came in this call."""
        start = len(self.deliveries)
        async with asyncio.timeout(DEADLINE):
            while len(self.deliveries) - start < count:
                await self.fetch(timeout=1)
        return self.deliveries[start:]

    async def commit(self) -> None:
        """Commit everything fetched from the partitions that are held."""
        held = self.consumer.assignment()
        await self.consumer.commit(
            {tp: at for tp, at in ends_of(self.deliveries).items() if tp in held}
        )

    async def _on_assigned(self, partitions: frozenset[TopicPartition]) -> None:
        assert partitions <= self.consumer.assignment(), "assigned means held"
        self.assigned.append(partitions)

    async def _on_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        assert partitions <= self.consumer.assignment(), "revoked while still held"
        self.revoked.append(partitions)
        if self.drain is not None:
            await self.drain()
            assert partitions <= self.consumer.assignment(), "taken away while draining"
        ends = ends_of(self.deliveries)
        mine = {tp: ends[tp] for tp in partitions if tp in ends}
        await self.consumer.commit(mine)
        self.commit_on_revoke |= mine


def unique(kind: str) -> str:
    """Return a name that no other test uses."""
    return f"{kind}-{uuid.uuid4().hex[:12]}"


async def publish(
    transport: Transport, topic: str, *, count: int, keys: int = 20, start: int = 0
) -> None:
    """Publish messages whose values are numbers that rise from `start`, on so many keys in turn."""
    send = transport.carrier(topic).send
    numbers = range(start, start + count)
    await asyncio.gather(*(send(Message(topic, b"k%d" % (n % keys), b"%d" % n)) for n in numbers))


async def close(transport: Transport, topic: str) -> None:
    """Close the transport's producer, if it has one to close."""
    carrier = transport.carrier(topic)
    if carrier.close is not None:
        await carrier.close()


async def until_shared(*members: Member) -> None:
    """Let the members fetch until each holds a fair share and no partition is held twice."""
    async with asyncio.timeout(DEADLINE):
        while True:
            await asyncio.gather(*(member.fetch() for member in members))
            shares = [len(member.consumer.assignment()) for member in members]
            union = frozenset().union(*(member.consumer.assignment() for member in members))
            assert len(union) == sum(shares), "a partition is held twice"
            if max(shares) - min(shares) <= 1 and len(union) >= len(members):
                return


async def until_read(*members: Member, count: int) -> None:
    """Let the members fetch until they have as many deliveries together."""
    async with asyncio.timeout(DEADLINE):
        while sum(len(member.deliveries) for member in members) < count:
            await asyncio.gather(*(member.fetch() for member in members))


def places(deliveries: Sequence[Delivery]) -> list[str]:
    """Return where each delivery came from."""
    return [delivery.place for delivery in deliveries]


def ends_of(deliveries: Sequence[Delivery]) -> dict[TopicPartition, int]:
    """Return the offset to commit for each partition: one past the last delivery."""
    return {delivery.topic_partition: delivery.offset + 1 for delivery in deliveries}


def assert_in_order_per_partition(deliveries: Sequence[Delivery]) -> None:
    """Fail when offsets go back within a partition."""
    last: dict[TopicPartition, int] = {}
    for delivery in deliveries:
        assert delivery.offset > last.get(delivery.topic_partition, -1), delivery.place
        last[delivery.topic_partition] = delivery.offset


def assert_in_order_per_key(deliveries: Sequence[Delivery]) -> None:
    """Fail when the rising numbers that `publish` wrote go back for one key."""
    last: dict[bytes | None, int] = {}
    for delivery in deliveries:
        number = int(delivery.value or b"-1")
        assert number > last.get(delivery.key, -1), delivery.place
        last[delivery.key] = number
