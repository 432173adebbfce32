"""One member of a consumer group, as the worker sees it: what changes hands, commits, callbacks.

aiokafka rebalances in a task of its own; the callbacks are to run inside `fetch`. So its listener
leaves a note, wakes the fetch up, and waits until that has let go.
"""

from __future__ import annotations

import asyncio
import logging
import os
from time import monotonic
from typing import TYPE_CHECKING

from aiokafka import ConsumerRebalanceListener, errors
from aiokafka import TopicPartition as KafkaPartition

from vectis.core.exceptions import ConfigError, LeaseLost, TransportError
from vectis.core.message import TopicPartition
from vectis_redpanda._faults import explained, missing_topic
from vectis_redpanda._intake import Ended, Intake
from vectis_redpanda._internals import committed_offsets, membership, partitions_of, refresh
from vectis_redpanda._link import stop_consumer
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
_SILENCE = 10.0  # seconds without a word from the brokers that are too many
_RENEW = 60.0  # and that end in another connection


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """What the group decides, noted for `fetch` to act upon.

    Args:
        intake: Is woken up.
        timeout: Seconds that the group waits for a member to let go.
    """

    def __init__(self, intake: Intake, timeout: float) -> None:
        self._intake = intake
        self._timeout = timeout
        intake.barred = True  # until something was assigned
        self.since = monotonic()
        self.assigned: frozenset[TopicPartition] | None = None  # and nobody was told yet
        self.generation = -1  # of the group, in which what is held was assigned
        self.released: asyncio.Future[None] | None = None  # the group waits for it

    async def on_partitions_revoked(self, revoked: Iterable[KafkaPartition]) -> None:
        """Wait until `fetch` has let go; the member stays in the group meanwhile."""
        self._intake.barred, self.since = True, monotonic()
        self.assigned = None
        if self._intake.held:
            self.released = asyncio.get_running_loop().create_future()
            self._intake.wake()
            await asyncio.wait([self.released], timeout=self._timeout)
            # After that time the group has gone on without this member.
            self.released = None

    async def on_partitions_assigned(self, assigned: Iterable[KafkaPartition]) -> None:
        """Note what is to be held from now on."""
        self._intake.barred, self.since = False, monotonic()
        self.assigned = frozenset(TopicPartition(*partition) for partition in assigned)
        self._intake.wake()

    def release(self) -> None:
        """Let the group go on."""
        if self.released is not None and not self.released.done():
            self.released.set_result(None)


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
        self._intake: Intake | None = None
        self._listener: _Listener | None = None
        self._finder: asyncio.Task[None] | None = None
        self._ended = False  # whether aiokafka's consumer is of no use any more
        self._complaint = (0.0, "")
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
        while True:
            intake, listener = self._running
            try:
                await self._settle(intake, listener)
                found = await intake.take(max_records)
            except Ended as error:
                self._ended = True
                logger.error("%s", error)
                await self._renew(intake, listener)
                continue
            if found:
                return found
            left = deadline - monotonic()
            if left <= 0:
                await self._check_silence(intake, listener)
                return []
            await intake.wait(left, max_records)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store the offsets, as long as the group counts this member in."""
        intake, listener = self._running
        held = intake.held
        mine = {KafkaPartition(*where): at for where, at in offsets.items() if where in held}
        lost = [where for where in offsets if where not in held]
        if mine and not await self._stored(intake.consumer, listener, mine):
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
        intake, _ = self._running
        if partition not in intake.held:
            raise TransportError(
                f"group {self._group!r}: {partition} is not assigned to this consumer; "
                "seek in `on_assigned` or later"
            )
        intake.move(partition, max(offset, 0))
        intake.wake()

    async def committed(self, partition: TopicPartition, group: str | None = None) -> int | None:
        """Return the group's committed offset, or that of another group; or None."""
        intake, _ = self._running
        asked = self._group if group is None else group
        return (await self._committed(intake, asked, [partition])).get(partition)

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Return how many deliveries lie behind the fetch position of each partition."""
        return await self._running[0].lag()

    async def ends(self) -> Mapping[TopicPartition, int]:
        """Return one past the last record of each partition."""
        return await self._running[0].ends()

    def pause(self, *partitions: TopicPartition) -> None:
        """Leave these out of `fetch` until `resume`."""
        if self._intake is not None:
            self._intake.pause(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch from these again."""
        if self._intake is not None:
            self._intake.resume(partitions)

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions held now."""
        return frozenset() if self._intake is None else self._intake.held

    async def close(self) -> None:
        """Leave the group at once. No callback is called."""
        self._closed = True
        intake, self._intake = self._intake, None
        listener, self._listener = self._listener, None
        if intake is None or listener is None or self._process != os.getpid():
            return
        await self._leave(intake, listener)

    # ------------------------------------------------------------ the connection

    @property
    def _running(self) -> tuple[Intake, _Listener]:
        if self._process != os.getpid():
            raise TransportError(
                f"{self._named}: this consumer belongs to the process that forked; "
                "make a new one in the child"
            )
        if self._intake is None or self._listener is None:
            raise TransportError(f"{self._named} is not running: `await start(...)` it first")
        return self._intake, self._listener

    async def _join(self) -> None:
        consumer = await self._link.consumer(self._group, self._rebalance_timeout)
        try:
            missing = set(self._topics) - (await self._existing(consumer)).keys()
            patience = self._link.settings.request_timeout
            intake = Intake(consumer, self._named, patience, self._group)
            listener = _Listener(intake, self._rebalance_timeout)
            consumer.subscribe(self._topics, listener=listener)
            if missing:
                await self._until_made(consumer, missing)
            await self._see_to_dead_letters()
            await self._until_answered(intake, listener)
        except BaseException:
            await stop_consumer(consumer)
            raise
        self._intake, self._listener = intake, listener
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

    async def _until_answered(self, intake: Intake, listener: _Listener) -> None:
        """Give the group a moment: that it does not take this member is an error of the start."""
        until = monotonic() + _ANSWER
        while listener.assigned is None and monotonic() < until:
            await asyncio.sleep(_ANSWER / 50)
            await intake.check_group()

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

    async def _leave(self, intake: Intake, listener: _Listener) -> None:
        if self._finder is not None:
            self._finder.cancel()
        intake.let_go(intake.held)
        listener.release()
        await stop_consumer(intake.consumer)

    async def _renew(self, intake: Intake, listener: _Listener) -> None:
        """Begin again with another consumer; what was held is lost."""
        if intake.held:
            await self._let_go(intake, listener)
        await self._leave(intake, listener)
        await self._join()
        self._ended = False

    # ------------------------------------------------------------ what changes hands

    async def _settle(self, intake: Intake, listener: _Listener) -> None:
        """Bring what is held in line with what the group has decided, awaiting the callbacks."""
        if self._ended:
            await self._renew(intake, listener)
            intake, listener = self._running
        while True:
            if intake.held and (listener.released is not None or self._outdated(intake, listener)):
                await self._let_go(intake, listener)
            elif listener.assigned is not None:
                await self._take_over(intake, listener, listener.assigned)
            else:
                return

    def _outdated(self, intake: Intake, listener: _Listener) -> bool:
        """Tell whether what is held is of a time that is over."""
        return listener.assigned is not None or listener.generation != membership(intake.consumer)

    async def _let_go(self, intake: Intake, listener: _Listener) -> None:
        assert self._callbacks is not None, "a running consumer has its callbacks"
        partitions = intake.held
        try:
            await self._callbacks[1](partitions)
        except Exception:
            intake.let_go(partitions)  # it was told, and they are gone either way
            listener.release()
            raise
        intake.let_go(partitions)
        listener.release()

    async def _take_over(
        self, intake: Intake, listener: _Listener, assigned: frozenset[TopicPartition]
    ) -> None:
        assert self._callbacks is not None, "a running consumer has its callbacks"
        generation = membership(intake.consumer)
        starts = await self._starts(intake, assigned)
        if listener.assigned is not assigned:
            return  # the group has shared anew meanwhile
        listener.generation = generation
        intake.hold(starts)
        try:
            if assigned:
                await self._callbacks[0](assigned)
        except BaseException:  # nobody knows of them: assign them again next time
            intake.let_go(assigned)
            listener.release()
            raise
        if listener.assigned is assigned:
            listener.assigned = None

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

    async def _stored(
        self,
        consumer: AIOKafkaConsumer,
        listener: _Listener,
        offsets: Mapping[KafkaPartition, int],
    ) -> bool:
        """Commit, and tell whether this member could still do so."""
        if membership(consumer) != listener.generation:
            return False
        try:
            # It would go on for ever while the coordinator does not answer.
            async with asyncio.timeout(self._link.settings.request_timeout):
                await consumer.commit(dict(offsets))
        except (errors.CommitFailedError, errors.IllegalStateError):
            return False
        except (errors.KafkaError, TimeoutError) as error:
            why = "no answer" if isinstance(error, TimeoutError) else explained(error)
            raise TransportError(f"{self._named}: offsets could not be committed: {why}") from error
        return True

    # ------------------------------------------------------------ silence

    async def _check_silence(self, intake: Intake, listener: _Listener) -> None:
        """Raise when the brokers have said nothing for too long."""
        limit = min(_SILENCE, self._link.settings.request_timeout)
        if intake.barred:
            silent = monotonic() - listener.since
            limit += self._rebalance_timeout  # that long others may take to let go
            what = "has not given this member its partitions"
        else:
            silent = intake.silence()
            what = "has sent no answer to any fetch"
        if silent < limit:
            return
        if silent > max(_RENEW, limit):
            self._ended = True  # the next fetch begins with another connection
        now = monotonic()
        when, why = self._complaint
        if now - when > limit:
            trouble = await self._link.trouble()
            why = str(trouble) if trouble else "the brokers can be reached"
            self._complaint = (monotonic(), why)
        raise TransportError(f"{self._named} {what} for {silent:.0f} s: {why}")
