"""What comes again after a worker was killed at full speed, its handler doing nothing."""

from __future__ import annotations

from statistics import median
from time import sleep
from typing import TYPE_CHECKING

from tests.bench.figures import Bar, Figure
from tests.bench.kafka.peers import new_group
from tests.bench.kafka.processes import Seen, until, worker_process
from vectis.core.settings import ConsumerSettings

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["crash_figures"]

_GROUP = "killed at full speed"
_BEGUN = 100_000  # messages that are handled before
_MORE = 100_000  # and after: by then each partition has gone on, and all of it has come again
_INTERVAL = ConsumerSettings().commit_interval


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
    again, within = [], []
    for number in range(kills):
        seen = Seen(folder / f"crash-{number}", count)
        interval, more = _kill(servers, topic, seen)
        within.append(interval)
        again.append(more)
    handled = f"handled in the {_INTERVAL * 1000:g} ms before"
    return [
        Figure(group=_GROUP, name=handled, value=median(within), unit="messages"),
        Figure(
            group=_GROUP,
            name=f"handled again by the next worker, the most of {kills} kills",
            value=max(again),
            unit="messages",
            ratio=max(more / before for more, before in zip(again, within, strict=True)),
            yardstick=handled,
            bar=Bar(1.0),
        ),
    ]


def _kill(servers: str, topic: str, seen: Seen) -> tuple[int, int]:
    """Return how many messages were handled in the last interval, and how many twice."""
    group = new_group()
    with worker_process(servers, topic, group, seen, member="bench") as first:
        until(lambda: seen.handled() > _BEGUN, first)
        before = seen.handled()
        sleep(_INTERVAL)
        first.kill()
        first.wait()
    at_the_end = seen.handled()
    with worker_process(servers, topic, group, seen, member="bench") as second:
        until(lambda: seen.handled() > at_the_end + _MORE, second)
    return at_the_end - before, seen.handled_again()
