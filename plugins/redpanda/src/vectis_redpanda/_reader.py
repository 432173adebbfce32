"""A reader without a group: it holds every partition of its topics, and leaves no trace."""

from __future__ import annotations

import asyncio
import logging
import os
from time import monotonic
from typing import TYPE_CHECKING

from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors

from vectis.core.exceptions import TransportError
from vectis.core.message import TopicPartition
from vectis_redpanda._faults import explained
from vectis_redpanda._intake import Ended, Intake
from vectis_redpanda._internals import committed_offsets, partitions_of
from vectis_redpanda._link import stop_consumer
from vectis_redpanda._silence import Silence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vectis.core.message import Delivery
    from vectis.core.transport import Assigned
    from vectis_redpanda._link import Link

__all__ = ["Reader"]

logger = logging.getLogger("vectis.redpanda")

_LOOK, _LOOK_AGAIN = 0.25, 10.0  # seconds between looks: for a missing topic, for more partitions


class Reader:
    """A consumer without a group. See `vectis.core.transport.Consumer` for the contract.

    Args:
        link: Connects to the brokers.
        topics: The topics to read; each may be made later, and none is made by reading it.
    """

    def __init__(self, link: Link, topics: Sequence[str]) -> None:
        self._link = link
        self._topics = tuple(dict.fromkeys(topics))
        self._named = f"reader of {', '.join(self._topics)} at {link.named}"
        self._callbacks: tuple[Assigned, Assigned] | None = None
        self._intake: Intake | None = None
        self._positions: dict[TopicPartition, int] = {}  # where to begin anew
        self._looked = 0.0
        self._gone: frozenset[TopicPartition] = frozenset()  # what the last look did not find
        self._heard = monotonic()  # when a broker last said which partitions there are
        self._silence = Silence(link, self._named)
        self._ended = False  # whether aiokafka's consumer is of no use any more
        self._missing = True
        self._closed = False
        self._process = os.getpid()

    @property
    def group(self) -> None:
        """None: a reader belongs to no group."""
        return

    async def start(self, *, on_assigned: Assigned, on_revoked: Assigned) -> None:
        """Connect; nothing is ever revoked."""
        if self._closed or self._callbacks is not None:
            raise TransportError(f"{self._named}: a reader starts once; make a new one")
        self._intake = await self._connect()
        self._callbacks = (on_assigned, on_revoked)

    async def fetch(self, *, max_records: int, timeout: float) -> list[Delivery]:
        """Return up to `max_records` deliveries, or none after `timeout` seconds."""
        deadline = monotonic() + timeout
        while True:
            intake = self._running
            if self._ended:
                await self._renew(intake)
                continue
            try:
                await self._look(intake)
                found = await intake.take(max_records)
            except Ended as error:
                self._ended = True
                logger.error("%s; reading starts anew", error)
                continue
            if found:
                for delivery in found:
                    self._positions[delivery.topic_partition] = delivery.offset + 1
                return found
            left = deadline - monotonic()
            if left <= 0:
                await self._check_silence(intake)
                return []
            until = self._looked + (_LOOK if self._missing else _LOOK_AGAIN) - monotonic()
            await intake.wait(max(0.001, min(left, until)), max_records)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Refuse."""
        raise TransportError(
            f"{self._named}: a reader belongs to no group, so there is nothing to commit for; "
            "name a group when the consumer is made"
        )

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Make `offset` the next one to be fetched."""
        intake = self._running
        if partition not in intake.held:
            raise TransportError(
                f"{self._named}: {partition} is not assigned to this reader; seek in `on_assigned` "
                "or later"
            )
        self._positions[partition] = max(offset, 0)
        intake.move(partition, max(offset, 0))
        intake.wake()

    async def committed(self, partition: TopicPartition, group: str | None = None) -> int | None:
        """Return the committed offset of the group that is named; without one there is none."""
        intake = self._running
        if group is None:
            return None
        try:
            async with asyncio.timeout(self._link.settings.request_timeout):
                found = await committed_offsets(intake.consumer, group, [partition])
        except (errors.KafkaError, TimeoutError) as error:
            raise TransportError(f"{self._named}: {explained(error, group=group)}") from error
        return found.get(partition)

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Return how many deliveries lie behind the fetch position of each partition."""
        return await self._running.lag()

    async def ends(self) -> Mapping[TopicPartition, int]:
        """Return one past the last record of each partition."""
        return await self._running.ends()

    def pause(self, *partitions: TopicPartition) -> None:
        """Leave these out of `fetch` until `resume`."""
        if self._intake is not None:
            self._intake.pause(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch from these again."""
        if self._intake is not None:
            self._intake.resume(partitions)

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions of the topics, as far as they were found."""
        return frozenset() if self._intake is None else self._intake.held

    async def close(self) -> None:
        """Release everything."""
        self._closed = True
        intake, self._intake = self._intake, None
        if intake is not None and self._process == os.getpid():
            await stop_consumer(intake.consumer)

    # ------------------------------------------------------------ the connection

    @property
    def _running(self) -> Intake:
        if self._process != os.getpid():
            raise TransportError(
                f"{self._named}: it belongs to the process that forked; make a new one in the child"
            )
        if self._intake is None:
            raise TransportError(f"{self._named} is not running: `await start(...)` it first")
        return self._intake

    async def _connect(self) -> Intake:
        consumer = await self._link.consumer(None, 1.0)
        self._heard = monotonic()
        return Intake(consumer, self._named, self._link.settings.request_timeout)

    async def _renew(self, intake: Intake) -> None:
        """Go on with another consumer, each partition from where the last fetch ended."""
        self._intake = await self._connect()
        self._ended = False
        # Before anything is waited for: cancelled there, it would begin with all of them anew.
        self._assign(self._intake, self._positions)
        self._intake.pause(intake.paused)
        await stop_consumer(intake.consumer)

    # ------------------------------------------------------------ partitions

    async def _look(self, intake: Intake) -> None:
        """Look for partitions when it is time to, and begin with those that are new."""
        if monotonic() - self._looked < (_LOOK if self._missing else _LOOK_AGAIN):
            return
        try:
            async with asyncio.timeout(self._link.settings.request_timeout):
                found = await partitions_of(intake.consumer, self._topics)
        except errors.TopicAuthorizationFailedError as error:
            raise TransportError(f"{self._named}: {explained(error)}") from error
        except (errors.KafkaError, TimeoutError) as error:
            raise await self._unreachable(error) from error
        self._heard = monotonic()
        self._missing = len(found) < len(self._topics)
        partitions = {
            TopicPartition(t, number) for t, numbers in found.items() for number in numbers
        }
        gone = intake.held - partitions
        if lost := gone & self._gone:  # twice in a row: a broker that starts may not know of all
            self._drop(intake, lost)
        self._gone = gone - lost
        if new := frozenset(partitions - intake.held):
            await self._begin(intake, new)
        self._looked = monotonic()  # not before: what was cancelled is to be begun with at once

    async def _begin(self, intake: Intake, new: frozenset[TopicPartition]) -> None:
        assert self._callbacks is not None, "a running reader has its callbacks"
        starts = await intake.firsts(new)
        known = self._now(intake)
        self._assign(intake, {**known, **starts})
        self._positions.update(starts)
        try:
            await self._callbacks[0](new)
        except BaseException:  # nobody knows of them: assign them again next time
            self._forget(intake, new)
            raise

    def _drop(self, intake: Intake, lost: frozenset[TopicPartition]) -> None:
        self._forget(intake, lost)
        self._assign(intake, self._now(intake))
        logger.warning(
            "%s: %s went with a topic that was deleted; made again, it is read from its beginning",
            self._named,
            ", ".join(map(str, sorted(lost))),
        )

    def _forget(self, intake: Intake, partitions: frozenset[TopicPartition]) -> None:
        intake.let_go(partitions)
        for where in partitions:
            self._positions.pop(where, None)

    def _now(self, intake: Intake) -> dict[TopicPartition, int]:
        """Return where each partition goes on; what was received ahead comes again."""
        return {where: self._positions[where] for where in intake.held}

    def _assign(self, intake: Intake, starts: Mapping[TopicPartition, int]) -> None:
        # aiokafka takes the whole assignment at once, and forgets where the old one stood.
        intake.consumer.assign([KafkaPartition(*where) for where in starts])
        intake.hold(starts)

    # ------------------------------------------------------------ silence

    async def _check_silence(self, intake: Intake) -> None:
        """Raise when the brokers have said nothing for too long."""
        seconds = intake.silence()
        self._ended = self._silence.is_final(seconds)
        await self._silence.check(seconds, "has had no answer to any fetch")

    async def _unreachable(self, error: BaseException) -> TransportError:
        self._ended = self._silence.is_final(monotonic() - self._heard)
        trouble = await self._link.trouble()
        return TransportError(f"{self._named}: {trouble or explained(error)}")
