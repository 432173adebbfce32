"""How many messages a second: publishing, and a worker's handlers, on memory and on SQLite."""

from __future__ import annotations

import asyncio
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Bar, Figure, from_scratch
from tests.bench.group_commit import in_batches, tasks
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
_WORKER = "a worker's handler does nothing"
_FIGURES: dict[str, tuple[str | None, int | None]] = {
    "SQLite alone: 100 tasks": (None, None),
    "SQLite: 100 tasks publish": ("SQLite alone: 100 tasks", 40_000),
    "SQLite alone: batches of 1,000": (None, None),
    "SQLite: publish_many": ("SQLite alone: batches of 1,000", 100_000),
    f"SQLite: {_WORKER}": (None, 100_000),
    "memory: 100 tasks publish": (None, None),
    "memory: publish_many": (None, None),
    f"memory: {_WORKER}": (None, None),
}
"""What is measured, with what it is compared, and the messages a second that were promised."""

_PAYLOAD = {"order_id": 7, "grand_total": "129.90", "lines": [{"sku": "A-1", "quantity": 2}]}


async def throughput_figures(rounds: int, folder: Path) -> list[Figure]:
    """Measure publishing and handling with memory and with SQLite, the latter beside SQLite alone.

    Args:
        rounds: How often each is measured.
        folder: Where the SQLite files are made.
    """
    group = {"consumer": {"group": "bench"}}
    memory = Hub({"hub": {"transport": "memory"}, **group}, plugins={"memory": MemoryTransport()})
    sqlite = Hub({"sqlite": {"path": str(folder / "events.db")}, **group})
    alone = folder / "alone.db"
    rates: dict[str, list[float]] = {name: [] for name in _FIGURES}
    for _ in range(rounds):
        rates["SQLite alone: 100 tasks"].append(_COUNT / await tasks(alone, _TASKS, _EACH))
        rates["SQLite alone: batches of 1,000"].append(_COUNT / in_batches(alone, _COUNT))
        for name, hub in (("SQLite", sqlite), ("memory", memory)):
            for what, count, took in (
                ("100 tasks publish", _COUNT, await _tasks(hub)),
                ("publish_many", _COUNT, await _many(hub)),
                (_WORKER, 2 * _COUNT, await _work(hub, 2 * _COUNT)),
            ):
                rates[f"{name}: {what}"].append(count / took)
    for hub in (memory, sqlite):
        await hub.shutdown()
    return [
        Figure(
            group="messages",
            name=name,
            value=median(rates[name]),
            unit="/s",
            ratio=None if beside is None else _ratio(rates[name], rates[beside]),
            yardstick=beside or "",
            bar=None if promised is None else Bar(promised, least=True, of="value"),
        )
        for name, (beside, promised) in _FIGURES.items()
    ]


def _ratio(rates: list[float], others: list[float]) -> float:
    return median(one / other for one, other in zip(rates, others, strict=True))


async def _tasks(hub: Hub) -> float:
    async def publish(key: str) -> None:
        for _ in range(_EACH):
            await hub.publish(_TOPIC, "order.created", _PAYLOAD, key)

    from_scratch()
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
    from_scratch()
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
    from_scratch()
    start = perf_counter()
    await worker.run()
    took = perf_counter() - start
    hub.unsubscribe(subscription)
    return took
