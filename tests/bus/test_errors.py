from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from vectis.core import Event, Hub, hookimpl
from vectis.core.exceptions import EventCancelled, HandlerErrors
from vectis.core.outcome import HandlerFailure, Outcome
from vectis_bus import Bus

CREATED = "order.created"


@pytest.fixture
def hub() -> Hub:
    return Hub({}, plugins={"bus": Bus}, discover=False)


def emit(hub: Hub, event: Event | None = None) -> Outcome:
    async def main() -> Outcome:
        return await hub.emit(event or Event(CREATED))

    return asyncio.run(main())


def fail(event: Event) -> None:
    raise ValueError("no stock")


# Isolation


def test_an_error_stops_neither_the_emitter_nor_later_handlers(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Event] = []
    failing = hub.subscribe(CREATED, fail)
    hub.subscribe(CREATED, seen.append)
    event = Event(CREATED)
    outcome = emit(hub, event)
    assert seen == [event]
    assert outcome.status == "completed"
    (failure,) = outcome.failures
    assert (failure.event, failure.subscription, str(failure.error)) == (
        event,
        failing,
        "no stock",
    )
    assert (failure.attempt, failure.will_retry, failure.delivery) == (1, False, None)
    assert [run.error for run in outcome.ran] == [failure.error, None]
    (record,) = caplog.records
    assert "handler app:fail failed on order.created: " in record.getMessage()
    assert record.exc_info


def test_no_line_of_the_log_can_be_forged_by_an_event_type(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.subscribe("*", fail)
    emit(hub, Event.received("a\nCRITICAL all is lost", {}, id="1"))  # of another producer
    (record,) = caplog.records
    assert "failed on a CRITICAL all is lost: ValueError" in record.getMessage()
    assert "\n" not in record.getMessage()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_errors_of_plain_and_async_handlers_are_isolated_alike(
    hub: Hub, asynchronous: bool
) -> None:
    async def fail_later(event: Event) -> None:
        await asyncio.sleep(0)
        raise ValueError("no stock")

    hub.subscribe(CREATED, fail_later if asynchronous else fail)
    assert len(emit(hub).failures) == 1


def test_raise_for_errors_raises_all_of_them_in_one(hub: Hub) -> None:
    hub.subscribe(CREATED, fail)
    hub.subscribe(CREATED, fail)
    outcome = emit(hub)
    with pytest.raises(HandlerErrors, match=r"2 handlers of order\.created failed") as raised:
        outcome.raise_for_errors()
    assert raised.value.failures == outcome.failures
    assert "app:fail on order.created: ValueError: no stock" in str(raised.value)
    assert raised.value.__cause__ is outcome.failures[0].error


def test_without_errors_there_is_nothing_to_raise(hub: Hub) -> None:
    emit(hub).raise_for_errors()


def test_every_error_is_given_to_the_hook() -> None:
    seen: list[HandlerFailure] = []

    class Acme:
        @hookimpl
        async def vectis_handler_error(self, failure: HandlerFailure) -> None:
            seen.append(failure)

    hub = Hub({}, plugins={"bus": Bus, "acme": Acme}, discover=False)
    hub.subscribe(CREATED, fail)
    assert emit(hub).failures == tuple(seen)


def test_cancelling_while_the_hook_is_told_aborts_the_emit() -> None:
    class Acme:
        @hookimpl
        async def vectis_handler_error(self) -> None:
            raise asyncio.CancelledError

    outcomes: list[Outcome] = []

    class Watch:
        @hookimpl
        def vectis_after_emit(self, outcome: Outcome) -> None:
            outcomes.append(outcome)

    hub = Hub({}, plugins={"bus": Bus, "acme": Acme, "watch": Watch}, discover=False)
    hub.subscribe(CREATED, fail)
    later = hub.subscribe(CREATED, print)
    with pytest.raises(asyncio.CancelledError):
        emit(hub)
    assert [(o.status, o.skipped, o.finished) for o in outcomes] == [("aborted", (later,), True)]


# Vetoes


def test_a_veto_carries_everything_the_emitter_wants_to_know(hub: Hub) -> None:
    def limit(event: Event) -> None:
        raise EventCancelled("over the limit")

    early = hub.subscribe(CREATED, lambda event: None, priority=1)
    vetoing = hub.subscribe(CREATED, limit, priority=2)
    skipped = (hub.subscribe(CREATED, fail, priority=3), hub.subscribe(CREATED, fail, priority=3))
    event = Event(CREATED)
    with pytest.raises(EventCancelled) as raised:
        emit(hub, event)
    veto = raised.value
    assert (veto.reason, str(veto)) == ("over the limit", "over the limit")
    assert veto.event is event
    assert veto.handler is limit
    assert veto.plugin == "app"
    assert veto.skipped == skipped
    assert veto.outcome is not None
    assert veto.outcome.status == "cancelled"
    assert [run.subscription for run in veto.outcome.ran] == [early, vetoing]
    assert veto.outcome.skipped == skipped
    assert veto.outcome.failures == ()


def test_one_error_object_vetoes_every_time_it_is_raised(hub: Hub) -> None:
    no = EventCancelled("no")

    def veto(event: Event) -> None:
        raise no

    hub.subscribe(CREATED, veto)
    for _ in range(2):
        event = Event(CREATED)
        with pytest.raises(EventCancelled):
            emit(hub, event)
        assert no.event is event


def nested(hub: Hub, *types: str, required: bool = False) -> None:
    """Let a handler of each type emit the next one, and the last one veto."""
    for this, following in pairwise(types):

        async def handle(event: Event, following: str = following) -> None:
            await hub.emit(Event(following))

        hub.subscribe(this, handle, required=required)

    def veto(event: Event) -> None:
        raise EventCancelled(f"no {event.type}")

    hub.subscribe(types[-1], veto)


def test_the_veto_of_a_nested_event_is_an_ordinary_error_outside(hub: Hub) -> None:
    nested(hub, "outer", "inner")
    later: list[Event] = []
    hub.subscribe("outer", later.append)
    outcome = emit(hub, Event("outer"))
    assert (outcome.status, len(later)) == ("completed", 1)
    (failure,) = outcome.failures
    assert isinstance(failure.error, EventCancelled)
    assert failure.error.event is not None
    assert failure.error.event.type == "inner"


def test_it_stays_one_however_deep_it_came_from(hub: Hub) -> None:
    nested(hub, "a", "b", "c", "d", required=True)
    hub.subscribe("outermost", lambda event: hub.emit(Event("a")))
    outcome = emit(hub, Event("outermost"))
    assert outcome.status == "completed"
    assert [str(failure.error) for failure in outcome.failures] == ["no d"]


def test_a_handler_may_turn_a_nested_veto_into_its_own(hub: Hub) -> None:
    nested(hub, "unused", "inner")

    async def handle(event: Event) -> None:
        try:
            await hub.emit(Event("inner"))
        except EventCancelled as error:
            raise EventCancelled("outer too") from error

    hub.subscribe("outer", handle)
    with pytest.raises(EventCancelled, match="outer too") as raised:
        emit(hub, Event("outer"))
    assert raised.value.event is not None
    assert raised.value.event.type == "outer"


# What goes straight through


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
def test_what_is_no_ordinary_error_goes_straight_through(
    error: type[BaseException],
) -> None:
    outcomes: list[Outcome] = []

    class Watch:
        @hookimpl
        def vectis_after_emit(self, outcome: Outcome) -> None:
            outcomes.append(outcome)

    hub = Hub({}, plugins={"bus": Bus, "watch": Watch}, discover=False)

    def stop(event: Event) -> None:
        raise error

    hub.subscribe(CREATED, stop)
    later = hub.subscribe(CREATED, fail)
    with pytest.raises(error):
        emit(hub)
    (outcome,) = outcomes
    assert (outcome.status, outcome.skipped, outcome.failures) == ("aborted", (later,), ())


def test_cancelling_the_emitters_task_stops_the_handler_it_waits_for(hub: Hub) -> None:
    seen: list[str] = []

    async def wait(event: Event) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("left")

    hub.subscribe(CREATED, wait)
    hub.subscribe(CREATED, lambda event: seen.append("never"))

    async def main() -> None:
        task = asyncio.ensure_future(hub.emit(Event(CREATED)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert seen == ["left"]


# Policies


def test_the_error_of_a_required_handler_is_the_emitters(hub: Hub) -> None:
    hub.subscribe(CREATED, fail, required=True)
    seen: list[Event] = []
    hub.subscribe(CREATED, seen.append)
    with pytest.raises(ValueError, match="no stock") as raised:
        emit(hub)
    assert seen == []
    (note,) = raised.value.__notes__
    assert note == (
        "app:fail on order.created is required, so its error is the emitter's; "
        "1 later handlers were skipped"
    )


def test_a_handler_is_cancelled_after_its_timeout_and_counts_as_failed(hub: Hub) -> None:
    cancelled: list[bool] = []

    async def wait(event: Event) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    hub.subscribe(CREATED, wait, timeout=0.01)
    seen: list[Event] = []
    hub.subscribe(CREATED, seen.append)
    outcome = emit(hub)
    (failure,) = outcome.failures
    assert isinstance(failure.error, TimeoutError)
    assert "cancelled after its timeout of 0.01 s" in str(failure.error)
    assert (cancelled, len(seen)) == ([True], 1)


def test_a_timeout_error_of_the_handler_itself_stays_what_it_is(hub: Hub) -> None:
    async def own(event: Event) -> None:
        raise TimeoutError("the database's")

    hub.subscribe(CREATED, own, timeout=60)
    assert str(emit(hub).failures[0].error) == "the database's"


def test_a_once_handler_runs_for_the_first_event_only(hub: Hub) -> None:
    seen: list[str] = []
    made = hub.subscribe("order.*", lambda event: seen.append(event.type), once=True)
    emit(hub, Event("order.created"))
    emit(hub, Event("order.paid"))
    assert seen == ["order.created"]
    assert made not in hub.subscriptions


def test_a_once_handler_that_fails_or_vetoes_is_spent(hub: Hub) -> None:
    hub.subscribe(CREATED, fail, once=True)
    assert len(emit(hub).failures) == 1
    assert emit(hub).failures == ()


def test_once_is_once_for_emits_of_several_types_under_way_at_the_same_time(hub: Hub) -> None:
    seen: list[str] = []
    go: list[asyncio.Event] = []

    async def gate(event: Event) -> None:
        await go[0].wait()

    hub.subscribe("*", gate, priority=1)
    hub.subscribe("*", lambda event: seen.append(event.type), once=True)

    async def main() -> None:
        go.append(asyncio.Event())
        emits = [asyncio.ensure_future(hub.emit(Event(f"t{n % 3}"))) for n in range(9)]
        await asyncio.sleep(0)
        hub.subscribe("t0", print)  # plans made from now on are other ones
        emits.append(asyncio.ensure_future(hub.emit(Event("t0"))))
        await asyncio.sleep(0)
        go[0].set()
        await asyncio.gather(*emits)

    asyncio.run(main())
    assert len(seen) == 1


def test_once_is_once_for_emits_from_several_threads(hub: Hub) -> None:
    seen: list[Any] = []
    together = threading.Barrier(8)

    def gate(event: Event) -> None:
        together.wait(10)

    hub.subscribe("*", gate, priority=1)
    hub.subscribe("*", seen.append, once=True)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: hub.emit_sync(Event(f"t{n % 2}")), range(8)))
    assert len(seen) == 1


# The outcome


def test_an_outcome_without_handlers_is_completed_and_empty(hub: Hub) -> None:
    outcome = emit(hub)
    assert (outcome.status, outcome.ran, outcome.failures, outcome.skipped) == (
        "completed",
        (),
        (),
        (),
    )
    assert (outcome.duration, outcome.finished) == (0.0, True)
    assert repr(outcome) == "Outcome(completed, ran=0, failures=0, skipped=0)"


def test_an_outcome_has_no_times_of_handlers_unless_they_are_asked_for(hub: Hub) -> None:
    hub.subscribe(CREATED, lambda event: None)
    (run,) = emit(hub).ran
    assert run.seconds is None


def test_timings_measure_every_handler_also_the_one_that_stops_the_event() -> None:
    hub = Hub({"bus": {"timings": True}}, plugins={"bus": Bus}, discover=False)

    def veto(event: Event) -> None:
        raise EventCancelled

    hub.subscribe(CREATED, fail)
    hub.subscribe(CREATED, lambda event: None)
    hub.subscribe(CREATED, veto)
    hub.subscribe(CREATED, fail)
    with pytest.raises(EventCancelled) as raised:
        emit(hub)
    outcome = raised.value.outcome
    assert outcome is not None
    assert len(outcome.ran) == 3
    seconds = [run.seconds for run in outcome.ran]
    assert all(value is not None and value >= 0 for value in seconds)
    assert sum(value or 0 for value in seconds) <= outcome.duration + 1e-3


def test_an_unknown_attribute_of_an_outcome_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'result'"):
        _ = Outcome().result
