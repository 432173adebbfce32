"""The handlers of worker processes; what they see, the bench sees at once in a shared file.

Whatever was written there stays when the process is killed.
"""

from __future__ import annotations

import asyncio
import mmap
import os
from pathlib import Path
from time import monotonic
from typing import Any

from tests.bench.kafka.laps import Stopwatch
from vectis.core.events.consumer import on_event

TOPIC, SEEN, HANDLER, PAUSE = "BENCH_TOPIC", "BENCH_SEEN", "BENCH_HANDLER", "BENCH_PAUSE"
"""Variables that say what to read, where to note it, how, and how many seconds to wait."""

COUNT = "BENCH_COUNT"
"""The variable that says how many messages are measured."""

_pause = float(os.environ.get(PAUSE, 0))
_count = _left = int(os.environ.get(COUNT, 0))
_watch = Stopwatch()
with Path(os.environ[SEEN]).open("r+b") as file:
    _file = mmap.mmap(file.fileno(), 0)
_moments = memoryview(_file).cast("d")


async def count(event_type: str, payload: dict[str, Any]) -> None:
    """Count how often a message is handled: a byte each."""
    if _pause:
        await asyncio.sleep(_pause)
    _file[payload["number"]] += 1


async def note(event_type: str, payload: dict[str, Any]) -> None:
    """Note when a message is handled: a float each."""
    _moments[payload["number"]] = monotonic()


async def measure(event_type: str, payload: dict[str, Any]) -> None:
    """Note what passed from the first to the last of so many messages: two floats, as `Stopwatch`.

    Of the processor's seconds first: the other one tells that both are there.
    """
    global _left
    if _left == _count and not _watch.passed:
        _watch.start()
    if _pause:
        await asyncio.sleep(_pause)
    _left -= 1
    if _left == 0:
        _watch.stop()
        _moments[1], _moments[0] = _watch.busy, _watch.passed


on_event("order.created", topic=os.environ[TOPIC])(
    {"count": count, "note": note, "measure": measure}[os.environ.get(HANDLER, "count")]
)
