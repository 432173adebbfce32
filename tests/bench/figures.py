"""Measures competitors against each other and holds the result.

The machine may be busy, so nobody is measured alone: in every round each one has a turn of a few
milliseconds, its time is divided by that of its yardstick in the same round, and the median of all
rounds counts.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Mapping
from statistics import median
from typing import Literal

import attrs

__all__ = ["Bar", "Figure", "Turn", "compare", "from_scratch", "of_rounds"]

Turn = Callable[[int], Awaitable[float]]
"""Does something that many times, and returns the seconds that it took."""

_TURN = 0.004  # seconds: long beside the clock, short beside what disturbs the machine


@attrs.frozen
class Bar:
    """What was promised of a figure.

    Args:
        limit: The number that it is held against.
        least: Whether that is the least it may be, and not the most.
        of: Whether it is a promise of the ratio or of the value itself.
    """

    limit: float
    least: bool = False
    of: Literal["ratio", "value"] = "ratio"

    def __str__(self) -> str:
        return f"{'>=' if self.least else '<='} {self.limit:,g}"


@attrs.frozen(kw_only=True)
class Figure:
    """One line of the table.

    Args:
        group: The heading that it stands under.
        name: What was done.
        value: The measured value, in `unit`.
        unit: Such as `us`, `ms` or `/s`.
        ratio: The value as a multiple of the yardstick's; None for the yardstick and without one.
        yardstick: What it is compared with.
        bar: What was promised; None where nothing was.
    """

    group: str
    name: str
    value: float
    unit: str
    ratio: float | None = None
    yardstick: str = ""
    bar: Bar | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the bar holds; None without one."""
        if self.bar is None:
            return None
        measured = self.ratio if self.bar.of == "ratio" else self.value
        if measured is None:
            return None
        return measured >= self.bar.limit if self.bar.least else measured <= self.bar.limit


async def compare(turns: Mapping[str, Turn], rounds: int) -> dict[str, list[float]]:
    """Let each have a turn in every round, and return the seconds of one call, a list a name."""
    sizes = {name: await _size(turn) for name, turn in turns.items()}
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            seconds[name].append(await turn(sizes[name]) / sizes[name])
            await asyncio.sleep(0)  # the loop breathes, as a real one does
    return seconds


async def _size(turn: Turn) -> int:
    await turn(10)  # the first call may build something
    size = 1
    while await _shortest(turn, size) < _TURN:
        size *= 2
    return size


async def _shortest(turn: Turn, size: int) -> float:
    seconds = []
    for _ in range(3):
        seconds.append(await turn(size))
        await asyncio.sleep(0)
    return min(seconds)


def of_rounds(
    group: str,
    name: str,
    seconds: Mapping[str, list[float]],
    *,
    yardstick: str | None = None,
    bar: float | None = None,
    unit: str = "us",
) -> Figure:
    """Make the figure of one competitor from the rounds of all.

    Args:
        group: The heading that it stands under.
        name: The competitor, a key of `seconds`.
        seconds: What `compare` returned.
        yardstick: The competitor that it is compared with.
        bar: The ratio that must not be exceeded.
        unit: `us` or `ms`.
    """
    value = median(seconds[name]) * {"us": 1e6, "ms": 1e3}[unit]
    if yardstick is None:
        return Figure(group=group, name=name, value=value, unit=unit)
    pairs = zip(seconds[name], seconds[yardstick], strict=True)
    ratio = median(mine / other for mine, other in pairs)
    return Figure(
        group=group,
        name=name,
        value=value,
        unit=unit,
        ratio=ratio,
        yardstick=yardstick,
        bar=None if bar is None else Bar(bar),
    )


def from_scratch() -> None:
    """Begin a measurement: without the garbage of whoever ran before, and without their heap.

    Python's collector looks at all that is alive again and again. What others have left in the
    process, a hundred thousand messages of the memory transport for example, is no cost of ours.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
