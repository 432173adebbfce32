from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from vectis.core import Event, Hub
from vectis_bus import Bus

if TYPE_CHECKING:
    from vectis.core.outcome import Outcome

PATTERNS = {  # each with the types below that it matches, written out by hand
    "order.created": {"order.created"},
    "order.*": {"order.created", "order.paid", "order.line.added"},
    "order.line.*": {"order.line.added"},
    "*.created": {"order.created", "product.created"},
    "*": {"order.created", "order.paid", "order.line.added", "product.created", "order"},
    "order": {"order"},
}
TYPES = sorted(set().union(*PATTERNS.values()))

subscriptions = st.lists(
    st.tuples(st.sampled_from(sorted(PATTERNS)), st.integers(-3, 3), st.booleans()), max_size=12
)


def emit(hub: Hub, event_type: str) -> Outcome:
    async def main() -> Outcome:
        return await hub.emit(Event(event_type))

    return asyncio.run(main())


@given(subscriptions, st.sampled_from(TYPES), st.data())
def test_matching_handlers_run_by_priority_and_ties_in_the_order_they_subscribed(
    wanted: list[tuple[str, int, bool]], event_type: str, data: st.DataObject
) -> None:
    hub = Hub({}, plugins={"bus": Bus}, discover=False)
    seen: list[int] = []
    made = []
    for number, (pattern, priority, is_async) in enumerate(wanted):

        def plain(event: Event, number: int = number) -> None:
            seen.append(number)

        async def asynchronous(event: Event, number: int = number) -> None:
            seen.append(number)

        handler = asynchronous if is_async else plain
        made.append(hub.subscribe(pattern, handler, priority=priority))
    gone = data.draw(st.sets(st.integers(0, len(wanted) - 1))) if wanted else set()
    for number in gone:
        hub.unsubscribe(made[number])

    outcome = emit(hub, event_type)

    expected = sorted(
        (priority, number)
        for number, (pattern, priority, _) in enumerate(wanted)
        if event_type in PATTERNS[pattern] and number not in gone
    )
    assert seen == [number for _, number in expected]
    assert [run.subscription for run in outcome.ran] == [made[number] for _, number in expected]
    assert outcome.status == "completed"
    assert outcome.skipped == ()


def test_the_same_handler_subscribed_twice_runs_twice() -> None:
    hub = Hub({}, plugins={"bus": Bus}, discover=False)
    seen: list[Event] = []
    hub.subscribe("a", seen.append, priority=2)
    hub.subscribe("*", seen.append, priority=1)
    assert len(emit(hub, "a").ran) == len(seen) == 2


def test_handlers_run_one_after_another_and_are_done_when_emit_returns() -> None:
    hub = Hub({}, plugins={"bus": Bus}, discover=False)
    seen: list[str] = []

    async def slow(event: Event) -> None:
        seen.append("slow begins")
        for _ in range(10):
            await asyncio.sleep(0)
        seen.append("slow ends")

    async def quick(event: Event) -> None:
        seen.append("quick")

    hub.subscribe("a", slow)
    hub.subscribe("a", quick)
    emit(hub, "a")
    assert seen == ["slow begins", "slow ends", "quick"]


def test_what_runs_is_what_the_carrier_says_it_would_run() -> None:
    from vectis.core.transport import Route

    hub = Hub({}, plugins={"bus": Bus}, discover=False)
    hub.subscribe("order.*", print, priority=3)
    hub.subscribe("order.created", print, priority=1)
    offer = hub.routing.offer(Route("process", "order.created"))
    assert offer is not None
    assert offer.plugin == "bus"
    assert [s.priority for s in offer.carrier.plan()] == [1, 3]
    assert "budget 100 ms" in offer.carrier.describe
