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

from vectis.core.events.consumer import on_event

TOPIC, SEEN, HANDLER, PAUSE = "BENCH_TOPIC", "BENCH_SEEN", "BENCH_HANDLER", "BENCH_PAUSE"
"""Variables that say what to read, where to note it, how, and how many seconds to wait."""

_pause = float(os.environ.get(PAUSE, 0))
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


on_event("order.created", topic=os.environ[TOPIC])(
    {"count": count, "note": note}[os.environ.get(HANDLER, "count")]
)
