"""The memory of a worker process with a backlog of a million messages (on Linux)."""

from __future__ import annotations

import re
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

from tests.bench.figures import Bar, Figure
from tests.bench.kafka.processes import Seen, until, worker_process
from tests.bench.kafka.records import new_group

if TYPE_CHECKING:
    from subprocess import Popen

__all__ = ["memory_figures"]

_GROUP = "memory of a worker process, a backlog of a million messages"
_BAR = Bar(100, of="value")
_SLOW = 6.0  # seconds to look at a worker that does not keep up


def memory_figures(servers: str, topic: str, count: int, folder: Path) -> list[Figure]:
    """Measure the resident memory of a worker that does nothing, and of one that is slow.

    Args:
        servers: The bootstrap servers.
        topic: Has `count` messages.
        count: How many.
        folder: For what the workers write.
    """
    if not Path("/proc/self/status").exists():
        return []
    seen = Seen(folder / "memory", count)
    quick: list[float] = []
    with worker_process(servers, topic, new_group(), seen) as process:
        until(lambda: seen.handled() > count // 10, process)

        def finished() -> bool:
            quick.append(_resident(process))
            return seen.handled() == count

        until(finished, process, pause=0.1)

    seen = Seen(folder / "memory-slow", count)
    slow: list[float] = []
    with worker_process(servers, topic, new_group(), seen, pause=0.01) as process:
        until(lambda: seen.handled() > 0, process)
        end = monotonic() + _SLOW
        while monotonic() < end:
            slow.append(_resident(process))
            sleep(0.1)
    return [
        _figure("handled as fast as it can, a tenth of it done", quick[0]),
        _figure("the most from then on", max(quick), _BAR),
        _figure("a handler that waits 10 ms, 100 at once, the most", max(slow), _BAR),
    ]


def _figure(name: str, megabytes: float, bar: Bar | None = None) -> Figure:
    return Figure(group=_GROUP, name=name, value=megabytes, unit="MB", bar=bar)


def _resident(process: Popen[bytes]) -> float:
    """Return the megabytes of a process that are in memory, of any kind."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None, "the process runs"
    return int(found[1]) / 1000
