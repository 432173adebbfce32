"""What the watchdog says. These tests wait for its log records, never for a time."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import threading
import weakref
from time import monotonic, perf_counter, sleep
from typing import TYPE_CHECKING

import pytest

from vectis.core import Event, Hub
from vectis.core.exceptions import EventCancelled
from vectis_bus import Bus
from vectis_bus.ticker import ticker
from vectis_bus.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator

BUDGET = 0.02  # seconds


class Records(logging.Handler):
    """Keeps the bus's warnings, and lets a handler wait for one that contains a text."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self._changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self.messages.append(record.getMessage())
            self._changed.notify_all()

    def wait_for(self, text: str) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: bool(self.about(text)), timeout=30)

    def about(self, text: str) -> list[str]:
        return [message for message in self.messages if text in message]


@pytest.fixture
def records() -> Iterator[Records]:
    handler = Records()
    logging.getLogger("vectis.bus").addHandler(handler)
    yield handler
    logging.getLogger("vectis.bus").removeHandler(handler)


@pytest.fixture
def hub() -> Hub:
    return Hub({"bus": {"budget_ms": BUDGET * 1000}}, plugins={"bus": Bus}, discover=False)


def emit(hub: Hub, *types: str) -> None:
    async def main() -> None:
        for event_type in types:
            await hub.emit(Event(event_type))

    asyncio.run(main())


async def over_the_budget(event: Event) -> None:
    """Takes longer than the budget and lets the loop run meanwhile."""
    end = perf_counter() + 3 * BUDGET
    while perf_counter() < end:  # noqa: ASYNC110 - taking its time is what it is for
        await asyncio.sleep(0.001)


def test_a_handler_over_the_budget_is_named_and_told_where_longer_work_belongs(
    hub: Hub, records: Records
) -> None:
    hub.subscribe("a", over_the_budget)
    emit(hub, "a")
    (message,) = records.about(" took ")  # a machine that stalls may look like a blocked loop
    assert "handler app:over_the_budget on a took " in message
    assert "over the budget of 20 ms" in message
    assert "longer work belongs in a consumer (@on_event) or a workflow" in message


def test_the_right_one_of_several_is_named(records: Records) -> None:
    async def before(event: Event) -> None: ...

    def after(event: Event) -> None: ...

    while not (said := records.about(" took ")):
        hub = Hub({"bus": {"budget_ms": BUDGET * 1000}}, plugins={"bus": Bus}, discover=False)
        for handler in (before, before, over_the_budget, after, before):
            hub.subscribe("a", handler)
        emit(hub, "a")
        if records.about("without letting any thread run"):
            # The machine gave the watchdog's thread no turn, so that it cannot know which: once
            # more. What it says then is held by a test of its own.
            records.messages.clear()
    assert len(said) == len(records.about("app:over_the_budget on a took")) == 1


def test_a_handler_that_vetoes_after_too_long_is_named_too(hub: Hub, records: Records) -> None:
    async def slow_veto(event: Event) -> None:
        await over_the_budget(event)
        raise EventCancelled("no")

    hub.subscribe("a", slow_veto)
    with pytest.raises(EventCancelled):
        emit(hub, "a")
    assert records.about("slow_veto on a took")


def test_warnings_are_limited_for_each_handler_and_not_for_others(
    hub: Hub, records: Records
) -> None:
    async def another(event: Event) -> None:
        await over_the_budget(event)

    hub.subscribe("a", over_the_budget)
    hub.subscribe("b", another)
    emit(hub, "a", "a", "b", "a", "b")
    assert len(records.about("app:over_the_budget on a took")) == 1
    assert len(records.about("another on b took")) == 1


def test_a_budget_of_the_operator_holds(records: Records) -> None:
    hub = Hub({"bus": {"budget_ms": 60_000}}, plugins={"bus": Bus}, discover=False)
    hub.subscribe("a", over_the_budget)
    emit(hub, "a")
    assert records.messages == []


def test_a_blocking_handler_is_caught_while_it_blocks_with_its_stack(
    hub: Hub, records: Records
) -> None:
    caught: list[bool] = []

    def calls_something_slow() -> None:
        caught.append(records.wait_for("blocks the event loop"))

    async def blocks(event: Event) -> None:
        calls_something_slow()

    hub.subscribe("a", blocks)
    emit(hub, "a")
    assert caught == [True]
    (message,) = records.about("blocks the event loop")
    assert "handler app:blocks blocks the event loop for" in message
    assert "in blocks\n" in message
    assert "in calls_something_slow\n" in message
    assert len(records.messages) == 1  # all has been said: no second warning when it returned


def test_a_plain_handler_that_blocks_is_caught_too(hub: Hub, records: Records) -> None:
    caught: list[bool] = []

    def blocks(event: Event) -> None:
        caught.append(records.wait_for("app:blocks blocks the event loop"))

    hub.subscribe("a", blocks, once=True)
    emit(hub, "a")
    assert caught == [True]


def test_a_handler_that_emits_for_ever_without_a_pause_is_caught(
    hub: Hub, records: Records
) -> None:
    async def outer(event: Event) -> None:
        end = monotonic() + 30
        while not records.about("app:outer blocks") and monotonic() < end:
            await hub.emit(Event("inner"))

    async def inner(event: Event) -> None: ...

    hub.subscribe("outer", outer)
    hub.subscribe("inner", inner)
    emit(hub, "outer")
    assert records.about("app:outer blocks the event loop")
    assert not records.about("app:inner")


def test_many_short_emits_in_a_row_are_nobodys_fault(records: Records) -> None:
    hub = Hub({"bus": {"budget_ms": 300}}, plugins={"bus": Bus}, discover=False)

    async def quick(event: Event) -> None: ...

    hub.subscribe("a", quick)

    async def main() -> None:
        end = perf_counter() + 0.9
        while perf_counter() < end:
            await hub.emit(Event("a"))  # the loop is blocked all the time, by no handler

    asyncio.run(main())
    assert records.messages == []


def test_a_second_loop_is_watched_as_the_first(hub: Hub, records: Records) -> None:
    caught: list[bool] = []

    async def blocks(event: Event) -> None:
        caught.append(records.wait_for("app:blocks blocks the event loop"))

    async def quick(event: Event) -> None: ...

    hub.subscribe("a", quick)
    hub.subscribe("b", blocks)
    emit(hub, "a", "a")
    emit(hub, "b")  # another asyncio.run right afterwards
    assert caught == [True]


def test_a_loop_in_another_thread_is_watched_too(hub: Hub, records: Records) -> None:
    caught: list[bool] = []

    async def blocks(event: Event) -> None:
        caught.append(records.wait_for("app:blocks blocks the event loop"))

    async def quick(event: Event) -> None: ...

    hub.subscribe("a", quick)
    hub.subscribe("b", blocks)
    other = threading.Thread(target=emit, args=(hub, "b"))

    async def main() -> None:
        await hub.emit(Event("a"))
        other.start()
        while other.is_alive():
            await hub.emit(Event("a"))  # keeps the clock awake
            await asyncio.sleep(0.001)

    asyncio.run(main())
    other.join()
    assert caught == [True]


def test_code_that_lets_no_thread_run_is_named_afterwards(hub: Hub, records: Records) -> None:
    def hog(event: Event) -> None:
        count, took = 1_000_000, 0.0
        while took < 5 * BUDGET:  # in one call of code in C, which holds the interpreter lock
            began = perf_counter()
            sum(range(count))
            took = perf_counter() - began
            count *= 2

    async def innocent(event: Event) -> None: ...

    hub.subscribe("a", hog)
    hub.subscribe("a", innocent)
    hub.subscribe("a", innocent)
    emit(hub, "a")
    assert records.about("hog")
    assert records.about("innocent") == [
        message for message in records.about("one of the handlers") if "hog" in message
    ]


def test_the_clock_parks_when_nothing_happens_and_wakes_for_the_next_emit() -> None:
    watchdog = Watchdog(BUDGET)
    assert watchdog.now == 0.0
    for _ in range(2):
        assert watchdog.wake() > 0.0
        end = monotonic() + 30
        while watchdog.now and monotonic() < end:
            sleep(0.01)
        assert watchdog.now == 0.0


def test_every_hub_of_a_process_is_watched_by_the_same_thread() -> None:
    for _ in range(5):
        hub = Hub({}, plugins={"bus": Bus}, discover=False)
        hub.subscribe("a", lambda event: None)
        emit(hub, "a")
    threads = [thread for thread in threading.enumerate() if thread.name == "vectis-watchdog"]
    assert len(threads) == 1


def test_a_watchdog_that_is_awake_is_not_kept_alive_by_the_thread() -> None:
    watchdog = Watchdog(BUDGET)
    watchdog.wake()
    alive = weakref.ref(watchdog)
    del watchdog
    end = monotonic() + 30
    while alive() is not None and monotonic() < end:
        sleep(0.01)
        gc.collect()
    assert alive() is None


def test_an_error_in_the_watchdogs_thread_is_reported_and_the_others_are_watched_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken:
        parked = False

        def tick(self) -> float | None:
            raise OSError("a log handler that cannot write")

        def park(self) -> None:
            self.parked = True

    class Waits:
        def __init__(self) -> None:
            self.ticks: list[float] = []
            self.over = threading.Event()

        def tick(self) -> float | None:
            self.ticks.append(monotonic())
            if len(self.ticks) == 3:
                self.over.set()
                return None
            return 0.001

        def park(self) -> None: ...

    reported: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))
    broken, waits = Broken(), Waits()
    ticker.tick(broken, 0.0)
    ticker.tick(waits, 0.001)
    assert waits.over.wait(30)
    assert broken.parked
    assert [str(error) for error in reported] == ["a log handler that cannot write"]


def test_the_last_emits_of_a_process_need_no_thread() -> None:
    code = """
import atexit
from vectis.core import Event, Hub
from vectis_bus import Bus

hub = Hub({}, plugins={"bus": Bus}, discover=False)
hub.subscribe("a", lambda event: print("handled"))
atexit.register(lambda: [hub.emit_sync(Event("a")) for _ in range(2)])
"""
    # Since Python 3.12 no thread can be started at that time.
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["handled", "handled"]
    assert "Error" not in done.stderr


def test_an_over_budget_handler_without_a_loop_is_named(hub: Hub, records: Records) -> None:
    def slow(event: Event) -> None:
        sleep(3 * BUDGET)

    hub.subscribe("a", slow)
    hub.emit_sync(Event("a"))
    (message,) = records.messages
    assert "slow on a took" in message


@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_must_be_positive(budget: float) -> None:
    hub = Hub({"bus": {"budget_ms": budget}}, plugins={"bus": Bus}, discover=False)
    (plugin,) = hub.plugins
    assert plugin.state == "quarantined"
    assert "budget_ms" in plugin.reason
