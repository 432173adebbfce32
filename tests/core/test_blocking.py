from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from vectis.core import Event, Hub, hookimpl
from vectis.core.blocking import background
from vectis.core.catalogue import event_type
from vectis.core.events import shutdown_producer
from vectis.core.exceptions import EventCancelled
from vectis.core.message import Message, Receipt
from vectis.core.transport import Carrier, Route
from vectis_bus import Bus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def hub_with(tables: dict[str, Any] | None = None, **plugins: Any) -> Hub:
    return Hub(tables or {}, plugins={"bus": Bus, **plugins}, discover=False)


def test_plain_and_async_handlers_run_in_the_calling_thread_in_order() -> None:
    hub = hub_with()
    seen: list[tuple[str, int]] = []

    def plain(event: Event) -> None:
        seen.append(("plain", get_ident()))

    async def asynchronous(event: Event) -> None:
        await asyncio.sleep(0)
        seen.append(("async", get_ident()))

    hub.subscribe("a", asynchronous, priority=2)
    hub.subscribe("a", plain, priority=1)
    outcome = hub.emit_sync(Event("a"))
    assert seen == [("plain", get_ident()), ("async", get_ident())]
    assert outcome.status == "completed"


def test_every_thread_of_a_threaded_server_runs_its_own_handlers() -> None:
    local = threading.local()  # as a database connection of Django
    seen: list[tuple[int, int]] = []
    hub = hub_with()

    async def asynchronous(event: Event) -> None:
        await asyncio.sleep(0)
        seen.append((event.data["n"], local.n))

    def plain(event: Event) -> None:
        seen.append((event.data["n"], local.n))

    hub.subscribe("both", asynchronous)
    hub.subscribe("*", plain)

    def request(n: int) -> None:
        local.n = n
        hub.emit_sync(Event("both", {"n": n})).raise_for_errors()
        hub.emit_sync(Event("plain", {"n": n})).raise_for_errors()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(request, range(40)))
    assert len(seen) == 120
    assert all(given == found for given, found in seen)


def test_a_veto_and_the_error_of_a_required_handler_reach_the_caller() -> None:
    hub = hub_with()

    def veto(event: Event) -> None:
        raise EventCancelled("no")

    async def broken(event: Event) -> None:
        raise ValueError("required")

    hub.subscribe("veto", veto)
    hub.subscribe("broken", broken, required=True)
    with pytest.raises(EventCancelled, match="no"):
        hub.emit_sync(Event("veto"))
    with pytest.raises(ValueError, match="required"):
        hub.emit_sync(Event("broken"))


def test_a_plain_handler_may_emit_again() -> None:
    hub = hub_with()
    seen: list[Event] = []

    async def asynchronous(event: Event) -> None:
        seen.append(event)

    hub.subscribe("outer", lambda event: None, priority=1)
    hub.subscribe("inner", asynchronous)

    def handle(event: Event) -> None:
        hub.emit_sync(Event("inner"))

    only_plain = hub_with()
    only_plain.subscribe("outer", handle)
    outer = Event("outer")
    only_plain.emit_sync(outer).raise_for_errors()
    assert [event.causation_id for event in seen] == [outer.id]


def test_inside_a_running_loop_it_is_refused_and_names_await() -> None:
    hub = hub_with()

    async def main() -> None:
        hub.emit_sync(Event("a"))

    with pytest.raises(RuntimeError, match=r"block the running event loop: use `await emit\("):
        asyncio.run(main())


def test_a_callable_that_only_looks_plain_is_awaited_too() -> None:
    hub = hub_with()
    seen: list[Event] = []

    async def later(event: Event) -> None:
        await asyncio.sleep(0)
        seen.append(event)

    hub.subscribe("a", lambda event: later(event))
    hub.emit_sync(Event("a")).raise_for_errors()
    assert len(seen) == 1


def test_what_a_plain_handler_returns_to_wait_for_is_waited_for_in_its_turn() -> None:
    hub = hub_with()
    seen: list[str] = []

    async def later(event: Event) -> None:
        await asyncio.sleep(0)
        seen.append("waited for")

    def decorated(event: Event) -> Any:
        return later(event)

    def after(event: Event) -> None:
        seen.append("after")

    hub.subscribe("a", decorated)
    hub.subscribe("a", decorated, once=True)
    hub.subscribe("a", after)
    hub.emit_sync(Event("a")).raise_for_errors()
    assert seen == ["waited for", "waited for", "after"]


def test_the_error_of_what_a_plain_handler_returns_is_that_handlers_and_isolated() -> None:
    hub = hub_with()
    seen: list[Event] = []

    async def later(event: Event) -> None:
        await asyncio.sleep(0)
        raise ValueError("too late")

    def decorated(event: Event) -> Any:
        return later(event)

    def after(event: Event) -> None:
        seen.append(event)

    failing = hub.subscribe("a", decorated)
    hub.subscribe("a", after)
    (failure,) = hub.emit_sync(Event("a")).failures
    assert (failure.subscription, str(failure.error)) == (failing, "too late")
    assert len(seen) == 1


def test_what_a_plain_hook_returns_to_wait_for_is_waited_for_too() -> None:
    seen: list[str] = []

    class Acme:
        @hookimpl
        def vectis_before_emit(self, event: Event) -> Any:
            return self.replace(event)

        async def replace(self, event: Event) -> Event:
            await asyncio.sleep(0)
            return event.replace(data={"replaced": True})

    def handle(event: Event) -> None:
        seen.extend(event.data)

    hub = hub_with(acme=Acme)
    hub.subscribe("a", handle)
    hub.emit_sync(Event("a"))
    assert seen == ["replaced"]


def test_the_event_loop_that_is_set_for_the_thread_stays_set() -> None:
    hub = hub_with()

    async def asynchronous(event: Event) -> None:
        await asyncio.sleep(0)

    hub.subscribe("a", asynchronous)

    def request() -> bool:
        loop = asyncio.new_event_loop()
        try:
            asyncio.set_event_loop(loop)
            hub.emit_sync(Event("a")).raise_for_errors()
            shutdown_producer()
            return asyncio.get_event_loop() is loop
        finally:
            loop.close()

    with ThreadPoolExecutor(1) as thread:  # not to disturb the loop of this one
        assert thread.submit(request).result()


def test_a_timeout_has_a_loop_to_run_on() -> None:
    hub = hub_with()
    seen: list[Event] = []

    async def handle(event: Event) -> None:
        seen.append(event)

    hub.subscribe("a", handle, timeout=5)
    hub.emit_sync(Event("a")).raise_for_errors()
    assert len(seen) == 1


@pytest.mark.parametrize("style", ["plain", "async", "around"])
def test_hooks_of_every_kind_run_too(style: str) -> None:
    seen: list[str] = []

    class Plain:
        @hookimpl
        def vectis_startup(self) -> None:
            seen.append("start")

        @hookimpl
        def vectis_after_emit(self) -> None:
            seen.append("after")

    class Async:
        @hookimpl
        async def vectis_startup(self) -> None:
            await asyncio.sleep(0)
            seen.append("start")

        @hookimpl
        async def vectis_after_emit(self) -> None:
            await asyncio.sleep(0)
            seen.append("after")

    class Around:
        @hookimpl
        @asynccontextmanager
        async def vectis_around_emit(self) -> AsyncIterator[None]:
            seen.append("start")
            await asyncio.sleep(0)
            yield
            seen.append("after")

    hub = hub_with(acme={"plain": Plain, "async": Async, "around": Around}[style])
    hub.subscribe("a", lambda event: None)
    hub.emit_sync(Event("a"))
    assert seen == ["start", "after"]


def test_threads_that_come_first_together_start_the_hub_once() -> None:
    starts: list[int] = []
    both = threading.Barrier(4)
    waiting = threading.Event()

    class Acme:
        @hookimpl
        def vectis_startup(self) -> None:
            starts.append(get_ident())
            waiting.wait(0.05)  # long enough for the others to find it under way

    hub = hub_with(acme=Acme)

    def request(n: int) -> str:
        both.wait(10)
        return hub.emit_sync(Event("a")).status

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(request, range(4))) == ["completed"] * 4
    assert len(starts) == 1


def test_the_background_loop_runs_what_several_threads_give_it() -> None:
    async def where() -> tuple[int, object]:
        return get_ident(), asyncio.get_running_loop()

    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(lambda n: background.run(where()), range(20)))
    assert len(found) == 1
    assert background.started


def test_when_the_background_thread_could_not_be_started_the_next_call_tries_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def answer() -> int:
        return 7

    started: list[int] = []
    start = threading.Thread.start

    def refuse_once(thread: threading.Thread) -> None:
        started.append(1)
        if len(started) == 1:
            raise RuntimeError("can't start new thread")
        start(thread)

    fresh = type(background)()
    with monkeypatch.context() as machine:  # one that has no more threads for a moment
        machine.setattr(threading.Thread, "start", refuse_once)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            fresh.run(answer())
        assert not fresh.started
        assert fresh.run(answer()) == 7


def test_what_a_handler_of_emit_sync_hands_to_another_loop_is_published_there() -> None:
    @event_type("order.booked", topic="orders", forward=True)
    @attrs.frozen
    class Booked:
        pass

    loops: list[object] = []

    class Transport:
        @hookimpl
        def vectis_emit(self, route: Route) -> Carrier | None:
            return Carrier(send=self.send) if route.scope == "service" else None

        async def send(self, message: Message) -> Receipt:
            loops.append(asyncio.get_running_loop())
            return Receipt(message.topic, 0, 0)

    hub = hub_with(transport=Transport)
    hub.catalogue.register(Booked)

    async def main() -> object:
        loop = asyncio.get_running_loop()

        def hand_over(event: Event) -> None:
            booked = hub.emit(Event("order.booked"))
            asyncio.run_coroutine_threadsafe(booked, loop).result(60)

        hub.subscribe("order.created", hand_over)
        outcome = await asyncio.to_thread(hub.emit_sync, Event("order.created"))
        outcome.raise_for_errors()
        return loop

    main_loop = asyncio.run(main())
    assert loops == [main_loop]


def test_loops_of_several_threads_publish_through_what_a_shutdown_closes() -> None:
    class Transport:
        """Makes a carrier each time it is asked, and is asked by both threads at once."""

        def __init__(self) -> None:
            self.together = threading.Barrier(2)
            self.opened: list[Carrier] = []
            self.closed: list[Carrier] = []

        @hookimpl
        def vectis_emit(self, route: Route) -> Carrier | None:
            if route.scope != "service":
                return None
            if route.name == "t":
                self.together.wait(30)

            async def send(message: Message) -> Receipt:
                self.opened.append(carrier)
                return Receipt(message.topic, 0, 0)

            async def close() -> None:
                self.closed.append(carrier)

            carrier = Carrier(send=send, close=close)
            return carrier

    transport = Transport()
    hub = hub_with(transport=transport)

    def publish() -> None:
        asyncio.run(hub.publish("t", "a", {}))

    asyncio.run(hub.startup())
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(publish), pool.submit(publish)]:
            done.result()
    asyncio.run(hub.shutdown())
    assert len(transport.opened) == 2
    assert {id(carrier) for carrier in transport.opened} <= {id(one) for one in transport.closed}
