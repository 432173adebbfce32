"""Consuming: a handler that does nothing, and one that waits 10 ms; at least once, order per key.

What is measured is the time from the first message to the last one, without joining the group.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from functools import partial
from typing import TYPE_CHECKING

from tests.bench.figures import Bar
from tests.bench.kafka.laps import Laps, Stopwatch
from tests.bench.kafka.peers import (
    AT_LEAST_ONCE,
    AT_MOST_ONCE,
    faststream_consume,
)
from tests.bench.kafka.processes import ROOT, Seen, until, worker_process
from tests.bench.kafka.records import new_group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from tests.bench.figures import Figure

__all__ = ["consuming_figures"]

_PAUSE = 0.01  # seconds that a waiting handler waits

_RAW = "aiokafka: getmany, read the JSON, commit each batch"
_SPIKE = "lanes and a watermark by hand, nothing else"
_WORKER, _ON_UVLOOP = "worker", "worker on uvloop"
_LEAST, _MOST = "FastStream, at least once", "FastStream, at most once"
_WAITING, _WAITING_ON_UVLOOP = "worker, {size} at once", "worker on uvloop, {size} at once"
_WAITING_SPIKE = "lanes and a watermark by hand, {size} at once"
_SIZES = {500: 35_000, 1000: 50_000}  # handlers at once, and messages a second that were promised
_WORKERS = "FastStream, at most once, 100 workers, no order"
_CPU = 20  # us of processor time a message


async def consuming_figures(servers: str, topic: str, rounds: int, folder: Path) -> list[Figure]:
    """Measure consuming.

    Args:
        servers: The bootstrap servers.
        topic: Has enough messages for everybody.
        rounds: How often each has its turn.
        folder: For what the workers write.
    """
    nothing = Laps("consuming, the handler does nothing")
    waiting = Laps(f"consuming, the handler waits {_PAUSE * 1000:g} ms, 1,000 keys")
    pause, work = partial(asyncio.sleep, _PAUSE), partial(_work, folder=folder)
    on_uvloop = partial(work, event_loop="uvloop")
    # As many messages as each can take in half a second to a second; where handlers wait, more, as
    # the ten thousand that are held at first are unpacked and not handled.
    turns: list[tuple[Laps, str, int, Callable[..., Awaitable[int]]]] = [
        (nothing, _RAW, 100_000, _by_hand),
        (nothing, _SPIKE, 50_000, partial(_spike, size=100, pause=0.0)),
        (nothing, _WORKER, 50_000, work),
        (nothing, _ON_UVLOOP, 50_000, on_uvloop),
        (nothing, _LEAST, 1_000, partial(faststream_consume, **AT_LEAST_ONCE)),
        (nothing, _MOST, 10_000, partial(faststream_consume, **AT_MOST_ONCE)),
        *(
            (waiting, name.format(size=size), 100_000, partial(consume, size=size, pause=_PAUSE))
            for size in _SIZES
            for name, consume in (
                (_WAITING_SPIKE, _spike),
                (_WAITING, work),
                (_WAITING_ON_UVLOOP, on_uvloop),
            )
        ),
        (waiting, _LEAST, 80, partial(faststream_consume, wait=pause, **AT_LEAST_ONCE)),
        (
            waiting,
            _WORKERS,
            3_000,
            partial(faststream_consume, wait=pause, max_workers=100, **AT_MOST_ONCE),
        ),
    ]
    for _ in range(rounds):
        for laps, name, count, consume in turns:
            watch = Stopwatch()
            laps.note(name, await consume(servers, topic, count, watch), watch)

    ratio = Bar(0.4 if sys.version_info < (3, 12) else 0.5, least=True)
    return [
        nothing.rate(_RAW),
        nothing.rate(_SPIKE, _RAW),
        nothing.rate(_WORKER, _RAW, ratio),
        nothing.rate(_WORKER, bar=Bar(120_000, least=True, of="value")),
        nothing.rate(_ON_UVLOOP, _RAW),
        nothing.rate(_LEAST, _RAW),
        nothing.rate(_MOST, _RAW),
        nothing.cost(_RAW),
        *(nothing.cost(name, _RAW) for name in (_SPIKE, _WORKER, _ON_UVLOOP, _LEAST, _MOST)),
        *_of_waiting(waiting.rate, {n: Bar(r, least=True, of="value") for n, r in _SIZES.items()}),
        *_of_waiting(waiting.cost, dict.fromkeys(_SIZES, Bar(_CPU, of="value"))),
    ]


def _of_waiting(figure: Callable[..., Figure], bars: Mapping[int, Bar]) -> list[Figure]:
    """Return the figures of all who wait; the worker's beside what is done by hand."""
    figures = []
    for size, bar in bars.items():
        by_hand = _WAITING_SPIKE.format(size=size)
        figures += [
            figure(by_hand),
            figure(_WAITING.format(size=size), by_hand, bar),
            figure(_WAITING_ON_UVLOOP.format(size=size), by_hand),
        ]
    return figures + [figure(name) for name in (_LEAST, _WORKERS)]


async def _work(
    servers: str,
    topic: str,
    count: int,
    watch: Stopwatch,
    *,
    folder: Path,
    size: int | None = None,
    pause: float = 0.0,
    event_loop: str = "asyncio",
) -> int:
    """Let a worker handle that many messages, and measure from the first to the last of them.

    In a process of its own, as `vectis consume` is: with what its peers have imported in the same
    one, the garbage collector alone would take a fifth of the time.
    """
    seen = Seen(folder / "lap", 16)
    with worker_process(
        servers,
        topic,
        new_group(),
        seen,
        handler="measure",
        pause=pause,
        count=count,
        concurrency=size,
        event_loop=event_loop,
    ) as process:
        await asyncio.to_thread(until, lambda: seen.moments()[0] > 0, process)
    watch.passed, watch.busy = seen.moments()
    return count


async def _by_hand(servers: str, topic: str, count: int, watch: Stopwatch) -> int:
    """Do the same by hand, in a process of its own as well."""
    return await _run("by_hand", servers, topic, str(count), watch=watch)


async def _spike(
    servers: str, topic: str, count: int, watch: Stopwatch, *, size: int, pause: float
) -> int:
    """Do the least that order per key takes, in a process of its own too."""
    return await _run("spike", servers, topic, str(count), str(size), str(pause), watch=watch)


async def _run(script: str, *arguments: str, watch: Stopwatch) -> int:
    command = [sys.executable, "-m", f"tests.bench.kafka.{script}", *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, cwd=ROOT)
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    read: int
    read, watch.passed, watch.busy = json.loads(output)
    return read
