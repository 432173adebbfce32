from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from vectis.core import Event, Hub, hookimpl
from vectis.core.exceptions import EventCancelled
from vectis.core.transport import Route
from vectis_bus import Bus


@pytest.fixture
def hub() -> Hub:
    return Hub({}, plugins={"bus": Bus}, discover=False)


def emit(hub: Hub, event_type: str = "a") -> Any:
    async def main() -> Any:
        return await hub.emit(Event(event_type))

    return asyncio.run(main())


# Subscribing and unsubscribing while an emit is under way


def test_what_is_subscribed_during_an_emit_runs_from_the_next_one_on(hub: Hub) -> None:
    seen: list[str] = []

    def late(event: Event) -> None:
        seen.append("late")

    def first(event: Event) -> None:
        seen.append("first")
        if len(seen) == 1:
            hub.subscribe("a", late)

    hub.subscribe("a", first)
    emit(hub)
    assert seen == ["first"]
    emit(hub)
    assert seen == ["first", "first", "late"]


def test_what_is_unsubscribed_during_an_emit_still_runs_in_that_one(hub: Hub) -> None:
    seen: list[str] = []

    def second(event: Event) -> None:
        seen.append("second")

    def first(event: Event) -> None:
        seen.append("first")
        hub.unsubscribe("a", second)
        hub.unsubscribe("a", first)

    hub.subscribe("a", first)
    hub.subscribe("a", second)
    outcome = emit(hub)
    assert seen == ["first", "second"]
    assert len(outcome.ran) == 2
    assert emit(hub).ran == ()


def test_emits_of_several_tasks_run_side_by_side_and_each_in_order(hub: Hub) -> None:
    seen: list[tuple[int, int]] = []
    for priority in range(3):

        async def handle(event: Event, priority: int = priority) -> None:
            await asyncio.sleep(0)
            seen.append((event.data["n"], priority))

        hub.subscribe("a", handle, priority=priority)

    async def main() -> None:
        await asyncio.gather(*(hub.emit(Event("a", {"n": n})) for n in range(20)))

    asyncio.run(main())
    assert seen != sorted(seen)  # side by side
    assert sorted(seen) == [(n, priority) for n in range(20) for priority in range(3)]
    for n in range(20):
        assert [priority for m, priority in seen if m == n] == [0, 1, 2]


def test_two_loops_one_after_another_use_one_hub(hub: Hub) -> None:
    seen: list[object] = []

    async def handle(event: Event) -> None:
        await asyncio.sleep(0)
        seen.append(asyncio.get_running_loop())

    hub.subscribe("a", handle)
    emit(hub)
    emit(hub)
    assert len(set(map(id, seen))) == len(seen) == 2


def test_loops_in_several_threads_use_one_hub_at_once(hub: Hub) -> None:
    together = threading.Barrier(4)
    seen: list[tuple[object, object]] = []

    async def handle(event: Event) -> None:
        await asyncio.sleep(0)
        seen.append((event.data["loop"], asyncio.get_running_loop()))

    hub.subscribe("a", handle)

    async def main() -> None:
        together.wait(30)
        loop = asyncio.get_running_loop()
        for _ in range(50):
            (await hub.emit(Event("a", {"loop": loop}))).raise_for_errors()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: asyncio.run(main()), range(4)))
    assert len(seen) == 200
    assert all(given is running for given, running in seen)


def test_a_validating_handler_is_never_missed_while_others_come_and_go(hub: Hub) -> None:
    """The stress: threads emit, plain and on loops, while others change the subscriptions."""

    def veto(event: Event) -> None:
        raise EventCancelled("always")

    hub.subscribe("order.*", veto, priority=50)
    over = threading.Event()
    ran: list[Event] = []

    def change(seed: int) -> None:
        random = Random(seed)
        mine: list[Any] = []
        while not over.is_set():
            if mine and random.random() < 0.5:
                assert hub.unsubscribe(mine.pop(random.randrange(len(mine))))
            else:
                pattern = random.choice(["order.created", "order.*", "*", "other"])
                handler = random.choice([ran.append, lambda event: None])
                mine.append(hub.subscribe(pattern, handler, priority=random.randint(0, 49)))
        for subscription in mine:
            hub.unsubscribe(subscription)

    def emit_plain(n: int) -> int:
        vetoed = 0
        for _ in range(150):
            try:
                hub.emit_sync(Event("order.created"))
            except EventCancelled:
                vetoed += 1
        return vetoed

    async def emit_many() -> int:
        results = await asyncio.gather(
            *(hub.emit(Event("order.paid")) for _ in range(150)), return_exceptions=True
        )
        return sum(isinstance(result, EventCancelled) for result in results)

    with ThreadPoolExecutor(6) as threads:
        changes = [threads.submit(change, seed) for seed in (1, 2)]
        plain = [threads.submit(emit_plain, n) for n in (1, 2)]
        loops = [threads.submit(lambda: asyncio.run(emit_many())) for _ in (1, 2)]
        try:
            assert [future.result(60) for future in plain + loops] == [150] * 4
        finally:
            over.set()
        for future in changes:
            future.result(60)
    assert [s.pattern for s in hub.subscriptions] == ["order.*"]


# Any sequence of changes, against a list


class Subscriptions(RuleBasedStateMachine):
    """The bus agrees with a sorted list after any sequence of changes, also from inside an emit."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = Hub({}, plugins={"bus": Bus}, discover=False)
        self.model: list[tuple[int, int, str, Any]] = []
        self.made = 0
        self.seen: list[int] = []

    def add(self, pattern: str, priority: int, once: bool, then: str) -> None:
        number = self.made
        self.made += 1

        def handle(event: Event) -> None:
            self.seen.append(number)
            if then == "subscribe":
                self.add("b", 1, False, "nothing")
            elif then == "unsubscribe":
                self.remove(0)

        made = self.hub.subscribe(pattern, handler=handle, priority=priority, once=once)
        self.model.append((priority, number, pattern, made))

    @rule(
        pattern=st.sampled_from(["a", "b", "*"]),
        priority=st.integers(0, 2),
        once=st.booleans(),
        then=st.sampled_from(["nothing", "subscribe", "unsubscribe"]),
    )
    def subscribe(self, pattern: str, priority: int, once: bool, then: str) -> None:
        self.add(pattern, priority, once, then)

    @rule(place=st.integers(0, 5))
    def remove(self, place: int) -> None:
        if place < len(self.model):
            *_, made = self.model.pop(place)
            self.hub.unsubscribe(made)

    @rule(event_type=st.sampled_from(["a", "b"]))
    def emit(self, event_type: str) -> None:
        expected = sorted(
            (priority, number)
            for priority, number, pattern, _ in self.model
            if pattern in (event_type, "*")
        )
        ran = {number for _, number in expected}
        self.seen.clear()
        self.hub.emit_sync(Event(event_type)).raise_for_errors()
        assert self.seen == [number for _, number in expected]
        self.model = [row for row in self.model if not (row[3].once and row[1] in ran)]
        assert set(self.hub.subscriptions) == {row[3] for row in self.model}


TestSubscriptions = Subscriptions.TestCase
TestSubscriptions.settings = settings(max_examples=50, stateful_step_count=20)


def test_a_handler_subscribed_while_other_threads_emit_is_missed_by_no_later_emit() -> None:
    """An offer that was made from the old table must not outlive the change."""
    asked, go_on = threading.Event(), threading.Event()

    class SlowBus(Bus):
        @hookimpl
        def vectis_emit(self, route: Any, hub: Any) -> Any:
            offer = super().vectis_emit(route, hub)
            if route.name == "a.slow" and not go_on.is_set():
                asked.set()
                assert go_on.wait(30)
            return offer

    class Observer:  # with a lifecycle hook every emit asks for its carrier
        @hookimpl
        def vectis_after_emit(self) -> None: ...

    hub = Hub({}, plugins={"bus": SlowBus, "observer": Observer}, discover=False)
    seen: list[str] = []

    async def emit() -> None:
        await hub.emit(Event("a.slow"))

    with ThreadPoolExecutor() as threads:
        under_way = threads.submit(hub.routing.offer, Route("process", "a.slow"))
        assert asked.wait(30)
        hub.subscribe("a.*", lambda event: seen.append(event.type))
        go_on.set()
        under_way.result(30)
    asyncio.run(emit())
    assert seen == ["a.slow"]
