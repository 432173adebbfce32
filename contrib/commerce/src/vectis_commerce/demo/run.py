"""The demo from start to end: a hub here, a worker over there, and the reckoning.

Reads top to bottom: put a hub together, start the worker, send, follow what arrives, stop the
worker, compare. What goes on while messages are under way is in `following.py`; what is shown of it
is the watcher's business.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import attrs

from vectis.core import Config, Hub
from vectis.core.obtaining import installing
from vectis.core.transport import Route
from vectis_commerce.demo import ledger
from vectis_commerce.demo.check import Reckoning, reckon
from vectis_commerce.demo.commits import Commits
from vectis_commerce.demo.following import Following
from vectis_commerce.demo.letters import read_letters
from vectis_commerce.demo.plugins import Audit, Cache, Guard
from vectis_commerce.demo.producer import FOREIGN_RECORD, Producer
from vectis_commerce.demo.report import Report, speed_of
from vectis_commerce.demo.topics import Topics
from vectis_commerce.demo.transport import SqliteFile, Transport, Unusable, variables_of
from vectis_commerce.demo.worker import WorkerProcess
from vectis_commerce.demo.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vectis_commerce.demo.folder import Folder
    from vectis_commerce.demo.following import Watcher
    from vectis_commerce.demo.letters import Letter
    from vectis_commerce.demo.orders import OrdersFile

__all__ = ["Assembled", "Plan", "assemble", "run"]

_PATIENCE = 30.0  # seconds for the one record to be set aside


@attrs.frozen
class Plan:
    """What is to be done.

    Args:
        file: The orders.
        limit: The largest total that the guard lets pass.
        directory: Where to work.
        kill_worker: Kill a worker in the middle; another takes its place.
        processes: How many workers share the work.
        transport: What carries the messages.
    """

    file: OrdersFile
    limit: Decimal
    directory: Path
    kill_worker: bool = False
    processes: int = 1
    transport: Transport = attrs.field(factory=SqliteFile)


@attrs.frozen
class Assembled:
    """The hub of the demo, and those of its plugins whose books are compared.

    Args:
        hub: It, not started yet.
        audit: Counts the orders.
        cache: Sums them up.
    """

    hub: Hub
    audit: Audit
    cache: Cache


def assemble(plan: Plan, folder: Folder) -> Assembled:
    """Put the hub of the demo together; nothing is connected to and nothing is sent.

    Args:
        plan: What is to be done.
        folder: Its directory, prepared.

    Raises:
        Unusable: A plugin that it needs is missing or cannot work.
    """
    audit, cache = Audit(folder.audit), Cache()
    with _log_to(folder.log):
        plugins = {"guard": Guard(plan.limit), "audit": audit, "cache": cache}
        return Assembled(_hub(folder, plan.transport, plugins), audit, cache)


async def run(plan: Plan, folder: Folder, assembled: Assembled, watcher: Watcher) -> Report:
    """Run the demo.

    Args:
        plan: What is to be done.
        folder: Its directory, prepared.
        assembled: What `assemble` has made of both.
        watcher: Told how far it is.

    Raises:
        Unusable: A broker gives no topics.
        Stalled: Nothing happened for too long.
        WorkerDied: The worker ended by itself.
        VectisError: Something could not be sent.
    """
    with _log_to(folder.log):
        return await _run(plan, folder, assembled, watcher)


async def _run(plan: Plan, folder: Folder, assembled: Assembled, watcher: Watcher) -> Report:
    hub, audit, cache = assembled.hub, assembled.audit, assembled.cache
    transport = plan.transport
    await transport.prepare(folder)
    topics = Topics.of(hub)
    worker = _worker(folder, transport, plan.processes)
    async with hub:
        producer = Producer(hub, plan.file.orders, topics)
        commits = Commits(hub, topics.letters)
        following = Following(plan, folder, producer, worker, watcher, commits)
        try:
            await following.until_everything_arrived()
            await read_letters(hub, topics.letters, within=_PATIENCE)
            await worker.stop()
            # Once more: only now is it certain that nothing is set aside again.
            letters = await read_letters(hub, topics.letters, within=_PATIENCE)
        finally:
            await worker.end()
            await commits.close()
    contents = ledger.read(folder.ledger)
    reckoning = reckon(plan.file.orders, [c.order for c in producer.cancelled], contents)
    beside = _beside(producer, audit, cache, letters)
    return Report(
        file=plan.file,
        folder=plan.directory,
        broker=transport.broker,
        topics=(topics.orders, topics.inventory),
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
    logger = logging.getLogger()  # a transport's client has warnings of its own
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def _hub(folder: Folder, transport: Transport, plugins: dict[str, object]) -> Hub:
    variables = variables_of(transport, plugins)
    hub = Hub(Config.load(folder.path, variables), plugins=plugins)
    known = {plugin.name: plugin for plugin in hub.plugins}
    for name in variables["VECTIS_PLUGINS_ENABLE"].split(","):
        plugin = known.get(name)
        if plugin is None:
            raise Unusable(f"the demo needs the plugin {name!r}: {installing(f'vectis-{name}')}")
        if (problem := hub.unavailable(plugin)) is not None:
            state = plugin.state if plugin.state != "loaded" else "of no use"
            raise Unusable(f"the demo needs the plugin {plugin}, which is {state}: {problem}")
    return hub


def _worker(folder: Folder, transport: Transport, count: int) -> WorkerProcess:
    if count == 1:
        return WorkerProcess(folder, transport)
    return Workers(folder, transport, count)


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
