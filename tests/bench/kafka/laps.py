"""What each competitor took for a message, round after round: time passed, and the processor's.

The broker is another process: its processor time is in none of these figures.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from tests.bench.figures import Figure, from_scratch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bench.figures import Bar

__all__ = ["Laps", "Stopwatch"]


class Stopwatch:
    """Measures one lap of one competitor, in seconds.

    Attributes:
        passed: Between `start` and `stop`.
        busy: The processor time of this process meanwhile.
    """

    def __init__(self) -> None:
        from_scratch()
        self.passed = self.busy = 0.0

    def start(self) -> None:
        """Begin."""
        self.passed, self.busy = -perf_counter(), -process_time()

    def stop(self) -> None:
        """End."""
        self.passed += perf_counter()
        self.busy += process_time()


class Laps:
    """The laps of all competitors of one group of figures.

    Args:
        group: The heading of the figures.
    """

    def __init__(self, group: str) -> None:
        self._group = group
        self._passed: dict[str, list[float]] = {}
        self._busy: dict[str, list[float]] = {}

    def note(self, name: str, messages: int, watch: Stopwatch) -> None:
        """Keep a lap of that many messages."""
        self._passed.setdefault(name, []).append(watch.passed / messages)
        self._busy.setdefault(name, []).append(watch.busy / messages)

    def rate(self, name: str, beside: str | None = None, bar: Bar | None = None) -> Figure:
        """Return messages a second, as a multiple of what it is compared with."""
        return Figure(
            group=f"{self._group}, messages a second",
            name=name,
            value=1 / median(self._passed[name]),
            unit="/s",
            ratio=None if beside is None else _ratio(self._passed, beside, name),
            yardstick=beside or "",
            bar=bar,
        )

    def cost(self, name: str, beside: str | None = None, bar: Bar | None = None) -> Figure:
        """Return the processor time a message, as a multiple of what it is compared with."""
        return Figure(
            group=f"{self._group}, processor time a message",
            name=name,
            value=median(self._busy[name]) * 1e6,
            unit="us",
            ratio=None if beside is None else _ratio(self._busy, name, beside),
            yardstick=beside or "",
            bar=bar,
        )


def _ratio(laps: Mapping[str, list[float]], upper: str, lower: str) -> float:
    """Return the median of the quotients of each round."""
    return median(one / other for one, other in zip(laps[upper], laps[lower], strict=True))
