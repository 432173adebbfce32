"""Looking at topics from outside of every group: what is there now, or what comes from now on.

For tools that show records. Nothing is committed and nobody's partitions move; what has to be
handled, once and by somebody, is the worker's.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from vectis.core.exceptions import TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import TracebackType

    from vectis.core.hub import Hub
    from vectis.core.message import Delivery, TopicPartition

__all__ = ["Reader"]

_FETCH = 500  # deliveries asked for at once
_LISTEN = 0.5  # seconds that a fetch waits for the first one


class Reader:
    """Reads topics without a group, from the beginning or from now on.

    To be used as an async context manager, which starts and closes it.

    Args:
        hub: Its transport is read.
        topics: The topics; one that does not exist yet is read when it does.
        from_now: Leave out what is there when it starts.
        behind: A group's name: leave out what that group has committed. It is asked, not joined.

    Attributes:
        transport: The name of the plugin that is read through.
        starts: The offset at which reading began, for each partition that was found so far.

    Raises:
        TransportError: No transport is configured.

    Example:
        >>> import asyncio
        >>> from vectis.core import Hub
        >>> from vectis.core.reader import Reader
        >>> from vectis.core.testing import MemoryTransport
        >>> async def main():
        ...     hub = Hub({}, plugins={"memory": MemoryTransport()}, discover=False)
        ...     await hub.publish("vectis.orders", "order.created", {"order_id": 7}, key="7")
        ...     async with Reader(hub, ["vectis.orders"]) as reader:
        ...         return [delivery.value for delivery in await reader.now()]
        >>> asyncio.run(main())
        [b'{"order_id":7}']
    """

    def __init__(
        self,
        hub: Hub,
        topics: Sequence[str],
        *,
        from_now: bool = False,
        behind: str | None = None,
    ) -> None:
        self.transport, self._consumer = hub.consumer(tuple(topics), None)
        self._topics = tuple(topics)
        self._patience = hub.hub_settings.publish_timeout
        self._from_now = from_now
        self._behind = behind
        self.starts: dict[TopicPartition, int] = {}
        self._ahead: list[Delivery] = []  # came with the first fetch, which finds the partitions
        self._reached: dict[TopicPartition, int] = {}

    async def __aenter__(self) -> Reader:
        try:
            await self._consumer.start(on_assigned=self._assigned, on_revoked=_nothing)
            self._ahead = await self._consumer.fetch(max_records=_FETCH, timeout=0)
        except BaseException:
            await self._consumer.close()
            raise
        self._from_now = False  # a topic or partition that is new is read whole
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._consumer.close()

    @property
    def topics(self) -> frozenset[str]:
        """Those of the topics that exist, as far as is known."""
        return frozenset(partition.topic for partition in self.starts)

    async def fetch(self, *, timeout: float) -> list[Delivery]:
        """Return the next deliveries, in order within each partition.

        Args:
            timeout: Seconds to wait for the first one; the answer is empty when none came.

        Raises:
            TransportError: The transport cannot be read.
        """
        found, self._ahead = self._ahead, []
        if not found:
            found = await self._consumer.fetch(max_records=_FETCH, timeout=timeout)
        for delivery in found:
            self._reached[delivery.topic_partition] = delivery.offset + 1
        return found

    async def ahead(self) -> int:
        """Return how many records there are behind where reading began, as offsets count them.

        Some may be missing, after compaction; then it is more than can be read.

        Raises:
            TransportError: The transport cannot be asked.
        """
        ends = await self._consumer.ends()
        return sum(max(0, end - self.starts.get(where, 0)) for where, end in ends.items())

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        """Return what a group has committed of the partitions that were found; 0 for nothing.

        Raises:
            TransportError: The transport cannot be asked.
        """
        return {
            where: await self._consumer.committed(where, group) or 0 for where in list(self.starts)
        }

    async def pages(self) -> AsyncIterator[list[Delivery]]:
        """Yield what is there when this is called and was not read yet, some at a time, and end.

        Raises:
            TransportError: The transport cannot be read, or gives nothing for as long as
                `[hub] publish_timeout`, though there is more.
        """
        ends = await self._consumer.ends()
        heard = monotonic()
        while left := {tp for tp, end in ends.items() if self._reached.get(tp, 0) < end}:
            # The last offsets may be missing, after compaction; then there is nothing more either.
            lag = await self._consumer.lag()
            if not self._ahead and not any(lag.get(partition) for partition in left):
                return
            found = await self.fetch(timeout=_LISTEN)
            if found:
                heard = monotonic()
                yield found
            elif monotonic() - heard > self._patience:
                raise TransportError(
                    f"{', '.join(self._topics)}: there are more records, and {self.transport} gave "
                    f"none within {self._patience:g} s; see whether it is reachable and healthy"
                )

    async def now(self) -> list[Delivery]:
        """Return all that `pages` yields."""
        return [delivery async for page in self.pages() for delivery in page]

    async def record(self, where: TopicPartition, offset: int) -> Delivery | None:
        """Return one record, or None when it is not there any more.

        What `fetch` and `pages` read goes on behind it.

        Args:
            where: A partition that was found.
            offset: Its offset.

        Raises:
            TransportError: The transport cannot be read, or does not answer within
                `[hub] publish_timeout`.
        """
        others = self.starts.keys() - {where}
        self._consumer.pause(*others)
        self._ahead = []
        try:
            await self._consumer.seek(where, offset)
            deadline = monotonic() + self._patience
            while monotonic() < deadline:
                for delivery in await self._consumer.fetch(max_records=1, timeout=_LISTEN):
                    return delivery if delivery.offset == offset else None
                if not (await self._consumer.lag()).get(where):
                    return None
        finally:
            self._consumer.resume(*others)
        raise TransportError(
            f"{where}@{offset} could not be read through {self.transport} within "
            f"{self._patience:g} s; see whether it is reachable and healthy"
        )

    async def _assigned(self, partitions: frozenset[TopicPartition]) -> None:
        ends = await self._consumer.ends() if self._from_now else {}
        for partition in partitions:
            start = ends.get(partition, 0)
            if self._behind is not None:
                start = await self._consumer.committed(partition, self._behind) or 0
            if start:
                self._reached[partition] = start
                await self._consumer.seek(partition, start)
            self.starts[partition] = start


async def _nothing(partitions: frozenset[TopicPartition]) -> None:
    """Nothing is ever taken from a reader."""
