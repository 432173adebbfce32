"""One member of a consumer group, as the worker sees it: joining, fetching, committing.

How partitions change hands is told in `_handover`, how records are taken in `_intake`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from time import monotonic
from typing import TYPE_CHECKING

from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors

from vectis.core.exceptions import ConfigError, LeaseLost, TransportError
from vectis.core.message import TopicPartition
from vectis_redpanda._faults import explained, missing_topic
from vectis_redpanda._handover import Handover
from vectis_redpanda._intake import Ended, Intake
from vectis_redpanda._internals import committed_offsets, guard_commits, partitions_of, refresh
from vectis_redpanda._link import stop_consumer
from vectis_redpanda._namesake import Namesake
from vectis_redpanda._silence import Silence
from vectis_redpanda._topics import missing_dead_letters

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer

    from vectis.core.message import Delivery
    from vectis.core.transport import Assigned
    from vectis_redpanda._link import Link

__all__ = ["Member"]

logger = logging.getLogger("vectis.redpanda")

_LOOK = 0.25  # seconds between looks for a topic that has no partitions yet
_ANSWER = 1.0  # seconds that a start waits for the group; it may have to wait for other members


class Member:
    """A consumer of the Redpanda transport. See `vectis.core.transport.Consumer` for the contract.

    Args:
        link: Connects to the brokers.
        topics: What it reads.
        group: The group's name.
        rebalance_timeout: Seconds that it may take to let go of partitions.
    """

    def __init__(
        self, link: Link, topics: Sequence[str], group: str, rebalance_timeout: float
    ) -> None:
        self._link = link
        self._topics = tuple(dict.fromkeys(topics))
        self._group = group
        self._rebalance_timeout = rebalance_timeout
        self._named = f"group {group!r} at {link.named}"
        self._callbacks: tuple[Assigned, Assigned] | None = None
        self._handover: Handover | None = None
        self._silence = Silence(link, self._named)
        self._namesake = Namesake(link.settings, self._named)
        self._finder: asyncio.Task[None] | None = None
        self._ended = False  # whether aiokafka's consumer is of no use any more
        self._closed = False
        self._process = os.getpid()

    @property
    def group(self) -> str:
        """The consumer group's name."""
        return self._group

    async def start(self, *, on_assigned: Assigned, on_revoked: Assigned) -> None:
        """Connect, and ask to join the group."""
        if self._closed or self._callbacks is not None:
            raise TransportError(f"{self._named}: a consumer starts once; make a new one")
        self._callbacks = (on_assigned, on_revoked)
        try:
            await self._join()
        except BaseException:
            self._callbacks = None
            raise

    async def fetch(self, *, max_records: int, timeout: float) -> list[Delivery]:
        """Return up to `max_records` deliveries, or none after `timeout` seconds."""
        deadline = monotonic() + timeout
        await asyncio.sleep(0)  # what came before runs first, while it is in the caches
        while True:
            handover = self._running
            if self._ended:
                await self._renew(handover)
                continue
            try:
                await handover.settle()
                found = await handover.intake.take(max_records)
            except Ended as error:
                self._ended = True
                logger.error("%s; reading starts anew", error)
                continue
            if found:
                return found
            left = deadline - monotonic()
            if left <= 0:
                await self._check_silence(handover)
                return []
            await handover.intake.wait(left, max_records)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store the offsets, as long as the group counts this member in."""
        handover = self._running
        held = handover.intake.held
        mine = {KafkaPartition(*where): at for where, at in offsets.items() if where in held}
        lost = [where for where in offsets if where not in held]
        if mine and not await self._stored(handover, mine):
            lost += [TopicPartition(*partition) for partition in mine]
        if lost:
            raise LeaseLost(
                f"group {self._group!r}: {', '.join(map(str, sorted(lost)))} went to another "
                "member, nothing was stored for it; what was not committed is delivered again "
                "there",
                partitions=lost,
            )

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Make `offset` the next one to be fetched."""
        intake = self._running.intake
        if partition not in intake.held:
            raise TransportError(
                f"group {self._group!r}: {partition} is not assigned to this consumer; "
                "seek in `on_assigned` or later"
            )
        intake.move(partition, max(offset, 0))
        intake.wake()

    async def committed(self, partition: TopicPartition, group: str | None = None) -> int | None:
        """Return the group's committed offset, or that of another group; or None."""
        intake = self._running.intake
        asked = self._group if group is None else group
        return (await self._committed(intake, asked, [partition])).get(partition)

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Return how many deliveries lie behind the fetch position of each partition."""
        return await self._running.intake.lag()

    async def ends(self) -> Mapping[TopicPartition, int]:
        """Return one past the last record of each partition."""
        return await self._running.intake.ends()

    def pause(self, *partitions: TopicPartition) -> None:
        """Leave these out of `fetch` until `resume`."""
        if self._handover is not None:
            self._handover.intake.pause(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch from these again."""
        if self._handover is not None:
            self._handover.intake.resume(partitions)

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions held now."""
        return frozenset() if self._handover is None else self._handover.intake.held

    async def close(self) -> None:
        """Leave the group at once. No callback is called."""
        self._closed = True
        handover, self._handover = self._handover, None
        if handover is not None and self._process == os.getpid():
            await self._leave(handover)

    # ------------------------------------------------------------ the connection

    @property
    def _running(self) -> Handover:
        if self._process != os.getpid():
            raise TransportError(
                f"{self._named}: this consumer belongs to the process that forked; "
                "make a new one in the child"
            )
        if self._handover is None:
            raise TransportError(f"{self._named} is not running: `await start(...)` it first")
        return self._handover

    async def _join(self) -> None:
        assert self._callbacks is not None, "they came with the start"
        consumer = await self._link.consumer(self._group, self._rebalance_timeout)
        try:
            missing = set(self._topics) - (await self._existing(consumer)).keys()
            patience = self._link.settings.request_timeout
            intake = Intake(consumer, self._named, patience, self._group)
            handover = Handover(
                intake, self._rebalance_timeout, self._starts, self._callbacks, self._namesake
            )
            guard_commits(consumer, lambda: handover.counted_in)
            consumer.subscribe(self._topics, listener=handover)
            if missing:
                await self._until_made(consumer, missing)
            await self._see_to_dead_letters()
            await self._until_answered(handover)
        except BaseException:
            await stop_consumer(consumer)
            raise
        self._handover = handover
        self._finder = asyncio.create_task(self._find(consumer))

    async def _existing(self, consumer: AIOKafkaConsumer) -> dict[str, tuple[int, ...]]:
        try:
            async with asyncio.timeout(self._link.settings.request_timeout):
                return await partitions_of(consumer, self._topics)
        except (errors.KafkaError, TimeoutError) as error:
            raise TransportError(f"{self._named}: {explained(error)}") from error

    async def _until_made(self, consumer: AIOKafkaConsumer, missing: set[str]) -> None:
        """Wait for topics that the broker creates when somebody subscribes to them."""
        until = monotonic() + self._link.settings.request_timeout / 2
        while missing and monotonic() < until:
            await asyncio.sleep(_LOOK)
            missing -= (await self._existing(consumer)).keys()
        if missing:
            raise TransportError(f"{self._named}: {'; '.join(map(missing_topic, sorted(missing)))}")

    async def _until_answered(self, handover: Handover) -> None:
        """Give the group a moment: that it does not take this member is an error of the start."""
        until = monotonic() + _ANSWER
        while not handover.shared and monotonic() < until:
            await asyncio.sleep(_ANSWER / 50)
            await handover.intake.check_group()

    async def _see_to_dead_letters(self) -> None:
        """Make topics for dead letters: without, one bad message would hold everything up."""
        failed = await missing_dead_letters(self._link, self._topics)
        if failed:
            causes = "; ".join(map(str, failed.values()))
            raise ConfigError(
                f"{self._named}: without its topic for dead letters, nothing behind a bad message "
                f"could be committed, so this does not start. {causes}. Create it as somebody who "
                f"may: `vectis topics create {' '.join(failed)}`"
            )

    async def _find(self, consumer: AIOKafkaConsumer) -> None:
        """Have aiokafka look for topics until it has found all, some of which are new."""
        while any(consumer.partitions_for_topic(topic) is None for topic in self._topics):
            refresh(consumer)
            await asyncio.sleep(_LOOK)

    async def _leave(self, handover: Handover) -> None:
        if self._finder is not None:
            self._finder.cancel()
        handover.drop(handover.intake.held)
        await stop_consumer(handover.intake.consumer)

    async def _renew(self, handover: Handover) -> None:
        """Begin again with another consumer; what was held is lost."""
        if handover.intake.held:
            await handover.let_go()
        await self._leave(handover)
        try:
            await self._join()
        except ConfigError as error:  # it was right at the start, so it may be again
            raise TransportError(str(error)) from error
        self._ended = False

    # ------------------------------------------------------------ offsets

    async def _starts(
        self, intake: Intake, partitions: frozenset[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return where to begin: at the commit, else at the beginning."""
        if not partitions:
            return {}
        starts = await self._committed(intake, self._group, partitions)
        return {**starts, **await intake.firsts(partitions - starts.keys())}

    async def _committed(
        self, intake: Intake, group: str, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        try:
            async with asyncio.timeout(self._link.settings.request_timeout):
                return await committed_offsets(intake.consumer, group, [*partitions])
        except (errors.KafkaError, TimeoutError) as error:
            raise TransportError(f"{self._named}: {explained(error, group=group)}") from error

    async def _stored(self, handover: Handover, offsets: Mapping[KafkaPartition, int]) -> bool:
        """Commit, and tell whether this member could still do so."""
        if not handover.counted_in:
            return False
        try:
            # It would go on for ever while the coordinator does not answer.
            async with asyncio.timeout(self._link.settings.request_timeout):
                await handover.intake.consumer.commit(dict(offsets))
        except (errors.CommitFailedError, errors.IllegalStateError):
            return False
        except (errors.KafkaError, TimeoutError) as error:
            why = "no answer" if isinstance(error, TimeoutError) else explained(error)
            raise TransportError(f"{self._named}: offsets could not be committed: {why}") from error
        return True

    # ------------------------------------------------------------ silence

    async def _check_silence(self, handover: Handover) -> None:
        """Raise when the brokers have said nothing for too long."""
        seconds, allowed, what = handover.intake.silence(), 0.0, "has had no answer to any fetch"
        if handover.intake.barred:
            seconds, what = handover.silence, "has not been given its partitions"
            allowed = self._rebalance_timeout  # that long others may take to let go
        self._ended = self._silence.is_final(seconds, allowed=allowed)
        await self._silence.check(seconds, what, allowed=allowed)
