"""What the worker costs beside the same done by hand: no lanes, no retries, no watermark."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import attrs
import orjson

from tests.bench.figures import Bar, Figure, from_scratch, of_rounds
from vectis.core import Hub, event_type
from vectis.core.testing import MemoryTransport
from vectis.core.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vectis.core.message import TopicPartition

__all__ = ["worker_figures"]

_TOPIC = "bench.orders"
_MESSAGES = 40_000
_KEYS = 1000
_PAUSE = 0.01  # seconds that a waiting handler waits
_SIZES = {500: 35_000, 1000: 50_000}  # of them at once, and messages a second that were promised
_CPU = 20  # us of processor time a message, promised of both

_RAW = "fetch, read the JSON, await the handler, commit each batch"
_WORKER = "worker, order per key, the handler does nothing"
_TYPED = "worker, the handler takes a class of three fields and does nothing"


@event_type("order.created")
@attrs.frozen
class _Order:
    order_id: int
    grand_total: Decimal
    customer: str


async def worker_figures(rounds: int) -> list[Figure]:
    """Measure the worker on the memory transport.

    Args:
        rounds: How often each is measured; a handful, as a round takes seconds.
    """
    seconds: dict[str, list[float]] = {}
    rates: dict[str, list[float]] = {}

    async def measure(name: str, run: Callable[..., Awaitable[None]], *given: Any) -> None:
        from_scratch()
        wall, cpu = perf_counter(), process_time()
        await run(*given)
        seconds.setdefault(name, []).append((process_time() - cpu) / _MESSAGES)
        rates.setdefault(name, []).append(_MESSAGES / (perf_counter() - wall))

    for _ in range(rounds):
        transport = await _filled()
        await measure(_RAW, _raw, transport)
        await measure(_WORKER, _work, transport, 100, 0)
        await measure(_TYPED, _work_typed, transport)
        for size in _SIZES:
            await measure(_alone(size), _sleep, size)
            await measure(_waiting(size), _work, transport, size, _PAUSE)

    yardsticks = {_RAW: None, _WORKER: _RAW, _TYPED: _WORKER}
    for size in _SIZES:
        yardsticks |= {_alone(size): None, _waiting(size): _alone(size)}
    waiting = {_waiting(size): rate for size, rate in _SIZES.items()}
    promised = {_WORKER: 200_000, **waiting}
    costs = [
        of_rounds("worker: processor time a message", name, seconds, yardstick=yardstick)
        for name, yardstick in yardsticks.items()
    ]
    return [
        *(
            attrs.evolve(cost, bar=Bar(_CPU, of="value")) if cost.name in waiting else cost
            for cost in costs
        ),
        *(
            Figure(
                group="worker: best of the rounds",
                name=name,
                value=max(rates[name]),
                unit="/s",
                bar=Bar(promised[name], least=True, of="value") if name in promised else None,
            )
            for name in yardsticks
        ),
    ]


def _alone(size: int) -> str:
    return f"asyncio alone, {size} tasks wait {_PAUSE * 1000:g} ms again and again"


def _waiting(size: int) -> str:
    return f"worker, a handler that waits {_PAUSE * 1000:g} ms, {size} at once"


async def _filled() -> MemoryTransport:
    transport = MemoryTransport()
    async with Hub(plugins={"memory": transport}, discover=False) as hub:
        await hub.publish_many(
            _TOPIC,
            (
                {
                    "event_type": "order.created",
                    "payload": {"order_id": number, "grand_total": "129.90", "customer": "ada"},
                    "key": str(number % _KEYS),
                }
                for number in range(_MESSAGES)
            ),
        )
    return transport


async def _raw(transport: MemoryTransport) -> None:
    async def handle(event_type: str, payload: dict[str, Any]) -> None: ...

    async def nothing(partitions: frozenset[TopicPartition]) -> None: ...

    consumer = transport.consumer([_TOPIC], "raw")
    await consumer.start(on_assigned=nothing, on_revoked=nothing)
    left = _MESSAGES
    while left:
        deliveries = await consumer.fetch(max_records=500, timeout=1)
        ends = {}
        for delivery in deliveries:
            event_type = dict(delivery.headers)["ce_type"].decode()
            await handle(event_type, orjson.loads(delivery.value or b"null"))
            ends[delivery.topic_partition] = delivery.offset + 1
        await consumer.commit(ends)
        left -= len(deliveries)
    await consumer.close()


async def _work(transport: MemoryTransport, size: int, pause: float) -> None:
    settings = {"group": f"worker-{size}-{pause}", "concurrency": size, "max_in_flight": 10 * _KEYS}
    hub = Hub({"consumer": settings}, plugins={"memory": transport}, discover=False)
    left = _MESSAGES

    async def at_once(event_type: str, payload: dict[str, Any]) -> None:
        nonlocal left
        left -= 1
        if not left:
            worker.stop()

    async def waits(event_type: str, payload: dict[str, Any]) -> None:
        await asyncio.sleep(_PAUSE)
        await at_once(event_type, payload)

    hub.on_event("order.created", waits if pause else at_once, topic=_TOPIC)
    worker = Worker(hub)
    await worker.run()


async def _work_typed(transport: MemoryTransport) -> None:
    settings = {"group": "typed", "concurrency": 100, "max_in_flight": 10 * _KEYS}
    hub = Hub({"consumer": settings}, plugins={"memory": transport}, discover=False)
    left = _MESSAGES

    async def at_once(event: _Order) -> None:
        nonlocal left
        left -= 1
        if not left:
            worker.stop()

    hub.on_event("order.created", at_once, topic=_TOPIC)
    worker = Worker(hub)
    await worker.run()


async def _sleep(size: int) -> None:
    left = _MESSAGES

    async def again_and_again() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await asyncio.sleep(_PAUSE)

    await asyncio.gather(*[again_and_again() for _ in range(size)])
