"""Taking deliveries from aiokafka: fairly, without what is paused, and cancelled without a loss.

The partitions, their pauses and what was received ahead are kept here; who holds which partition is
the business of `_member` and `_reader`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors

from vectis.core.exceptions import TransportError
from vectis.core.message import TopicPartition
from vectis_redpanda._faults import explained, out_of_range
from vectis_redpanda._internals import check_group, has_ended
from vectis_redpanda._internals_records import Taken, taken
from vectis_redpanda._standing import Standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiokafka import AIOKafkaConsumer

    from vectis.core.message import Delivery
    from vectis_redpanda._internals_records import Failed

__all__ = ["Ended", "Intake"]

logger = logging.getLogger("vectis.redpanda")


# aiokafka asks a broker for more when it has nothing left. So it is emptied faster than deliveries
# are taken, and more is on its way meanwhile; much more at once falls out of the caches.
_TIMES = 4


class Ended(TransportError):
    """aiokafka's consumer has ended by itself: only another one will read on."""


class Intake:
    """The deliveries of the partitions that are held.

    Args:
        consumer: aiokafka's consumer, started.
        named: What reads, for messages.
        patience: Seconds that a request may take.
        group: The consumer group, if it reads for one.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, named: str, patience: float, group: str | None = None
    ) -> None:
        self.consumer = consumer
        self._named = named
        self._patience = patience
        self._group = group
        self._held: dict[TopicPartition, KafkaPartition] = {}
        self._paused: set[TopicPartition] = set()
        self._ahead: dict[TopicPartition, list[Delivery]] = {}  # not taken yet, nobody's turn first
        self._wanted: frozenset[TopicPartition] | None = None  # not paused; None: to be made
        self._waiting: asyncio.Task[Taken] | None = None
        self._stale: set[TopicPartition] = set()  # moved or let go while that waits
        self._standing = Standing(consumer, named, patience, group)
        self._wake: asyncio.Future[None] | None = None
        self._woken = False
        self.barred = False
        """Whether the group is about to share the partitions anew: aiokafka gives nothing then, and
        whoever asks it waits until that is done."""
        self._polled = 0  # when aiokafka last heard of a partition, in its own time
        self._heard = monotonic()  # when that was noticed

    # ------------------------------------------------------------ what is held

    @property
    def held(self) -> frozenset[TopicPartition]:
        """The partitions that are held."""
        return frozenset(self._held)

    @property
    def paused(self) -> frozenset[TopicPartition]:
        """Those of them that are left out."""
        return frozenset(self._paused)

    def hold(self, partitions: Mapping[TopicPartition, int]) -> None:
        """Begin with partitions, each at the offset that is to come first."""
        for where, offset in partitions.items():
            self._held[where] = KafkaPartition(*where)
            self.move(where, offset)
        self._changed()

    def let_go(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget partitions, and what was received of them."""
        for where in partitions:
            self._held.pop(where, None)
            self._paused.discard(where)
            self._ahead.pop(where, None)
            self._stale.add(where)
            self._standing.forget(where)
        self._changed()

    def move(self, where: TopicPartition, offset: int) -> None:
        """Make an offset the next one to come from a partition."""
        self._ahead.pop(where, None)
        self._stale.add(where)
        self._abort()
        self.consumer.seek(self._held[where], offset)
        if where in self._standing.partitions:
            self._standing.forget(where)
            self.consumer.resume(self._held[where])
            self._wanted = None

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Leave partitions out. What was received of them is kept: aiokafka would drop it."""
        self._paused.update(where for where in partitions if where in self._held)
        self._wanted = None

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Take from partitions again."""
        self._paused.difference_update(partitions)
        self._changed()

    def wake(self) -> None:
        """Let a fetch that waits look again."""
        self._woken = True
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _changed(self) -> None:
        self._wanted = None
        self._heard = monotonic()
        self.wake()

    # ------------------------------------------------------------ taking

    async def take(self, most: int) -> list[Delivery]:
        """Return what is there now, up to so many deliveries, each partition in its turn.

        What cannot be read is told in the log, and keeps nothing else from coming.

        Raises:
            Ended: It will never be there.
            TransportError: The brokers or the group stand in the way.
        """
        self._woken = False
        await self._collect()
        if self.barred:
            await self.check_group()
            return []
        if self._standing and self._standing.due():
            self._wanted = None
        wanted = self._wanted
        if wanted is None:
            wanted = self._wanted = self.held - self._paused - self._standing.partitions
        if wanted and sum(len(self._ahead.get(where, ())) for where in wanted) < most:
            await self._receive(wanted, _TIMES * most)
        found = self._from_ahead(most)  # also of one that stands still by now
        if found:
            self._heard = monotonic()
        elif wanted and has_ended(self.consumer):
            raise Ended(f"{self._named}: aiokafka has stopped fetching")
        return found

    async def check_group(self) -> None:
        """Raise what stands between this member and its group, if something does.

        Raises:
            Ended: It will stand there for ever.
            TransportError: The group does not take this member as it is.
        """
        try:
            check_group(self.consumer)
        except Exception as error:
            await self._recover(error)

    async def wait(self, seconds: float, most: int) -> None:
        """Return when there may be something to take, when something changed, or in time.

        Cancelled, it loses nothing: what comes in the same moment is taken next time.
        """
        if self._woken or self._waiting is not None:
            return
        self._wake = asyncio.get_running_loop().create_future()
        wanted = self._wanted
        if wanted and not self.barred:
            self._stale.clear()
            self._waiting = asyncio.ensure_future(taken(self.consumer, wanted, seconds, most))
        both = [future for future in (self._waiting, self._wake) if future is not None]
        try:
            await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._wake = None
            self._abort()

    def _abort(self) -> None:
        """End the waiting for records; one that has them already keeps them for `_collect`."""
        # Cancelled while it waits, aiokafka has taken nothing yet: it takes and returns in one go.
        if self._waiting is not None:
            self._waiting.cancel()

    async def _collect(self) -> None:
        waiting = self._waiting
        if waiting is None:
            return
        if not waiting.done():
            waiting.cancel()
            await asyncio.wait([waiting])
        self._waiting = None
        if waiting.cancelled():
            return
        try:
            found = waiting.result()
        except Exception as error:
            await self._recover(error)
            return
        for partition in [*found.records, *found.failed]:
            if TopicPartition(*partition) in self._stale:
                found.records.pop(partition, None)
                found.failed.pop(partition, None)
        await self._keep(found)

    async def _keep(self, found: Taken) -> None:
        # All of it, before anything is waited for: aiokafka has moved on behind it.
        for partition, some in found.records.items():
            where = TopicPartition(*partition)
            if where in self._held:
                self._ahead.setdefault(where, []).extend(some)
        for partition, failed in found.failed.items():
            where = TopicPartition(*partition)
            if where in self._held:
                # One that its group has taken away meanwhile is settled with the next fetch.
                with contextlib.suppress(errors.IllegalStateError):
                    await self._see_to(where, failed)

    def _from_ahead(self, most: int) -> list[Delivery]:
        found: list[Delivery] = []
        for where in [where for where in self._ahead if where not in self._paused]:
            room = most - len(found)
            if not room:
                break
            deliveries = self._ahead.pop(where)
            found += deliveries[:room]
            if len(deliveries) > room:
                self._ahead[where] = deliveries[room:]
        return found

    async def _receive(self, wanted: frozenset[TopicPartition], most: int) -> None:
        try:
            found = await taken(self.consumer, wanted, 0, most)
        except Exception as error:
            await self._recover(error)
        else:
            await self._keep(found)

    # ------------------------------------------------------------ what goes wrong

    async def _recover(self, error: Exception) -> None:
        """Raise what to do about an error that concerns all partitions."""
        if has_ended(self.consumer):
            said = explained(error, group=self._group)
            raise Ended(f"{self._named}: {said}") from error
        if isinstance(error, errors.KafkaError):
            said = explained(error, group=self._group)
            raise TransportError(f"{self._named}: {said}") from error
        raise error

    async def _see_to(self, where: TopicPartition, failed: Failed) -> None:
        """Have a partition go on from which nothing more came, if that can be."""
        if isinstance(failed.error, errors.OffsetOutOfRangeError):
            await self._back_in_range(where, failed.offset)
            return
        if isinstance(failed.error, errors.NoOffsetForPartitionError):
            return  # it was assigned a moment ago, and is about to get its offset
        self._wanted = None
        more = await self._standing.see_to(where, self._held[where], failed)
        self._wanted = None
        if more:
            self._ahead.setdefault(where, []).extend(more)

    async def _back_in_range(self, where: TopicPartition, wanted: int) -> None:
        """Go on at the nearest offset that there is, and report what is missing."""
        if where not in self._held:
            return
        partition = self._held[where]
        (first,) = (await self._asked(self.consumer.beginning_offsets, [where])).values()
        (end,) = (await self._asked(self.consumer.end_offsets, [where])).values()
        if self._held.get(where) is not partition:
            return
        offset = min(max(wanted, first), end)
        # What was received before stays: it is there, and would be passed over else.
        ahead = [delivery for delivery in self._ahead.get(where, ()) if delivery.offset < offset]
        self.move(where, offset)
        if ahead:
            self._ahead[where] = ahead
        if offset == wanted:
            return
        logger.error("%s: %s", self._named, out_of_range(where, wanted, offset))

    def silence(self) -> float:
        """Return for how many seconds nothing was heard of the partitions that are wanted."""
        wanted = self._wanted or ()
        polled = max(
            (self.consumer.last_poll_timestamp(self._held[where]) or 0 for where in wanted),
            default=0,
        )
        if polled != self._polled or not wanted:
            self._polled = polled
            self._heard = monotonic()
        return monotonic() - self._heard

    # ------------------------------------------------------------ offsets

    async def ends(self) -> dict[TopicPartition, int]:
        """Return one past the last record of each partition that is held."""
        return await self._asked(self.consumer.end_offsets, self._held)

    async def firsts(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset of the first record of partitions, or their end when there is none."""
        return await self._asked(self.consumer.beginning_offsets, partitions)

    async def lag(self) -> dict[TopicPartition, int]:
        """Return how much lies behind what was taken of each partition that is held."""
        ends = await self.ends()
        lags = {}
        for where, end in ends.items():
            if where in self._held:
                position = await self.consumer.position(self._held[where])
                lags[where] = max(end - position, 0) + len(self._ahead.get(where, ()))
        return lags

    async def _asked(self, ask: Any, partitions: Iterable[TopicPartition]) -> dict[Any, int]:
        asked = [KafkaPartition(*where) for where in partitions]
        if not asked:
            return {}
        try:
            async with asyncio.timeout(self._patience):
                answer = await ask(asked)
        except (errors.KafkaError, TimeoutError) as error:
            raise TransportError(f"{self._named}: {explained(error)}") from error
        return {TopicPartition(*partition): offset for partition, offset in answer.items()}
