"""Workers as processes of their own, such as a service starts, and what they have seen."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ROOT", "Seen", "until", "worker_process"]

ROOT = Path(__file__).parents[3]
_PATIENCE = 120.0  # seconds: something is wrong then


class Seen:
    """What handlers in other processes note in a file that all of them share.

    Args:
        file: Made anew, with nothing in it.
        size: Its bytes.
    """

    def __init__(self, file: Path, size: int) -> None:
        file.write_bytes(bytes(size))
        self.file = file
        with file.open("r+b") as opened:
            self._bytes = mmap.mmap(opened.fileno(), 0)

    def handled(self) -> int:
        """Return how many messages were handled, by `handlers.count`."""
        seen = self._bytes[:]
        return len(seen) - seen.count(0)

    def handled_again(self) -> int:
        """Return how many of them more than once."""
        seen = self._bytes[:]
        return len(seen) - seen.count(0) - seen.count(1)

    def moments(self) -> list[float]:
        """Return when each message was handled, by `handlers.note`; 0.0: not yet."""
        return [*memoryview(self._bytes[:]).cast("d")]


@contextmanager
def worker_process(
    servers: str,
    topic: str,
    group: str,
    seen: Seen,
    *,
    member: str | None = None,
    health_port: int | None = None,
    handler: str = "count",
    pause: float = 0.0,
    count: int = 0,
    concurrency: int | None = None,
    event_loop: str = "asyncio",
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker, and end it with SIGTERM afterwards if it has not ended.

    Args:
        servers: The bootstrap servers.
        topic: What it reads.
        group: The consumer group.
        seen: What its handlers note.
        member: A name that it keeps when it starts anew, so that its partitions stay its own.
        health_port: Where it tells its status; None: nowhere.
        handler: Which of `handlers`.
        pause: Seconds that the handler waits.
        count: How many messages `handlers.measure` measures.
        concurrency: How many handlers run at once; None: as many as by default.
        event_loop: What it runs on.
    """
    settings = {
        "VECTIS_REDPANDA_BOOTSTRAP_SERVERS": servers,
        "VECTIS_CONSUMER_GROUP": group,
        "BENCH_TOPIC": topic,
        "BENCH_SEEN": str(seen.file),
        "BENCH_HANDLER": handler,
        "BENCH_PAUSE": str(pause),
        "BENCH_COUNT": str(count),
        "VECTIS_CONSUMER_EVENT_LOOP": event_loop,
    }
    if concurrency is not None:
        settings["VECTIS_CONSUMER_CONCURRENCY"] = str(concurrency)
    if member is not None:
        settings["VECTIS_REDPANDA_GROUP_INSTANCE_ID"] = member
    if health_port is not None:
        settings["VECTIS_CONSUMER_HEALTH_PORT"] = str(health_port)
    outside = {name: text for name, text in os.environ.items() if not name.startswith("VECTIS_")}
    log = seen.file.with_suffix(".log")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "vectis.core.events.consumer", "tests.bench.kafka.handlers"],
            cwd=ROOT,
            env={**outside, **settings},
            stdout=output,
            stderr=output,
        )
        try:
            yield process
        except Unfinished as error:
            raise Unfinished(f"{error}; the worker wrote:\n{log.read_text()[-4000:]}") from error
        finally:
            process.terminate()
            process.wait(_PATIENCE)


class Unfinished(Exception):
    """What the bench waited for did not happen."""


def until(
    reached: Callable[[], bool], process: subprocess.Popen[bytes], pause: float = 0.02
) -> None:
    """Wait until a worker has come that far; raise `Unfinished` when it ends or takes too long."""
    end = monotonic() + _PATIENCE
    while not reached():
        if process.poll() is not None:
            raise Unfinished(f"the worker ended with {process.returncode}")
        if monotonic() > end:
            raise Unfinished(f"nothing for {_PATIENCE:g} s")
        sleep(pause)
