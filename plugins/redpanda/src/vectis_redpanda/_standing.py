"""Partitions that stand still because what comes next cannot be read, while the others go on.

A record must never be passed over for that: what is behind it would be committed, and it with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from aiokafka import errors

from vectis_redpanda._faults import unreadable
from vectis_redpanda._internals_records import fetched_again, unpacked_again

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer
    from aiokafka import TopicPartition as KafkaPartition

    from vectis.core.message import Delivery, TopicPartition
    from vectis_redpanda._internals_records import Failed

__all__ = ["AGAIN", "Standing"]

logger = logging.getLogger("vectis.redpanda")

AGAIN = 30.0
"""Seconds until a partition is tried again, and told of again when that fails."""

_SOON = 1.0  # seconds, when the broker did not answer


class Standing:
    """Which partitions stand still, and until when.

    Args:
        consumer: aiokafka's consumer, which holds them.
        named: What reads, for messages.
        patience: Seconds that a request may take.
        group: The consumer group, if it reads for one.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, named: str, patience: float, group: str | None
    ) -> None:
        self._consumer = consumer
        self._named = named
        self._patience = patience
        self._group = group
        self._until: dict[TopicPartition, float] = {}
        self._partitions: dict[TopicPartition, KafkaPartition] = {}

    def __bool__(self) -> bool:
        return bool(self._until)

    @property
    def partitions(self) -> frozenset[TopicPartition]:
        """Those that are left out for now."""
        return frozenset(self._until)

    def forget(self, where: TopicPartition) -> None:
        """Note that a partition was let go, or reads on from elsewhere."""
        self._until.pop(where, None)
        self._partitions.pop(where, None)

    def due(self) -> bool:
        """Have those tried again for which it is time, and tell whether there are any."""
        now = monotonic()
        due = [where for where, until in self._until.items() if until <= now]
        for where in due:
            partition = self._partitions[where]
            self.forget(where)
            # One that the group has taken away meanwhile is settled with the next fetch.
            with contextlib.suppress(errors.IllegalStateError):
                self._consumer.resume(partition)
        return bool(due)

    async def see_to(
        self, where: TopicPartition, partition: KafkaPartition, failed: Failed
    ) -> list[Delivery]:
        """Read in another way what aiokafka cannot read, or let the partition stand still.

        Returns:
            What was read; the partition goes on behind it.
        """
        self._stand(where, partition, inf)
        try:
            return await self._read_again(where, partition, failed)
        finally:
            if self._until.get(where) == inf:  # cancelled, or the broker did not answer
                self._until[where] = monotonic() + _SOON

    async def _read_again(
        self, where: TopicPartition, partition: KafkaPartition, failed: Failed
    ) -> list[Delivery]:
        if not failed.unpacking:
            self._give_up(where, failed.offset, failed.error)
            return []
        try:
            async with asyncio.timeout(self._patience):
                found = await fetched_again(self._consumer, partition, failed.offset)
        except (errors.KafkaError, TimeoutError):
            return []
        if where not in self._until:
            return []  # it was let go or moved meanwhile
        try:
            deliveries, behind = unpacked_again(partition, failed.offset, *found)
        except Exception as error:
            self._give_up(where, failed.offset, error)
            return []
        self.forget(where)
        self._consumer.resume(partition)
        self._consumer.seek(partition, behind)
        return deliveries

    def _stand(self, where: TopicPartition, partition: KafkaPartition, until: float) -> None:
        self._until[where] = until
        self._partitions[where] = partition
        self._consumer.pause(partition)  # else aiokafka asks for it again and again

    def _give_up(self, where: TopicPartition, offset: int, error: Exception) -> None:
        self._until[where] = monotonic() + AGAIN
        logger.error("%s: %s", self._named, unreadable(where, offset, error, self._group, AGAIN))
