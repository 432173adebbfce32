"""The demo from start to end: a hub here, a worker over there, and the reckoning.

Reads top to bottom: prepare, start the worker, send, follow what arrives, stop the worker, compare.
What is shown meanwhile is the watcher's business.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from decimal import Decimal
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Protocol

import attrs

from vectis.core import Config, Hub
from vectis.core.transport import Route
from vectis_commerce.demo import ledger
from vectis_commerce.demo.check import Reckoning, reckon
from vectis_commerce.demo.commits import Commits
from vectis_commerce.demo.folder import prepare
from vectis_commerce.demo.letters import read_letters
from vectis_commerce.demo.plugins import Audit, Cache, Guard
from vectis_commerce.demo.producer import FOREIGN_RECORD, Producer
from vectis_commerce.demo.report import Kill, Report, speed_of
from vectis_commerce.demo.worker import PLUGINS, WorkerProcess
from vectis_commerce.demo.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vectis_commerce.demo.folder import Folder
    from vectis_commerce.demo.letters import Letter
    from vectis_commerce.demo.orders import OrdersFile

__all__ = ["Plan", "Stalled", "Unusable", "Watcher", "run"]

_LOOK_EVERY = 0.02  # seconds between looks into the ledger
_PATIENCE = 30.0  # seconds without any progress until it counts as stuck
_KILL_AT = (0.3, 0.45, 0.6, 0.7, 0.8, 0.9)  # parts of all messages; later ones only when needed
_UNCOMMITTED = 20  # entries at least that have to come again when the worker is killed


class Unusable(Exception):
    """The demo cannot start here; the message says what is missing."""


class Stalled(Exception):
    """Nothing happened for too long; the message says what was awaited."""


@attrs.frozen
class Plan:
    """What is to be done.

    Args:
        file: The orders.
        limit: The largest total that the guard lets pass.
        directory: Where to work.
        kill_worker: Kill a worker in the middle; another takes its place.
        processes: How many workers share the work.
    """

    file: OrdersFile
    limit: Decimal
    directory: Path
    kill_worker: bool = False
    processes: int = 1


class Watcher(Protocol):
    """Whoever shows what is going on."""

    def progress(self, *, done: int, published: int, entered: int) -> None:
        """Orders that are through, messages published, and entries in the ledger, so far."""

    def say(self, text: str) -> None:
        """Something happened that is worth a line."""


async def run(plan: Plan, watcher: Watcher) -> Report:
    """Run the demo.

    Raises:
        FolderError: The directory cannot be used.
        Unusable: A plugin that it needs is missing or broken.
        Stalled: Nothing happened for too long.
        WorkerDied: The worker ended by itself.
        VectisError: Something could not be sent.
    """
    folder = prepare(plan.directory)
    with _log_to(folder.log):
        return await _run(plan, folder, watcher)


async def _run(plan: Plan, folder: Folder, watcher: Watcher) -> Report:
    audit, cache = Audit(folder.audit), Cache()
    hub = _hub(folder, {"guard": Guard(plan.limit), "audit": audit, "cache": cache})
    count = plan.processes
    worker = Workers(folder, count) if count > 1 else WorkerProcess(folder)
    async with hub:
        producer = Producer(hub, plan.file.orders)
        commits = Commits(hub)
        following = _Following(plan, folder, producer, worker, watcher, commits)
        try:
            await following.until_everything_arrived()
            await read_letters(hub, within=_PATIENCE)
            await worker.stop()
            # Once more: only now is it certain that nothing is set aside again.
            letters = await read_letters(hub, within=_PATIENCE)
        finally:
            await worker.end()
            await commits.close()
    contents = ledger.read(folder.ledger)
    reckoning = reckon(plan.file.orders, [c.order for c in producer.cancelled], contents)
    beside = _beside(producer, audit, cache, letters)
    return Report(
        file=plan.file,
        folder=plan.directory,
        handlers=_handlers(hub),
        cancelled=tuple(producer.cancelled),
        publish=speed_of(producer.published, following.sent_after, producer.seconds),
        end_to_end=speed_of(len(contents.seconds), following.arrived_after, contents.seconds),
        letters=letters,
        processes=plan.processes,
        kills=tuple(following.kills),
        redeliveries=contents.redeliveries,
        reckoning=Reckoning(reckoning.rows, (*reckoning.differences, *beside)),
    )


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Keep warnings off the screen, where the bars are; they are in a file instead."""
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("vectis")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def _hub(folder: Folder, plugins: dict[str, object]) -> Hub:
    # The environment of whoever tries the demo, and what else is installed, stay out of it.
    environment = {"VECTIS_PLUGINS_ENABLE": ",".join((*PLUGINS, *plugins))}
    config = Config.load(folder.path, environment)
    hub = Hub(config, plugins=plugins)
    states = {plugin.name: plugin for plugin in hub.plugins}
    for name in (*PLUGINS, *plugins):
        plugin = states.get(name)
        if plugin is None:
            raise Unusable(f"the demo needs the plugin {name!r}: install vectis-hub[demo]")
        if plugin.state != "loaded":
            raise Unusable(
                f"the demo needs the plugin {plugin}, which is {plugin.state}: {plugin.reason}"
            )
    return hub


def _handlers(hub: Hub) -> tuple[tuple[str, int, str], ...]:
    rows = []
    for event_type in ("order.pre_create", "order.created"):
        offer = hub.routing.offer(Route("process", event_type))
        if offer is not None:
            rows += [(event_type, s.priority, s.id) for s in offer.carrier.plan()]
    return tuple(rows)


def _beside(
    producer: Producer, audit: Audit, cache: Cache, letters: Sequence[Letter]
) -> tuple[str, ...]:
    """Return what differs in this process, and among the dead letters."""
    accepted = producer.accepted
    total = sum((order.grand_total for order in accepted), Decimal())
    cached = sum(cache.spent.values(), Decimal())
    found = []
    if producer.handled_in_order != len(accepted):
        found.append(
            f"the plugins ran in priority order for {producer.handled_in_order} of "
            f"{len(accepted)} orders"
        )
    if audit.entries != len(accepted):
        found.append(f"the audit trail has {audit.entries} entries instead of {len(accepted)}")
    if cached != total:
        found.append(f"the cache holds {cached} instead of {total}")
    if [letter.value for letter in letters] != [FOREIGN_RECORD]:
        found.append(
            f"{len(letters)} records were set aside instead of the one that cannot be decoded"
        )
    return tuple(found)


class _Following:
    """Sends, and watches the ledger fill, in another process, until everything is there."""

    def __init__(
        self,
        plan: Plan,
        folder: Folder,
        producer: Producer,
        worker: WorkerProcess,
        watcher: Watcher,
        commits: Commits,
    ) -> None:
        self._ledger = folder.ledger
        self._producer = producer
        self._worker = worker
        self._watcher = watcher
        self._commits = commits
        lines = sum(len(order.lines) for order in plan.file.orders)
        most = lines + 3 * len(plan.file.orders)
        self._kill_at = [int(most * part) for part in _KILL_AT] if plan.kill_worker else []
        self._entered = 0
        self._redeliveries = 0
        self._redeliveries_before = 0  # the last kill: some may come of members that join
        self._moved = monotonic()
        self.kills: list[Kill] = []
        self.sent_after = 0.0
        self.arrived_after = 0.0

    async def until_everything_arrived(self) -> None:
        await self._worker.start()
        started = perf_counter()
        sending = asyncio.create_task(self._producer.run())
        sending.add_done_callback(lambda _: self._note_sent(started))
        try:
            while not self._everything_arrived(sending):
                await self._kill_when_due()
                self._complain_when_stuck()
                await asyncio.sleep(_LOOK_EVERY)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        if self._kill_at and not self.kills:
            self._watcher.say("the worker was done before it could be killed: give it more orders")
        self.arrived_after = perf_counter() - started

    def _note_sent(self, started: float) -> None:
        self.sent_after = perf_counter() - started

    def _everything_arrived(self, sending: asyncio.Task[None]) -> bool:
        if sending.done():
            sending.result()  # raises what stopped it
        self._worker.check()
        before = (self._entered, self._redeliveries, self._producer.published)
        self._entered, self._redeliveries = ledger.count(self._ledger)
        producer = self._producer
        if before != (self._entered, self._redeliveries, producer.published):
            self._moved = monotonic()
        self._watcher.progress(
            done=producer.done, published=producer.published, entered=self._entered
        )
        return sending.done() and self._entered >= producer.published

    async def _kill_when_due(self) -> None:
        if not self._kill_at or self._entered < self._kill_at[0]:
            return
        if self.kills and self._redeliveries > self._redeliveries_before:
            return  # it has shown what it was to show
        # After a commit and before the next: what was committed stays, what was not comes again.
        state = await self._state()
        before = self.kills[-1].committed if self.kills else 0
        if state.committed <= before or state.entered - state.committed < _UNCOMMITTED:
            return
        victim = await self._worker.kill_one()
        state = await self._state(victim)
        self.kills.append(state)
        self._kill_at = [at for at in self._kill_at if at > state.entered]
        self._redeliveries_before = self._redeliveries
        self._watcher.say(
            f"killed {victim} (SIGKILL) at {state.entered:,} entries, with {state.committed:,} "
            "messages committed"
        )
        successor = await self._worker.replace()
        if successor:
            self._watcher.say(successor)

    async def _state(self, victim: str = "nobody") -> Kill:
        committed = await self._commits.count(self._producer.partitions)
        entered, _ = ledger.count(self._ledger)
        return Kill(entered, committed, victim)

    def _complain_when_stuck(self) -> None:
        if monotonic() - self._moved < _PATIENCE:
            return
        sent = self._producer
        raise Stalled(
            f"nothing moved for {_PATIENCE:g} s: {sent.published:,} messages are published, and "
            f"{self._entered:,} of them are in the ledger. The worker is running, and last said:\n"
            f"{self._worker.last_lines()}"
        )
