"""A plugin that stands in front of a transport and writes down everything that passes.

That is the brokers' when `[redpanda] bootstrap_servers` is set, and the SQLite transport else.
It is a transport of its own, picked by `[hub] transport = "recorder"`, and an observer of handlers.
It changes nothing, with one exception: while the file `letters-refused` exists, dead letters are.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from tests.faults.trace import WORKER, Trace
from vectis.core import hookimpl
from vectis.core.exceptions import LeaseLost, PublishError, TransportError
from vectis.core.message import TopicPartition
from vectis_redpanda import RedpandaSettings, RedpandaTransport
from vectis_sqlite import transport_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from vectis.core import Hub
    from vectis.core.message import Delivery, Message, Receipt
    from vectis.core.subscription import Subscription
    from vectis.core.transport import Assigned, Carrier, Consumer, Route
    from vectis_sqlite import SqliteTransport

REFUSED = Path("letters-refused")
"""While it exists no dead letter is taken."""

generations: dict[TopicPartition, int] = {}
"""How often this process was assigned each partition."""


@cache
def trace() -> Trace:
    """Return the trace of this process; whoever only imports this module gets none."""
    return Trace(Path.cwd(), os.environ[WORKER])


@cache
def _transport(hub: Hub) -> RedpandaTransport | SqliteTransport | None:
    for plugin in hub.plugins:
        settings = plugin.settings
        if isinstance(settings, RedpandaSettings) and settings.bootstrap_servers:
            patience = hub.hub_settings.publish_timeout
            return RedpandaTransport(settings, publish_timeout=patience)
    return transport_of(hub)


@hookimpl
def vectis_subscribe(route: Route, subscription: Subscription) -> Callable[[], None] | None:
    return (lambda: None) if route.scope == "service" else None


@hookimpl
def vectis_emit(route: Route, hub: Hub) -> Carrier | None:
    transport = _transport(hub) if route.scope == "service" else None
    if transport is None:
        return None
    carrier = transport.carrier(route.name)
    if route.name.endswith(".dlq"):
        return attrs.evolve(carrier, send=_recording_letters(carrier), send_many=None)
    return attrs.evolve(carrier, send=_recording_messages(carrier), send_many=None)


@hookimpl
def vectis_consume(topics: Sequence[str], group: str | None, hub: Hub) -> Consumer | None:
    transport = _transport(hub)
    return None if transport is None else RecordingConsumer(transport.consumer(topics, group))


@hookimpl
def vectis_around_consume(delivery: Delivery) -> Any:
    return _recording_handler(delivery)


@asynccontextmanager
async def _recording_handler(delivery: Delivery) -> AsyncIterator[None]:
    where = delivery.topic_partition
    key = None if delivery.key is None else delivery.key.decode()
    place = (generations.get(where, 0), *where, delivery.offset, key, _id(delivery))
    trace().step("started", *place)
    try:
        yield
    except BaseException:
        trace().step("failed", *place)
        raise
    trace().step("finished", *place)


def _recording_messages(carrier: Carrier) -> Callable[[Message], Awaitable[Receipt]]:
    def send(message: Message) -> Awaitable[Receipt]:
        # Not a coroutine: the order of the calls is the order of the records.
        key = None if message.key is None else message.key.decode()
        what = (message.topic, key, _id(message))
        trace().sent("sending", *what)
        future: asyncio.Future[Receipt] = asyncio.ensure_future(carrier.send(message))

        def note(done: asyncio.Future[Receipt]) -> None:
            if not done.cancelled() and done.exception() is None:
                trace().sent("acknowledged", *what)

        future.add_done_callback(note)
        return future

    return send


def _recording_letters(carrier: Carrier) -> Callable[[Message], Awaitable[Receipt]]:
    async def send(message: Message) -> Receipt:
        why = dict(message.headers)
        topic = why["vectis_dlq_topic"].decode()
        where = TopicPartition(topic, int(why["vectis_dlq_partition"]))
        offset = int(why["vectis_dlq_offset"])
        key = None if message.key is None else message.key.decode()
        place = (generations.get(where, 0), *where, offset, key, _id(message))
        if _refused():
            trace().step("letter refused", *place)
            raise PublishError(f"{message.topic}: refused", fate="rejected")
        receipt: Receipt = await carrier.send(message)
        trace().step("set aside", *place)
        return receipt

    return send


def _refused() -> bool:
    return REFUSED.exists()


def _id(message: Message | Delivery) -> str:
    return dict(message.headers).get("ce_id", b"").decode()


class RecordingConsumer:
    """A consumer that writes down assignments and commits."""

    def __init__(self, inner: Consumer) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def start(self, *, on_assigned: Assigned, on_revoked: Assigned) -> None:
        async def assigned(partitions: frozenset[TopicPartition]) -> None:
            for where in sorted(partitions):
                at = time.monotonic()
                committed = await self._committed(where)
                generations[where] = generations.get(where, 0) + 1
                trace().step("assigned", generations[where], *where, committed, at=at)
            await on_assigned(partitions)

        async def revoked(partitions: frozenset[TopicPartition]) -> None:
            await on_revoked(partitions)
            for where in sorted(partitions):
                trace().step("revoked", generations[where], *where)

        await self._inner.start(on_assigned=assigned, on_revoked=revoked)

    async def _committed(self, where: TopicPartition) -> int:
        while True:
            try:
                return await self._inner.committed(where) or 0
            except TransportError:  # the broker is away; what is written down has to be true
                await asyncio.sleep(0.05)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        places = [(generations.get(where, 0), *where, at) for where, at in offsets.items()]
        for place in places:
            trace().step("committing", *place)
        try:
            await self._inner.commit(offsets)
        except LeaseLost:  # which of them it does not say
            for place in places:
                trace().step("refused", *place)
            raise
        for place in places:
            trace().step("committed", *place)
