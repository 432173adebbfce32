"""How long a message of another process takes to the handler of a worker that sleeps."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import contextmanager
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Bar, Figure
from vectis.core import Hub
from vectis.core.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["wakeup_figures"]

_TOPIC = "bench.wakeup"
_IDLE = 0.02  # seconds between messages: the worker is asleep by then

_PUBLISHER = f"""
import asyncio, sys, time
from vectis.core import Hub

async def main():
    hub = Hub({{"sqlite": {{"path": sys.argv[1]}}}})
    for _ in sys.stdin:
        await hub.publish("{_TOPIC}", "order.created", {{"at": time.monotonic()}}, "7")
    await hub.shutdown()

asyncio.run(main())
"""


async def wakeup_figures(count: int, folder: Path) -> list[Figure]:
    """Measure from the call of `publish` in one process to the handler in another, on SQLite.

    The commit is part of it. The clock is the system's, the same for both processes.

    Args:
        count: How many messages, one at a time.
        folder: Where the SQLite file is made.
    """
    file = folder / "wakeup.db"
    hub = Hub({"sqlite": {"path": str(file)}, "consumer": {"group": "bench"}})
    took: list[float] = []
    arrived = asyncio.Event()

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        took.append(time.monotonic() - payload["at"])
        arrived.set()

    hub.on_event("order.created", handle, topic=_TOPIC)
    worker = Worker(hub)
    with _publisher(file) as publisher:
        running = asyncio.create_task(worker.run())
        assert publisher.stdin is not None
        for _ in range(count + 1):
            publisher.stdin.write(b"\n")
            publisher.stdin.flush()
            await arrived.wait()
            arrived.clear()
            await asyncio.sleep(_IDLE)
        worker.stop()
        await running
    await hub.shutdown()
    percentiles = quantiles(took[1:], n=100)  # the first one opened the file
    return [
        Figure(
            group="messages",
            name=f"SQLite: another process wakes a worker up, p{percent}",
            value=percentiles[percent - 1] * 1000,
            unit="ms",
            bar=bar,
        )
        for percent, bar in ((50, None), (99, Bar(10, of="value")))
    ]


@contextmanager
def _publisher(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that publishes a message for each line it reads."""
    command = [sys.executable, "-c", _PUBLISHER, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.stdin.close()  # type: ignore[union-attr]  # it has a pipe
            process.wait()
