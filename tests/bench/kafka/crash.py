"""What comes again after a worker was killed at full speed, its handler doing nothing.

Promised is no more than was handled in one commit interval and what was in flight: what the worker
held above the watermarks, asked of itself and not what its settings would have let it hold.
"""

from __future__ import annotations

import json
from statistics import median
from time import monotonic, sleep
from typing import TYPE_CHECKING
from urllib.request import urlopen

from tests.bench.figures import Bar, Figure
from tests.bench.kafka.processes import Seen, until, worker_process
from tests.bench.kafka.records import new_group
from tests.kafka.ports import HOST, free_port
from vectis.core.settings import ConsumerSettings

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["crash_figures"]

_GROUP = "killed at full speed"
_BEGUN = 100_000  # messages that are handled before
_MORE = 100_000  # and after: by then each partition has gone on, and all of it has come again
_INTERVAL = ConsumerSettings().commit_interval
_ASKING = 0.05  # seconds before the kill, when the worker is asked what it holds


def crash_figures(
    servers: str, topic: str, count: int, folder: Path, kills: int = 3
) -> list[Figure]:
    """Kill workers, and count what the next one handles again.

    Args:
        servers: The bootstrap servers.
        topic: Has `count` messages.
        count: How many.
        folder: For what the workers write.
        kills: How often.
    """
    again, handled, held = [], [], []
    for number in range(kills):
        seen = Seen(folder / f"crash-{number}", count)
        one = _kill(servers, topic, seen)
        handled.append(one[0])
        held.append(one[1])
        again.append(one[2])
    before = f"handled in the {_INTERVAL * 1000:g} ms before"
    allowed = f"{before}, and held by the worker then"
    limits = [sum(both) for both in zip(handled, held, strict=True)]
    return [
        Figure(group=_GROUP, name=before, value=median(handled), unit="messages"),
        Figure(
            group=_GROUP,
            name="held by the worker then, by its own status: waiting, or finished out of order",
            value=median(held),
            unit="messages",
        ),
        Figure(
            group=_GROUP,
            name=f"handled again by the next worker, the most of {kills} kills, beside both",
            value=max(again),
            unit="messages",
            ratio=max(more / limit for more, limit in zip(again, limits, strict=True)),
            yardstick=allowed,
            bar=Bar(1.0),
        ),
    ]


def _kill(servers: str, topic: str, seen: Seen) -> tuple[int, int, int]:
    """Return how many were handled in the last interval, held at its end, and handled twice."""
    group, port = new_group(), free_port()
    with worker_process(servers, topic, group, seen, member="bench", health_port=port) as first:
        until(lambda: seen.handled() > _BEGUN, first)
        before, end = seen.handled(), monotonic() + _INTERVAL
        sleep(_INTERVAL - _ASKING)
        held = _held(port)
        sleep(max(0.0, end - monotonic()))
        first.kill()
        first.wait()
    at_the_end = seen.handled()
    with worker_process(servers, topic, group, seen, member="bench") as second:
        until(lambda: seen.handled() > at_the_end + _MORE, second)
    return at_the_end - before, held, seen.handled_again()


def _held(port: int) -> int:
    """Ask a worker how many deliveries it has that are above the watermark of their partition."""
    with urlopen(f"http://{HOST}:{port}/status", timeout=_INTERVAL * 50) as answer:
        return int(json.load(answer)["in_flight"])
