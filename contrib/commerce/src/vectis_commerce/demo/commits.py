"""How far the worker has committed, asked from outside, to kill it at a telling moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vectis.core import Hub
    from vectis.core.message import TopicPartition

__all__ = ["Commits"]


class Commits:
    """The committed offsets of the worker's group.

    Args:
        hub: Its config names the group, its transport has the offsets.
        topic: Any that is there; nothing of it is read.
    """

    def __init__(self, hub: Hub, topic: str) -> None:
        self._group = hub.consumer_settings.group
        _, self._consumer = hub.consumer((topic,), None)  # a reader takes no partition from anybody
        self._started = False

    async def count(self, partitions: Iterable[TopicPartition]) -> int:
        """Return how many messages of these partitions are committed: they do not come again."""
        if not self._started:
            self._started = True
            await self._consumer.start(on_assigned=_nothing, on_revoked=_nothing)
        # All at once: one by one, a broker's answers would be as old as a commit interval.
        asked = (self._consumer.committed(where, self._group) for where in partitions)
        return sum(offset or 0 for offset in await asyncio.gather(*asked))

    async def close(self) -> None:
        """Stop asking."""
        await self._consumer.close()


async def _nothing(partitions: frozenset[TopicPartition]) -> None:
    """It only asks."""
