"""How long a message is under way, from the call to the handler in another process."""

from __future__ import annotations

import asyncio
from statistics import median, quantiles
from time import monotonic
from typing import TYPE_CHECKING

from tests.bench.figures import Bar, Figure
from tests.bench.kafka.processes import Seen, until, worker_process
from tests.bench.kafka.records import KEYS, TYPE, new_group, payload
from vectis.core import Hub

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["latency_figures"]

_GROUP = "from publish to a handler in another process, 1,000 messages a second"
_RATE = 1000
_COUNT = 10_000
_WARM = 1000  # of them before it counts: the worker has joined its group with the first


async def latency_figures(servers: str, topic: str, folder: Path) -> list[Figure]:
    """Measure the time that messages are under way.

    Args:
        servers: The bootstrap servers.
        topic: An empty one.
        folder: For what the worker writes.
    """
    seen = Seen(folder / "latency", 8 * (_COUNT + 1))
    async with Hub({"redpanda": {"bootstrap_servers": servers}}) as hub:
        with worker_process(servers, topic, new_group(), seen, handler="note") as process:
            await hub.publish(topic, TYPE, payload(_COUNT), KEYS[0])
            await asyncio.to_thread(until, lambda: bool(seen.moments()[_COUNT]), process)
            sent = await _publish(hub, topic)
            await asyncio.to_thread(until, lambda: 0.0 not in seen.moments(), process)
    pairs = zip(seen.moments()[_WARM:_COUNT], sent[_WARM:], strict=True)
    under_way = [(handled - called) * 1000 for handled, called in pairs]
    late = quantiles(under_way, n=100)[98]
    return [
        Figure(group=_GROUP, name="p50", value=median(under_way), unit="ms"),
        Figure(group=_GROUP, name="p99", value=late, unit="ms", bar=Bar(25, of="value")),
    ]


async def _publish(hub: Hub, topic: str) -> list[float]:
    """Publish evenly, each message without waiting for the one before; return when."""
    sent: list[float] = []

    async def publish(number: int) -> None:
        sent.append(monotonic())
        await hub.publish(topic, TYPE, payload(number), KEYS[number % len(KEYS)])

    began = monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(_COUNT):
            wait = began + number / _RATE - monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            group.create_task(publish(number))
    return sent
