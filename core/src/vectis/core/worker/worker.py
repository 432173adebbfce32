"""The worker's loop: receive, hand to the engine, commit what is finished, and end in order."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random
from time import monotonic
from typing import TYPE_CHECKING

import attrs

from vectis.core.exceptions import TransportError
from vectis.core.redact import one_line
from vectis.core.transport import Route
from vectis.core.worker.engine import Engine
from vectis.core.worker.handling import Handling
from vectis.core.worker.progress import Progress
from vectis.core.worker.refusals import group_of, refuse_quarantined, refuse_unnameable
from vectis.core.worker.report import Report
from vectis.core.worker.retry import Retry
from vectis.core.worker.snapshot import Snapshots
from vectis.core.worker.stacks import jobs_in_threads
from vectis.core.worker.subscribed import subscribed
from vectis.core.worker.telling import Telling
from vectis.core.worker.vitals import Vitals
from vectis.core.worker.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectis.core.blame import Blame
    from vectis.core.hub import Hub
    from vectis.core.message import Delivery, TopicPartition
    from vectis.core.worker.clock import Clock
    from vectis.core.worker.status import WorkerStatus

__all__ = ["Worker"]

logger = logging.getLogger("vectis.worker")

_LISTEN = 0.5  # seconds that a fetch waits for the first one
_GRACE = 1.0  # seconds for a handler that was cut off to give way
_RECONNECT = Retry(attempts=0, initial=0.1, longest=5.0)


class Worker:
    """Consumes for one hub: at least once, in the order of each partition.

    Args:
        hub: Its consuming handlers are called, its settings and transport used.
        clock: What retries and the bound on dead letters wait by; default: the real one.

    Attributes:
        group: The consumer group it is a member of.
        transport: The name of the plugin it reads through.
        subscribed: Its handlers and topics.
        report: What it did so far.

    Raises:
        ConfigError: Nothing to consume, a topic or the group unknown, a name that no dead letter
            could keep, or quarantined plugins whose events would be skipped.
        TransportError: No transport is configured.

    Example:
        >>> import asyncio
        >>> from vectis.core import Hub
        >>> from vectis.core.testing import MemoryTransport
        >>> from vectis.core.worker import Worker
        >>> hub = Hub({"consumer": {"group": "shop"}}, plugins={"memory": MemoryTransport()})
        >>> async def handle(event_type, payload):
        ...     print(event_type, payload)
        ...     worker.stop()
        >>> subscription = hub.on_event("order.created", handle, topic="vectis.orders")
        >>> worker = Worker(hub)
        >>> async def main():
        ...     await hub.publish("vectis.orders", "order.created", {"order_id": 7}, key="7")
        ...     return await worker.run()
        >>> report = asyncio.run(main())
        order.created {'order_id': 7}
        >>> report.handled
        1
    """

    def __init__(self, hub: Hub, *, clock: Clock | None = None) -> None:
        self._hub = hub
        self._settings = hub.consumer_settings
        refuse_quarantined(hub)
        self.subscribed = subscribed(hub)
        refuse_unnameable(self.subscribed)
        self.group = group_of(hub)
        self.transport, self._consumer = hub.consumer(self.subscribed.topics, self.group)
        self.report = Report()
        self._threads = ThreadPoolExecutor(
            self._settings.concurrency, thread_name_prefix="vectis-handler"
        )
        handlers = self.subscribed.handlers
        self._handling = Handling(
            hub, handlers, self.group, self.report, self._threads, clock=clock
        )
        self._progress = Progress(self._consumer, self.report, self._settings.commit_interval)
        self._engine = Engine(
            self._handling, self._settings, self._progress.moved, self._consumer.resume, clock
        )
        self._vitals = Vitals()
        self._snapshots = Snapshots(
            hub,
            self.group,
            self.transport,
            self.subscribed.topics,
            self._engine,
            self._handling,
            self._progress,
            self.report,
            self._vitals,
        )
        self._watchdog = Watchdog(self._snapshots, self._vitals, self._settings.stuck_after)
        # Not who is to blame: that takes longer than all the rest, and this is on the event loop.
        self._telling = Telling(
            hub, partial(self.status, blame=False), self._consumer, self._vitals
        )
        self._blame: Blame | None = None
        self._stopping = asyncio.Event()
        self._failed_fetches = 0
        self._random = Random()

    @property
    def in_hand(self) -> list[str]:
        """What is handled now, each as `plugin:handler at topic/partition@offset`."""
        waiting = [self._handling.named(job) for job in self._engine.running]
        blocking = self._watchdog.status().loop.by  # it may not have got as far as waiting
        return [blocking, *waiting] if blocking and blocking not in waiting else waiting

    @property
    def held_by(self) -> list[str]:
        """What keeps this process from ending: `in_hand`, and what was cut off and still runs.

        That is a plain handler in its thread, which nobody can cancel, or one that swallows its
        cancellation. Threads are those of the whole process, which is to be this worker's own.
        """
        cut_off = [job for job, *_ in self._engine.awaited] + jobs_in_threads()
        return list(dict.fromkeys([*self.in_hand, *map(self._handling.named, cut_off)]))

    @property
    def busy(self) -> bool:
        """Whether a handler runs or something is ready to; what waits for its next attempt is not.

        To be asked on the worker's event loop.
        """
        return self._engine.busy

    def status(self, *, blame: bool = True) -> WorkerStatus:
        """Return what the worker is doing now.

        To be called from any thread and at any time, also while a handler blocks the event loop.
        The lag is that of the last time it could be asked; it is asked every second while somebody
        wants to know.

        Args:
            blame: Whether to tell who is to blame as well, which takes about 0.1 ms a handler.
        """
        self._vitals.looked = monotonic()
        status = self._watchdog.status()
        if not blame or self._blame is None:
            return status
        return attrs.evolve(
            status,
            blame=self._blame.handlers(self._hub),
            plugins=self._blame.plugins(self._hub),
            untimed=self._blame.untimed(),
        )

    def measure(self, blame: Blame) -> None:
        """Time the handlers, and tell in the status who is slow, who fails and who vetoes.

        It costs two clock reads and a coroutine for each call of a handler; a worker that nobody
        asked to measure pays nothing. To be called before `run`, and once.

        Args:
            blame: An observer of this worker's hub, so that it sees the emits as well.
        """
        self._handling.measure(blame, self._settings.stuck_after)
        self._blame = blame

    def stop(self) -> None:
        """Ask the worker to end: what runs is finished, the rest comes again later.

        What is not finished `[consumer] shutdown_timeout` seconds later is cut off. To be called on
        the worker's event loop.
        """
        self._stopping.set()
        self._vitals.state = "draining"
        self._engine.halt()

    async def run(self, consuming: Callable[[], None] | None = None) -> Report:
        """Consume until `stop`, then drain, commit and close.

        Args:
            consuming: Called once everything is started.

        Returns:
            What was done; `report.clean` is False when work was abandoned.

        Raises:
            TransportError: The consumer cannot start. Once it has, it is tried again.
            HookError: A `vectis_startup` guard failed.
        """
        self._vitals.began = monotonic()
        self._watchdog.start(asyncio.get_running_loop())
        try:
            await self._start_and_work(consuming)
        finally:
            self._vitals.state = "stopped"
            self._watchdog.stop()
        await self._telling.tell()
        return self.report

    async def _start_and_work(self, consuming: Callable[[], None] | None) -> None:
        await self._hub.startup()
        try:
            await self._consumer.start(on_assigned=self._assigned, on_revoked=self._revoked)
            if self._vitals.state == "starting":
                self._vitals.state = "running"
            logger.info(
                "consuming %s as group %s through %s%s",
                ", ".join(self.subscribed.topics),
                self.group,
                self.transport,
                self._described(),
            )
            for warning in self.subscribed.warnings:
                logger.warning("%s", warning)
            if consuming is not None:
                consuming()
            await self._work_until_stopped()
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
            await self._close()

    def _described(self) -> str:
        # With the file or the servers: a worker that reads another file than it should looks idle.
        offer = self._hub.routing.offer(Route("service", self.subscribed.topics[0]))
        return f" ({offer.carrier.describe})" if offer and offer.carrier.describe else ""

    async def _close(self) -> None:
        try:
            await self._consumer.close()
        except TransportError as error:
            logger.warning("group %s could not be left in an orderly way: %s", self.group, error)

    async def _work_until_stopped(self) -> None:
        receiving = asyncio.create_task(self._keep_receiving(), name="vectis-worker")
        tasks = (
            receiving,
            asyncio.create_task(self._progress.keep_committing(), name="vectis-commits"),
            asyncio.create_task(self._engine.broken(), name="vectis-engine"),
            asyncio.create_task(self._telling.keep_telling(), name="vectis-status"),
        )
        asked = asyncio.create_task(self._stopping.wait(), name="vectis-stop")
        mistaken: list[asyncio.Task[None]] = []
        try:
            await asyncio.wait([asked, *tasks], return_when=asyncio.FIRST_COMPLETED)
            # None of them ends by itself: one that was cancelled, and not here, is a mistake too.
            mistaken = [task for task in tasks if task.cancelled()]
        finally:
            try:
                self.stop()  # also when one of them ended because of a mistake of its own
                receiving.cancel()
                await self._drain()
            finally:
                for task in (asked, *tasks):
                    task.cancel()
                await asyncio.wait([asked, *tasks], timeout=_GRACE)
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()
        for task in mistaken:
            raise RuntimeError(
                f"the worker's task {task.get_name()} was cancelled, and not by the worker: the "
                "transport or a plugin cancelled it, or raised a CancelledError. So the worker has "
                "ended; start it again"
            )

    async def _drain(self) -> None:
        """Finish what was begun, and commit for the last time."""
        try:
            cut_off = await self._engine.stop(self._settings.shutdown_timeout)
        except BaseException:
            # Cancelled once more: nothing is waited for any longer, and nothing may live on.
            self.report.abandoned += await self._engine.stop(0)
            raise
        self.report.abandoned += cut_off
        await self._progress.commit_at_the_end()

    # ------------------------------------------------------------ receiving

    async def _keep_receiving(self) -> None:
        """Fetch for ever, also when everything is full: partitions change hands in `fetch`."""
        while True:
            self._engine.receive(await self._fetch())
            self._consumer.pause(*self._engine.full())

    async def _fetch(self) -> list[Delivery]:
        """Fetch once; while the transport is away, say so the first time and return nothing."""
        vitals = self._vitals
        vitals.fetch_begins(_LISTEN)
        try:
            deliveries = await self._consumer.fetch(
                max_records=self._engine.fetch_size, timeout=_LISTEN
            )
        except TransportError as error:
            vitals.fetch_ended(one_line(str(error)))
            self._failed_fetches += 1
            if self._failed_fetches == 1:
                logger.error("cannot fetch, trying again until it works: %s", error)
            await asyncio.sleep(_RECONNECT.wait(self._failed_fetches, self._random))
            return []
        finally:
            vitals.due = 0.0  # also when it was cancelled: then none is awaited any more
        vitals.fetch_ended()
        if self._failed_fetches:
            logger.info("fetching again, after %d failures", self._failed_fetches)
            self._failed_fetches = 0
        return deliveries

    async def _assigned(self, partitions: frozenset[TopicPartition]) -> None:
        self._engine.assign(partitions)
        logger.info("assigned %s", _listed(partitions))

    async def _revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self._vitals.hands_over()
        cut_off = await self._engine.revoke(partitions, self._settings.shutdown_timeout)
        await self._progress.commit()
        self._progress.forget(partitions)
        self._engine.forget(partitions)
        self._vitals.fetch_begins(_LISTEN)
        logger.info("revoked %s", _listed(partitions))
        if cut_off:
            self.report.overlapping += len(cut_off)
            logger.warning("cut off with the partition; it comes again elsewhere: %s", cut_off)


def _listed(partitions: frozenset[TopicPartition]) -> str:
    return one_line(", ".join(map(str, sorted(partitions))), limit=500)
