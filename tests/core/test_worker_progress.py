"""When progress is committed: on an event loop whose time passes only while everybody waits."""

from __future__ import annotations

import asyncio
import selectors
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from vectis.core.message import TopicPartition
from vectis.core.settings import ConsumerSettings
from vectis.core.worker.partition import Partition
from vectis.core.worker.progress import Progress
from vectis.core.worker.report import Report

INTERVAL = 0.2
WHERE = TopicPartition("vectis.orders", 0)


class Leaping(selectors.SelectSelector):
    """Waits for nothing, and moves the clock on by as much."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now += timeout or 0.0
        return super().select(0)


class Commits:
    """A consumer that takes its time for a commit, while more and more is finished."""

    def __init__(self, takes: tuple[float, ...]) -> None:
        self.takes = takes  # seconds; the last one from then on
        self.looked: list[float] = []
        self.made: list[float] = []
        self.partition = Partition(WHERE, ConsumerSettings(), 1)
        self.partition.watermark.position = 1
        self.progress = Progress(self, Report(), INTERVAL)  # type: ignore[arg-type]

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset({WHERE})

    async def commit(self, offsets: object) -> None:
        loop = asyncio.get_running_loop()
        self.looked.append(loop.time())
        self.progress.moved(self.partition)
        await asyncio.sleep(self.takes[min(len(self.made), len(self.takes) - 1)])
        self.made.append(loop.time())
        if len(self.made) == self.wanted:
            self.committing.cancel()

    async def make(self, count: int) -> None:
        self.progress.moved(self.partition)
        self.wanted, self.committing = count, asyncio.create_task(self.progress.keep_committing())
        with suppress(asyncio.CancelledError):
            await self.committing


def commits(*takes: float) -> Commits:
    clock = Leaping()

    def loop() -> asyncio.AbstractEventLoop:
        made = asyncio.SelectorEventLoop(clock)
        made.time = lambda: clock.now  # type: ignore[method-assign]
        return made

    with asyncio.Runner(loop_factory=loop) as runner:
        found = Commits(takes)
        runner.run(found.make(10))
    return found


@pytest.mark.parametrize("takes", [0.0, 0.02, 0.09])
def test_what_comes_again_after_a_kill_is_of_one_interval(takes: float) -> None:
    found = commits(takes)
    first_on = zip(found.looked[1:], found.made[2:], strict=False)  # nobody knows the first's time
    assert max(made - looked for looked, made in first_on) <= INTERVAL + 0.005


def test_after_slow_commits_a_quick_one_waits_for_half_an_interval() -> None:
    looked = commits(*[3 * INTERVAL] * 5, 0.0).looked
    assert min(b - a for a, b in pairwise(looked)) >= INTERVAL / 2
