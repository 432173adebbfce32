from __future__ import annotations

import asyncio
from typing import Any

import pytest

from vectis.core import Event, Hub
from vectis.core.exceptions import EmitLoopError
from vectis_bus import Bus


@pytest.fixture
def hub() -> Hub:
    return Hub({}, plugins={"bus": Bus}, discover=False)


async def run(hub: Hub, event: Event) -> None:
    (await hub.emit(event)).raise_for_errors()


def test_nested_events_follow_the_one_whose_handler_emitted_them(hub: Hub) -> None:
    seen: dict[str, Event] = {}

    async def handle(event: Event) -> None:
        seen[event.type] = event
        following = {"a": "b", "b": "c"}.get(event.type)
        if following:
            await hub.emit(Event(following))

    hub.subscribe("*", handle)
    asyncio.run(run(hub, Event("a", correlation_id="request 7")))
    assert seen["a"].causation_id is None
    assert seen["b"].causation_id == seen["a"].id
    assert seen["c"].causation_id == seen["b"].id
    assert {event.correlation_id for event in seen.values()} == {"request 7"}


def test_events_emitted_one_after_another_do_not_follow_each_other(hub: Hub) -> None:
    hub.subscribe("*", lambda event: None)
    first, second = Event("a"), Event("b")

    async def main() -> None:
        await hub.emit(first)
        await hub.emit(second)

    asyncio.run(main())
    assert second.causation_id is None
    assert second.correlation_id != first.correlation_id


def test_a_nested_event_follows_also_when_nobody_handles_it(hub: Hub) -> None:
    lonely = Event("lonely")

    async def handle(event: Event) -> None:
        await hub.emit(lonely)

    hub.subscribe("a", handle)
    event = Event("a")
    asyncio.run(run(hub, event))
    assert lonely.causation_id == event.id


def test_events_emitted_side_by_side_by_one_handler_have_the_same_cause(hub: Hub) -> None:
    inner = [Event("inner") for _ in range(5)]

    async def handle(event: Event) -> None:
        await asyncio.gather(*(hub.emit(other) for other in inner))

    hub.subscribe("outer", handle)
    hub.subscribe("inner", lambda event: None)
    outer = Event("outer")
    asyncio.run(run(hub, outer))
    assert {event.causation_id for event in inner} == {outer.id}


def test_an_emit_from_a_handlers_thread_follows_too(hub: Hub) -> None:
    inner = Event("inner")

    async def handle(event: Event) -> None:
        await asyncio.to_thread(hub.emit_sync, inner)

    hub.subscribe("outer", handle)
    outer = Event("outer")
    asyncio.run(run(hub, outer))
    assert inner.causation_id == outer.id


def test_the_same_event_may_be_emitted_again(hub: Hub) -> None:
    seen: list[Event] = []
    hub.subscribe("a", seen.append)
    event = Event("a")

    async def main() -> None:
        await hub.emit(event)
        await hub.emit(event)

    asyncio.run(main())
    assert seen == [event, event]
    assert event.causation_id is None


def test_an_event_emitted_again_by_its_own_handler_is_not_its_own_cause(hub: Hub) -> None:
    seen: list[Event] = []

    async def handle(event: Event) -> None:
        seen.append(event)
        if len(seen) == 1:
            await hub.emit(event)

    hub.subscribe("a", handle)
    event = Event("a")
    asyncio.run(run(hub, event))
    assert len(seen) == 2
    assert event.causation_id is None


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_circle_ends_in_an_error_that_shows_it(hub: Hub, asynchronous: bool) -> None:
    following = {"order.created": "stock.reserved", "stock.reserved": "order.created"}

    async def later(event: Event) -> None:
        await hub.emit(Event(following[event.type]))

    def plain(event: Event) -> Any:
        return hub.emit(Event(following[event.type]))

    hub.subscribe("*", later if asynchronous else plain)
    with pytest.raises(EmitLoopError) as raised:
        asyncio.run(run(hub, Event("order.created")))
    message = str(raised.value)
    assert "nested more than 32 deep" in message
    assert "order.created -> stock.reserved -> order.created ... " in message.replace(
        "-> ...", "..."
    )
    assert "[hub] max_depth" in message


def test_an_event_that_emits_itself_is_a_circle_too(hub: Hub) -> None:
    hub.subscribe("a", hub.emit)
    with pytest.raises(EmitLoopError):
        asyncio.run(run(hub, Event("a")))


def test_a_circle_that_branches_ends_as_soon(hub: Hub) -> None:
    count: list[int] = []

    async def twice(event: Event) -> None:
        count.append(1)
        await hub.emit(Event("a"))
        await hub.emit(Event("a"))

    hub.subscribe("a", twice)
    with pytest.raises(EmitLoopError):
        asyncio.run(run(hub, Event("a")))
    assert len(count) == 33  # not 2 to the power of 32


def test_how_deep_is_the_operators_to_say() -> None:
    hub = Hub({"hub": {"max_depth": 2}}, plugins={"bus": Bus}, discover=False)
    seen: list[Event] = []

    async def handle(event: Event) -> None:
        seen.append(event)
        if event.data["left"]:
            await hub.emit(Event("a", {"left": event.data["left"] - 1}))

    hub.subscribe("a", handle)
    asyncio.run(run(hub, Event("a", {"left": 2})))
    assert len(seen) == 3
    with pytest.raises(EmitLoopError, match="a -> a -> a -> a"):
        asyncio.run(run(hub, Event("a", {"left": 3})))


def test_a_task_that_outlives_its_emit_is_caused_by_it_and_not_nested_in_it(hub: Hub) -> None:
    """A poller that re-arms itself in a new task each time is no circle."""
    seen: list[Event] = []
    tasks: list[asyncio.Task[Any]] = []

    async def poll(event: Event) -> None:
        seen.append(event)
        if len(seen) < 100:
            tasks.append(asyncio.create_task(again()))

    async def again() -> None:
        await asyncio.sleep(0)  # by now the emit that started this is over
        await hub.emit(Event("poll"))

    hub.subscribe("poll", poll)

    async def main() -> None:
        await run(hub, Event("poll"))
        while tasks:
            await tasks.pop()

    asyncio.run(main())
    assert len(seen) == 100
    assert seen[1].causation_id == seen[0].id
    assert {event.correlation_id for event in seen} == {seen[0].id}
