"""A small world for tests of the worker: a hub, a memory transport, a diary of the hooks."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs

from vectis.core import Hub, hookimpl
from vectis.core.exceptions import TransportError
from vectis.core.partition import partition_of
from vectis.core.testing import MemoryTransport
from vectis.core.worker import Report, Worker
from vectis.core.worker.status import WorkerStatus
from vectis_bus import Bus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Container, Iterator, Mapping, Sequence

    from vectis.core.dead_letter import DeadLetter
    from vectis.core.message import Delivery, Message, Receipt, TopicPartition
    from vectis.core.outcome import DeliveryOutcome, HandlerFailure
    from vectis.core.subscription import Subscription
    from vectis.core.transport import Assigned, Carrier, Consumer

DEADLINE = 45.0
TOPIC = "vectis.orders"
LETTERS = "vectis.orders.dlq"


class FailingTransport(MemoryTransport):
    """A memory transport that can be told to fail, as a broker that is away does.

    Attributes:
        failing: What fails now: `fetch`, `commit`, or a topic's name for sending to it.
        calls: How often what failed was called.
        consumers: The consumers made, to be looked at.
        commits: What was committed, commit by commit.
        changes: What each consumer was told of partitions, as `(consumer, "revoked", partitions)`.
            `"revoking"` and `"assigning"` are there before its callback returns.
    """

    def __init__(self, *, partitions: int = 1, skip_offsets: Container[int] = ()) -> None:
        super().__init__(partitions=partitions, skip_offsets=skip_offsets)
        self.failing: set[str] = set()
        self.calls = 0
        self.consumers: list[Consumer] = []
        self.commits: list[dict[TopicPartition, int]] = []
        self.changes: list[tuple[Consumer, str, frozenset[TopicPartition]]] = []

    def told(self, worker: int, what: str) -> frozenset[TopicPartition]:
        """The partitions of which the nth worker was told this."""
        told = [
            ps for who, word, ps in self.changes if (who, word) == (self.consumers[worker], what)
        ]
        return frozenset().union(*told)

    def check(self, what: str) -> None:
        if what in self.failing:
            self.calls += 1
            raise TransportError(f"{what}: the broker is away")

    def carrier(self, topic: str) -> Carrier:
        real = super().carrier(topic)

        async def send(message: Message) -> Receipt:
            self.check(topic)
            receipt: Receipt = await real.send(message)
            return receipt

        return attrs.evolve(real, send=send)

    def consumer(self, topics: Sequence[str], group: str | None) -> Consumer:
        consumer: Any = super().consumer(topics, group)
        start, fetch, commit = consumer.start, consumer.fetch, consumer.commit

        async def noted_start(*, on_assigned: Assigned, on_revoked: Assigned) -> None:
            def noted(callback: Assigned, before: str, after: str) -> Assigned:
                async def call(partitions: frozenset[TopicPartition]) -> None:
                    self.changes.append((consumer, before, partitions))
                    await callback(partitions)
                    self.changes.append((consumer, after, partitions))

                return call

            await start(
                on_assigned=noted(on_assigned, "assigning", "assigned"),
                on_revoked=noted(on_revoked, "revoking", "revoked"),
            )

        async def checked_fetch(*, max_records: int, timeout: float) -> list[Delivery]:
            self.check("fetch")
            deliveries: list[Delivery] = await fetch(max_records=max_records, timeout=timeout)
            return deliveries

        async def checked_commit(offsets: Mapping[TopicPartition, int]) -> None:
            self.check("commit")
            self.commits.append(dict(offsets))
            await commit(offsets)

        consumer.start, consumer.fetch = noted_start, checked_fetch
        consumer.commit = checked_commit
        self.consumers.append(consumer)
        return consumer  # type: ignore[no-any-return]  # the same object, with methods replaced


@attrs.define
class Diary:
    """A plugin that writes down what the worker's hooks were told."""

    attempts: list[tuple[str, int]] = attrs.Factory(list)
    left: list[str] = attrs.Factory(list)
    outcomes: list[DeliveryOutcome] = attrs.Factory(list)
    places: list[str] = attrs.Factory(list)
    failures: list[HandlerFailure] = attrs.Factory(list)
    letters: list[DeadLetter] = attrs.Factory(list)

    @hookimpl
    def vectis_around_consume(self, delivery: Delivery, subscription: Subscription) -> Any:
        @asynccontextmanager
        async def around() -> AsyncIterator[None]:
            self.attempts.append((subscription.name, delivery.attempt))
            try:
                yield
            finally:
                self.left.append(subscription.name)

        return around()

    @hookimpl
    def vectis_after_consume(self, delivery: Delivery, outcome: DeliveryOutcome) -> None:
        self.places.append(delivery.place)
        self.outcomes.append(outcome)

    @hookimpl
    def vectis_handler_error(self, failure: HandlerFailure) -> None:
        self.failures.append(failure)

    @hookimpl
    def vectis_dead_letter(self, letter: DeadLetter) -> None:
        self.letters.append(letter)


def keys_of(partition: int, *, of: int) -> Iterator[str]:
    """Keys whose messages go to this one of so many partitions."""
    return (
        key for key in map(str, range(1_000_000)) if partition_of(key.encode(), of) == partition
    )


class Doors:
    """A handler that writes down what it begins and ends, and waits at doors that are closed.

    Args:
        closed: The numbers of the payloads that wait.
    """

    def __init__(self, *closed: int) -> None:
        self.closed = {number: asyncio.Event() for number in closed}
        self.began: list[int] = []
        self.ended: list[int] = []
        self.most = 0
        self.__qualname__ = "doors"

    async def __call__(self, event_type: str, payload: dict[str, Any]) -> None:
        number = payload["n"]
        self.began.append(number)
        self.most = max(self.most, len(self.began) - len(self.ended))
        if number in self.closed:
            await self.closed[number].wait()
        self.ended.append(number)

    def open(self, *numbers: int) -> None:
        """Open doors; all of them when none is named."""
        for number in numbers or self.closed:
            self.closed[number].set()


class Shop:
    """A hub with its transport and diary; `work` runs a worker on it until a condition holds.

    Args:
        partitions: Of each topic.
        max_message_bytes: `[hub] max_message_bytes`.
        handlers: The tables `[handlers]`.
        plugins: Further plugins.
        observers: Observers that are no plugins.
        hooks: Whether the diary is a plugin; without any hook the worker takes a shorter way.
        consumer: Keys of `[consumer]`.
    """

    def __init__(
        self,
        *,
        partitions: int = 1,
        max_message_bytes: int = 1_000_000,
        handlers: Mapping[str, Any] | None = None,
        plugins: Mapping[str, Any] | None = None,
        observers: Sequence[object] = (),
        hooks: bool = True,
        transport: FailingTransport | None = None,
        **consumer: Any,
    ) -> None:
        self.transport = transport or FailingTransport(partitions=partitions)
        self.diary = Diary()
        quick = {"group": "shop", "commit_interval": 0, "retry_initial": 0.001, "retry_max": 0.01}
        self.hub = Hub(
            {
                "consumer": {**quick, **consumer},
                "hub": {"max_message_bytes": max_message_bytes},
                "handlers": handlers or {},
            },
            plugins={
                "memory": self.transport,
                "bus": Bus(),
                **({"diary": self.diary} if hooks else {}),
                **(plugins or {}),
            },
            discover=False,
            observers=observers,
        )
        self.report = Report()

    def on(self, event_type: str, handler: Callable[..., Any], *, batch: int | None = None) -> None:
        self.hub.on_event(event_type, handler, topic=TOPIC, batch=batch)

    async def publish(
        self, *numbers: int, event_type: str = "order.created", key: str | None = "7"
    ) -> None:
        for number in numbers:
            await self.hub.publish(
                TOPIC, event_type, {"n": number}, key, event_id=f"{event_type}-{number}"
            )

    async def put(self, message: Message) -> Receipt:
        """Send a message as some foreign producer would."""
        receipt: Receipt = await self.transport.carrier(message.topic).send(message)
        return receipt

    async def work(self, until: Callable[[], bool], *, worker: Worker | None = None) -> Report:
        """Run a worker until the condition holds, stop it, and return its report."""
        worker = worker or Worker(self.hub)
        running = asyncio.ensure_future(worker.run())
        try:
            await eventually(lambda: until() or running.done())
        finally:
            worker.stop()
            self.report = await running
        return self.report

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[Worker]:
        """Run a worker meanwhile, and stop it in the end."""
        worker = Worker(self.hub)
        running = asyncio.ensure_future(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            self.report = await running

    def finished(self, count: int) -> Callable[[], bool]:
        """The condition that this many deliveries are finished."""
        return lambda: len(self.diary.outcomes) >= count

    def committed(self, topic: str = TOPIC) -> dict[int, int]:
        """What the group has committed, by partition."""
        for state in self.transport.describe_topics():
            if state.name == topic:
                return {
                    number: partition.committed["shop"]
                    for number, partition in enumerate(state.partitions)
                    if "shop" in partition.committed
                }
        return {}

    async def letters(self) -> list[Delivery]:
        """What is in the dead-letter topic."""
        return await read(self.transport, LETTERS)


async def read(transport: MemoryTransport, topic: str) -> list[Delivery]:
    """Return everything in a topic."""

    async def nothing(partitions: frozenset[TopicPartition]) -> None:
        pass

    consumer = MemoryTransport.consumer(transport, [topic], None)
    await consumer.start(on_assigned=nothing, on_revoked=nothing)
    found = await consumer.fetch(max_records=1000, timeout=0)
    await consumer.close()
    return found


async def eventually(condition: Callable[[], bool]) -> None:
    """Return as soon as a condition holds, or fail after a generous while."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - what is waited for is not ours to signal
            await asyncio.sleep(0.002)


def a_status(**values: Any) -> WorkerStatus:
    """The status of a worker that is well, but for these values."""
    usual = {
        "time": datetime(2026, 1, 1, tzinfo=UTC),
        "pid": 1,
        "group": "shop",
        "transport": "memory",
        "state": "running",
        "since_fetch": 0.1,
    }
    return WorkerStatus(**{**usual, **values})
