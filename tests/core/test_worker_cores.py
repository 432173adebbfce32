"""The worker's pure parts as state machines, against models too simple to be wrong."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vectis.core.worker.lanes import Lanes
from vectis.core.worker.rate import Rate
from vectis.core.worker.runners import Runners
from vectis.core.worker.watermark import Held, Watermark

if TYPE_CHECKING:
    from collections.abc import Coroutine


class WatermarkMachine(RuleBasedStateMachine):
    """Offsets with holes are received in order and finished in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.watermark: Watermark[Held] = Watermark()
        self.next = 0
        self.places: dict[int, Held] = {}
        self.received: list[int] = []
        self.finished: set[int] = set()
        self.advanced: list[int] = []  # what was unfinished when it was told to advance last
        self.known = 0  # how many were received by then

    @rule(hole=st.integers(0, 3))
    def receive(self, hole: int) -> None:
        offset = self.next + hole
        self.places[offset] = Held(offset, size=offset % 7)
        self.watermark.receive([self.places[offset]])
        self.received.append(offset)
        self.next = offset + 1

    @precondition(lambda self: len(self.finished) < len(self.received))
    @rule(data=st.data())
    def finish(self, data: Any) -> None:
        offset = data.draw(st.sampled_from(sorted(set(self.received) - self.finished)))
        self.places[offset].finished = True
        self.finished.add(offset)

    @invariant()
    def the_oldest_is_the_first_that_is_not_finished(self) -> None:
        oldest, open_ones = self.watermark.oldest, set(self.received) - self.finished
        assert (oldest and oldest.offset) == min(open_ones, default=None)

    @invariant()
    def a_look_sees_what_moving_it_would_show_and_moves_nothing(self) -> None:
        before = self.watermark.position, len(self.watermark)
        position, above = self.watermark.look()
        assert (self.watermark.position, len(self.watermark)) == before
        open_ones = set(self.received) - self.finished
        below = [offset for offset in self.received if not open_ones or offset < min(open_ones)]
        assert position == (below[-1] + 1 if below else None)
        assert [place.offset for place in above] == self.received[len(below) :]

    @rule()
    def advance(self) -> None:
        self.watermark.advance()
        self.advanced = sorted(set(self.received) - self.finished)
        self.known = len(self.received)

    @invariant()
    def everything_below_the_position_is_finished_and_the_first_above_is_not(self) -> None:
        # As of the last time that it was told to advance.
        known = self.received[: self.known]
        below = [o for o in known if not self.advanced or o < self.advanced[0]]
        assert self.watermark.position == (below[-1] + 1 if below else None)
        above = self.received[len(below) :]
        assert len(self.watermark) == len(above)
        assert self.watermark.size == sum(offset % 7 for offset in above)


TestWatermark = WatermarkMachine.TestCase


def test_offsets_that_do_not_grow_are_refused() -> None:
    watermark: Watermark[Held] = Watermark()
    place = Held(5, size=0)
    watermark.receive([place])
    place.finished = True
    watermark.advance()
    with pytest.raises(ValueError, match="offset 5 after 6"):
        watermark.receive([Held(6, size=0), Held(5, size=0)])
    assert len(watermark) == 0


class LanesMachine(RuleBasedStateMachine):
    """Items enter lanes and leave them; the model is one list a key, whose first item runs."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes: Lanes[Any] = Lanes()
        self.model: dict[str, list[Any]] = defaultdict(list)

    @rule(keys=st.lists(st.sampled_from("abc") | st.none()))
    def enter(self, keys: list[str | None]) -> None:
        items = [SimpleNamespace(lane=key) for key in keys]
        free = []
        for item in items:
            if item.lane is None or not self.model[item.lane]:
                free.append(item)
            if item.lane is not None:
                self.model[item.lane].append(item)
        assert self.lanes.enter(items) == free

    @precondition(lambda self: any(self.model.values()))
    @rule(data=st.data())
    def leave(self, data: Any) -> None:
        key = data.draw(st.sampled_from(sorted(k for k, items in self.model.items() if items)))
        item = self.model[key].pop(0)
        assert self.lanes.leave(item) is (self.model[key][0] if self.model[key] else None)

    @rule()
    def what_has_no_lane_leaves_none(self) -> None:
        assert self.lanes.leave(SimpleNamespace(lane=None)) is None

    @invariant()
    def a_lane_is_busy_as_long_as_it_holds_something(self) -> None:
        assert len(self.lanes) == sum(1 for items in self.model.values() if items)


TestLanes = LanesMachine.TestCase


@given(st.integers(1, 20), st.lists(st.floats(0, 120), max_size=60))
def test_never_more_in_any_minute_than_twice_what_is_allowed(
    per_minute: int, waits: list[float]
) -> None:
    rate, now, taken = Rate(per_minute), 0.0, list[float]()
    for wait in waits:
        now += wait
        if rate.take(now) == 0.0:
            taken.append(now)
    for moment in taken:
        # A minute's worth may have been saved up, and another one is earned meanwhile.
        assert sum(moment <= other < moment + 60 for other in taken) <= 2 * per_minute + 1


@given(st.integers(1, 20), st.lists(st.floats(0, 5), max_size=60))
def test_whoever_waits_as_long_as_told_is_allowed(per_minute: int, waits: list[float]) -> None:
    rate, now = Rate(per_minute), 0.0
    for wait in waits:
        now += wait
        told = rate.take(now)
        if told:
            now += told + 1e-6
            assert rate.take(now) == 0.0


@settings(max_examples=50)
@given(
    most=st.integers(1, 4),
    pauses=st.lists(st.integers(0, 3), min_size=1, max_size=40),
)
def test_every_job_runs_once_and_never_more_than_allowed_at_once(
    most: int, pauses: list[int]
) -> None:
    running, peak = 0, 0
    began: list[int] = []
    answers: list[tuple[int, str]] = []
    lost: list[int] = []

    def begin(job: int) -> Coroutine[Any, Any, str] | None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        began.append(job)
        if pauses[job]:
            return wait(job)
        running -= 1
        return None

    async def wait(job: int) -> str:
        for _ in range(pauses[job]):
            await asyncio.sleep(0)
        return f"waited for {job}"

    def done(job: int, answer: str) -> None:
        nonlocal running
        running -= 1
        answers.append((job, answer))

    async def main() -> None:
        runners = Runners(begin, done, lost.append, lost.append, most)
        runners.offer(range(len(pauses)))
        await runners.idle()
        await runners.close()

    asyncio.run(main())
    assert began == list(range(len(pauses)))
    assert lost == []
    assert sorted(answers) == [
        (job, f"waited for {job}") for job, pause in enumerate(pauses) if pause
    ]
    assert peak <= most


def test_jobs_that_do_not_wait_share_one_task() -> None:
    tasks: set[Any] = set()
    lost: list[int] = []

    def begin(job: int) -> None:
        tasks.add(asyncio.current_task())

    async def main() -> None:
        runners = Runners(begin, lambda job, answer: None, lost.append, lost.append, most=100)
        runners.offer(range(1000))
        await runners.idle()
        await runners.close()

    asyncio.run(main())
    assert len(tasks) == 1
