from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from vectis.core import Event, Hub, hookimpl
from vectis.core.exceptions import EmitLoopError, EventCancelled, HookError
from vectis_bus import Bus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vectis.core.outcome import Outcome


def hub_with(*plugins: Any, **tables: Any) -> Hub:
    named = {f"acme{number}": plugin for number, plugin in enumerate(plugins, start=1)}
    return Hub(tables, plugins={"bus": Bus, **named}, discover=False)


def emit(hub: Hub, *events: Event) -> list[Outcome]:
    async def main() -> list[Outcome]:
        async with hub:
            return [await hub.emit(event) for event in events or (Event("order.created"),)]

    return asyncio.run(main())


def before(call: Any) -> Any:
    class Guard:
        vectis_before_emit = staticmethod(hookimpl(call, specname="vectis_before_emit"))

    return Guard


def after(call: Any) -> Any:
    class Observer:
        vectis_after_emit = staticmethod(hookimpl(call, specname="vectis_after_emit"))

    return Observer


def around(call: Any) -> Any:
    class Around:
        vectis_around_emit = staticmethod(
            hookimpl(asynccontextmanager(call), specname="vectis_around_emit")
        )

    return Around


# Guards


def test_hooks_may_be_plain_or_async_and_take_what_they_ask_for() -> None:
    seen: list[Any] = []

    def plain(event: Event) -> None:
        seen.append(event.type)

    async def asynchronous(hub: Hub, event: Event) -> None:
        await asyncio.sleep(0)
        seen.append((type(hub).__name__, event.type))

    emit(hub_with(before(plain), before(asynchronous)))
    assert seen == [("Hub", "order.created"), "order.created"]  # registered last, called first


def test_a_veto_comes_before_any_handler_and_tells_who_and_why() -> None:
    def limit(event: Event) -> None:
        raise EventCancelled("over the limit")

    hub = hub_with(before(limit))
    ran: list[Event] = []
    skipped = hub.subscribe("order.*", ran.append)
    event = Event("order.created")
    with pytest.raises(EventCancelled, match="over the limit") as cancelled:
        emit(hub, event)
    veto = cancelled.value
    assert ran == []
    assert (veto.event, veto.plugin, veto.handler, veto.skipped) == (
        event,
        "acme1",
        None,
        (skipped,),
    )
    assert veto.outcome is not None
    assert (veto.outcome.status, veto.outcome.ran) == ("cancelled", ())


def test_a_guard_that_fails_stops_the_emit_and_names_its_plugin() -> None:
    def broken(event: Event) -> None:
        raise ValueError("no rates")

    hub = hub_with(before(broken))
    ran: list[Event] = []
    hub.subscribe("*", ran.append)
    with pytest.raises(HookError, match="ValueError: no rates") as failed:
        emit(hub)
    assert (failed.value.hook, failed.value.plugin) == ("vectis_before_emit", "acme1")
    assert isinstance(failed.value.__cause__, ValueError)
    assert ran == []


def test_a_guard_listed_under_fail_open_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event) -> None:
        raise ValueError("no rates")

    hub = hub_with(before(broken), plugins={"fail_open": ["acme1"]})
    (outcome,) = emit(hub)
    assert outcome.status == "completed"
    assert hub.lifecycle.errors["vectis_before_emit", "acme1"] == 1
    assert "vectis_before_emit of plugin 'acme1' failed" in caplog.text


def test_fail_open_does_not_open_a_veto() -> None:
    def veto(event: Event) -> None:
        raise EventCancelled("no")

    with pytest.raises(EventCancelled):
        emit(hub_with(before(veto), plugins={"fail_open": ["acme1"]}))


def test_a_guard_replaces_the_event_for_later_guards_handlers_and_observers() -> None:
    seen: list[Any] = []

    def second(event: Event) -> None:
        seen.append(("guard", event.user_id))

    def first(event: Event) -> Event:
        return event.replace(user_id=7)

    def last(event: Event, outcome: Outcome) -> None:
        seen.append(("observer", event.user_id, outcome.event is event))

    hub = hub_with(after(last), before(second), before(first))
    hub.subscribe("*", lambda event: seen.append(("handler", event.user_id)))
    emit(hub)
    assert seen == [("guard", 7), ("handler", 7), ("observer", 7, True)]


def test_a_guard_may_send_an_event_to_the_handlers_of_another_type() -> None:
    seen: list[str] = []

    def rename(event: Event) -> Event | None:
        return event.replace(type="order.created") if event.type == "order.made" else None

    hub = hub_with(before(rename))
    hub.subscribe("order.created", lambda event: seen.append(event.type))
    emit(hub, Event("order.made"))
    assert seen == ["order.created"]


def test_a_guard_that_returns_something_else_is_an_error_that_says_what_to_return() -> None:
    def yes(event: Event) -> bool:
        return True

    with pytest.raises(HookError, match="it returned bool: return Event to replace the event"):
        emit(hub_with(before(yes)))


# Around


def test_around_hooks_nest_and_see_the_error_but_cannot_swallow_it() -> None:
    seen: list[str] = []

    async def swallow(event: Event) -> AsyncIterator[None]:
        seen.append("enter 1")
        try:
            yield
        except EventCancelled as error:
            seen.append(f"exit 1 {error}")

    async def plain(event: Event) -> AsyncIterator[None]:
        seen.append("enter 2")
        try:
            yield
        finally:
            seen.append("exit 2")

    def veto(event: Event) -> None:
        seen.append("handler")
        raise EventCancelled("no")

    hub = hub_with(around(swallow), around(plain))
    hub.subscribe("*", veto)
    with pytest.raises(EventCancelled):
        emit(hub)
    assert seen == ["enter 2", "enter 1", "handler", "exit 1 no", "exit 2"]


def test_an_around_hook_that_cannot_be_entered_stops_the_emit_and_leaves_the_others() -> None:
    seen: list[str] = []

    async def broken(event: Event) -> AsyncIterator[None]:
        if event.type:
            raise ConnectionError("tracing is down")
        yield

    async def fine(event: Event) -> AsyncIterator[None]:
        try:
            yield
        finally:
            seen.append("left")

    hub = hub_with(around(broken), around(fine))
    hub.subscribe("*", lambda event: seen.append("handler"))
    with pytest.raises(HookError, match="tracing is down") as failed:
        emit(hub)
    assert failed.value.hook == "vectis_around_emit"
    assert seen == ["left"]


def test_an_error_on_the_way_out_is_isolated(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(event: Event) -> AsyncIterator[None]:
        yield
        raise ConnectionError("tracing is down")

    hub = hub_with(around(broken))
    (outcome,) = emit(hub)
    assert outcome.status == "completed"
    assert hub.lifecycle.errors["vectis_around_emit", "acme1"] == 1
    assert "tracing is down" in caplog.text


def test_what_is_no_async_context_manager_is_refused_by_name() -> None:
    class Acme:
        @hookimpl
        def vectis_around_emit(self) -> Any:
            return open

    with pytest.raises(HookError, match=r"no async context manager.*asynccontextmanager"):
        emit(hub_with(Acme))


def test_an_around_hook_may_decline() -> None:
    class Acme:
        @hookimpl
        def vectis_around_emit(self) -> None:
            return None

    (outcome,) = emit(hub_with(Acme))
    assert outcome.status == "completed"


# Observers


def test_observers_see_every_end_of_an_emit() -> None:
    seen: list[str] = []

    def last(outcome: Outcome) -> None:
        seen.append(outcome.status)

    hub = hub_with(after(last))

    def handle(event: Event) -> None:
        if event.type == "cancelled":
            raise EventCancelled
        if event.type == "aborted":
            raise asyncio.CancelledError
        if event.type == "failed":
            raise ValueError

    hub.subscribe("*", handle, required=True)

    async def main() -> None:
        async with hub:
            for kind in ("completed", "cancelled", "aborted", "failed"):
                try:
                    await hub.emit(Event(kind))
                except BaseException as error:
                    seen.append(type(error).__name__)

    asyncio.run(main())
    assert seen == [
        "completed",
        "cancelled",
        "EventCancelled",
        "aborted",
        "CancelledError",
        "failed",
        "ValueError",
    ]


def test_an_observer_that_fails_stops_nothing_and_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str] = []

    def broken(event: Event) -> None:
        raise EventCancelled("too late for that")

    def fine(event: Event) -> None:
        seen.append(event.type)

    hub = hub_with(after(fine), after(broken))
    (outcome,) = emit(hub)
    assert (outcome.status, seen) == ("completed", ["order.created"])
    assert hub.lifecycle.errors["vectis_after_emit", "acme2"] == 1
    assert (
        "vectis_after_emit of plugin 'acme2' failed, and everything else goes on: "
        "EventCancelled('too late for that'). Mend it, or `vectis plugins disable acme2`"
    ) in caplog.text


def test_tryfirst_and_trylast_move_an_implementation() -> None:
    seen: list[str] = []

    class First:
        @hookimpl(tryfirst=True)
        def vectis_after_emit(self) -> None:
            seen.append("first")

    class Last:
        @hookimpl(trylast=True)
        def vectis_after_emit(self) -> None:
            seen.append("last")

    class Between:
        @hookimpl
        def vectis_after_emit(self) -> None:
            seen.append("between")

    emit(hub_with(First, Between, Last))
    assert seen == ["first", "between", "last"]


# Events emitted by hooks


@pytest.mark.parametrize("hook", [before, after])
def test_what_a_hook_emits_follows_the_event_it_saw(hook: Any) -> None:
    hub: Hub
    seen: list[Event] = []

    async def audit(event: Event) -> None:
        if event.type == "order.created":
            await hub.emit(Event("audit.recorded"))

    hub = hub_with(hook(audit))
    hub.subscribe("audit.recorded", seen.append)
    event = Event("order.created")
    emit(hub, event)
    assert [(e.causation_id, e.correlation_id) for e in seen] == [(event.id, event.id)]


@pytest.mark.parametrize("hook", [before, after])
def test_a_hook_that_emits_in_a_circle_ends_in_an_error_that_shows_it(hook: Any) -> None:
    hub: Hub

    async def audit(event: Event) -> None:
        await hub.emit(Event("audit.recorded"))
        await hub.emit(Event("audit.recorded"))  # twice: an error that is isolated would go 2^n

    hub = hub_with(hook(audit))
    with pytest.raises(EmitLoopError, match=r"order\.created -> audit\.recorded -> .* \.\.\. "):
        emit(hub)


def test_an_observer_of_handler_errors_that_emits_in_a_circle_ends_too() -> None:
    hub: Hub

    class Acme:
        @hookimpl
        async def vectis_handler_error(self) -> None:
            await hub.emit(Event("alert.raised"))

    def fail(event: Event) -> None:
        raise ValueError

    hub = hub_with(Acme)
    hub.subscribe("*", fail)
    with pytest.raises(EmitLoopError, match=r"order\.created -> alert\.raised"):
        emit(hub)


def test_a_guards_veto_of_a_nested_event_is_not_one_of_the_outer_event() -> None:
    def veto(event: Event) -> None:
        if event.type == "nested":
            raise EventCancelled("not this one")

    hub = hub_with(before(veto))

    async def handle(event: Event) -> None:
        await hub.emit(Event("nested"))

    hub.subscribe("outer", handle)
    (outcome,) = emit(hub, Event("outer"))
    assert outcome.status == "completed"
    assert [str(failure.error) for failure in outcome.failures] == ["not this one"]


def test_a_cancellation_on_the_way_out_leaves_no_outer_manager_open() -> None:
    log: list[str] = []

    def around(name: str, *, interrupted: bool = False) -> Any:
        class Around:
            @hookimpl
            def vectis_around_emit(self) -> Any:
                return manager(name, interrupted)

        return Around

    @asynccontextmanager
    async def manager(name: str, interrupted: bool) -> AsyncIterator[None]:
        log.append(f"{name} in")
        try:
            yield
        finally:
            log.append(f"{name} out")
            if interrupted:
                raise asyncio.CancelledError

    hub = hub_with(around("inner", interrupted=True), around("outer"))

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await hub.emit(Event("order.created"))

    asyncio.run(main())
    assert log == ["outer in", "inner in", "inner out", "outer out"]


def test_a_veto_that_escapes_from_an_emit_inside_a_guard_is_that_guards_error() -> None:
    class Guard:
        @hookimpl
        async def vectis_before_emit(self, event: Event, hub: Hub) -> None:
            if event.type == "order.created":
                await hub.emit(Event("stock.asked"))

    hub = hub_with(Guard)

    def refuse(event: Event) -> None:
        raise EventCancelled("none left")

    hub.subscribe("stock.asked", refuse)
    with pytest.raises(HookError, match="vectis_before_emit of plugin 'acme1'"):
        emit(hub)


def test_a_veto_makes_no_sense_once_handlers_have_run_so_in_a_publish_guard_it_is_an_error() -> (
    None
):
    class Guard:
        @hookimpl
        def vectis_before_publish(self) -> None:
            raise EventCancelled("not on Sundays")

    from vectis.core.testing import MemoryTransport

    hub = Hub({}, plugins={"memory": MemoryTransport(), "acme": Guard}, discover=False)
    with pytest.raises(HookError, match="not on Sundays"):
        asyncio.run(hub.publish("t", "order.created", {}))
