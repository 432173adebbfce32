"""How many messages a second: publishing, and a worker's handlers, on memory and on SQLite."""

from __future__ import annotations

import asyncio
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Figure
from vectis.core import Hub
from vectis.core.testing import MemoryTransport
from vectis.core.worker import Worker

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["throughput_figures"]

_TOPIC = "bench.orders"
_TASKS = 100
_EACH = 200  # messages of each task
_COUNT = _TASKS * _EACH
_PAYLOAD = {"order_id": 7, "grand_total": "129.90", "lines": [{"sku": "A-1", "quantity": 2}]}


async def throughput_figures(rounds: int, folder: Path) -> list[Figure]:
    """Measure publishing with memory and with SQLite.

    Args:
        rounds: How often each is measured.
        folder: Where the SQLite file is made.
    """
    group = {"consumer": {"group": "bench"}}
    memory = Hub({"hub": {"transport": "memory"}, **group}, plugins={"memory": MemoryTransport()})
    sqlite = Hub({"sqlite": {"path": str(folder / "events.db")}, **group})
    rates: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, hub in (("memory", memory), ("SQLite", sqlite)):
            for what, count, took in (
                (f"{_TASKS} tasks publish", _COUNT, await _tasks(hub)),
                ("publish_many", _COUNT, await _many(hub)),
                ("a worker's handler does nothing", 2 * _COUNT, await _work(hub, 2 * _COUNT)),
            ):
                rates.setdefault(f"{name}: {what}", []).append(count / took)
    for hub in (memory, sqlite):
        await hub.shutdown()
    figures = [
        Figure(group="messages", name=name, value=median(measured), unit="/s")
        for name, measured in rates.items()
    ]
    return sorted(figures, key=lambda figure: figure.name)


async def _tasks(hub: Hub) -> float:
    async def publish(key: str) -> None:
        for _ in range(_EACH):
            await hub.publish(_TOPIC, "order.created", _PAYLOAD, key)

    start = perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(_TASKS):
            group.create_task(publish(str(number)))
    return perf_counter() - start


async def _many(hub: Hub) -> float:
    events: list[dict[str, Any]] = [
        {"event_type": "order.created", "payload": _PAYLOAD, "key": str(number % _TASKS)}
        for number in range(_COUNT)
    ]
    start = perf_counter()
    await hub.publish_many(_TOPIC, events)
    return perf_counter() - start


async def _work(hub: Hub, count: int) -> float:
    """Let a worker take what was published since the last one, first delivery to last commit."""
    waiting = count

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        nonlocal waiting
        waiting -= 1
        if waiting == 0:
            worker.stop()

    subscription = hub.on_event("order.created", handle, topic=_TOPIC)
    worker = Worker(hub)
    start = perf_counter()
    await worker.run()
    took = perf_counter() - start
    hub.unsubscribe(subscription)
    return took
