"""Who is slow, who fails and who vetoes: on the bus, in the worker, and over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.worker_world import FailingTransport, eventually
from vectis.core import Event, Hub, handles, hookimpl
from vectis.core.blame import Blame, HandlerBlame, PluginBlame
from vectis.core.exceptions import BatchFailed, EventCancelled, HookError, PublishError
from vectis.core.testing import MemoryTransport
from vectis.core.times import Times
from vectis.core.worker import Worker
from vectis.core.worker.health import Health
from vectis.core.worker.metrics import Metrics
from vectis_bus import Bus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from vectis.core.message import Message
    from vectis.core.outcome import HandlerFailure
    from vectis.core.worker.status import WorkerStatus


def hub_with(blame: Blame, config: dict[str, Any] | None = None, **plugins: Any) -> Hub:
    given = {"bus": Bus, **plugins}
    return Hub(config or {}, plugins=given, discover=False, observers=[blame])


def emit(hub: Hub, *types: str) -> None:
    async def main() -> None:
        for event_type in types:
            with suppress(EventCancelled, HookError):
                await hub.emit(Event(event_type))

    asyncio.run(main())


def handler(blame: Blame, hub: Hub, name: str) -> HandlerBlame:
    (one,) = [one for one in blame.handlers(hub) if one.handler == name]
    return one


def plugin(blame: Blame, hub: Hub, name: str) -> PluginBlame:
    (one,) = [one for one in blame.plugins(hub) if one.plugin == name]
    return one


# ---------------------------------------------------------------- the histogram


@given(st.lists(st.floats(1e-6, 1e5), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_the_exact_one_or_an_eighth_more(seconds: list[float], share: float) -> None:
    times = Times()
    for one in seconds:
        times.add(one)
    exact = sorted(seconds)[max(0, -int(-share * len(seconds) // 1) - 1)]
    (told,) = times.quantiles(share)
    assert exact * 0.999 <= told <= exact * 1.13
    assert told <= times.longest == max(seconds)


@given(st.lists(st.floats(0, 1e9)), st.lists(st.floats(0, 1e9)))
def test_two_together_are_as_if_one_had_seen_all(one: list[float], other: list[float]) -> None:
    parts, whole = (Times(), Times()), Times()
    for times, seconds in zip(parts, (one, other), strict=True):
        for each in seconds:
            times.add(each)
            whole.add(each)
    parts[0].add_all(parts[1])
    assert parts[0].count == whole.count == len(one) + len(other)
    assert parts[0].quantiles(0.5, 0.99) == whole.quantiles(0.5, 0.99)


def test_however_many_are_added_the_counters_are_few() -> None:
    times = Times()
    for number in range(200_000):
        times.add(number * number * 1e-3)
    assert len(times._counts) < 330
    assert Times().quantiles(0.5, 0.99) == ()


# ---------------------------------------------------------------- on the bus


class Acme:
    """A plugin with a handler that is slow, one that fails, and one that vetoes."""

    @handles("order.slow")
    def slow(self, event: Event) -> None:
        time.sleep(0.03)

    @handles("order.fails")
    async def fails(self, event: Event) -> None:
        raise ValueError("no such order")

    @handles("order.forbidden", priority=10)
    async def forbids(self, event: Event) -> None:
        raise EventCancelled("it is forbidden")

    @handles("order.*")
    async def quick(self, event: Event) -> None: ...


def test_the_bus_tells_who_is_slow_who_fails_and_who_vetoes() -> None:
    blame = Blame()
    hub = hub_with(blame, {"bus": {"timings": True, "budget_ms": 10}}, acme=Acme)
    emit(hub, *["order.slow"] * 2, *["order.fails"] * 3, "order.forbidden")
    slow = handler(blame, hub, "acme:Acme.slow")
    assert (slow.plugin, slow.scope, slow.calls, slow.over_budget) == ("acme", "process", 2, 2)
    assert slow.p50 is not None
    assert slow.longest is not None
    assert 0.03 <= slow.p50 <= slow.longest
    totals = [one.total for one in blame.handlers(hub)]
    assert totals == sorted(totals, reverse=True)
    fails = handler(blame, hub, "acme:Acme.fails")
    assert (fails.calls, fails.failed, fails.vetoed) == (3, 3, 0)
    assert handler(blame, hub, "acme:Acme.forbids").vetoed == 1
    assert handler(blame, hub, "acme:Acme.quick").calls == 5  # the veto spared it
    whole = plugin(blame, hub, "acme")
    assert (whole.calls, whole.failed, whole.vetoed) == (11, 3, 1)
    assert whole.over_budget >= 2
    assert whole.total >= slow.total >= 0.06


def test_without_timings_everything_but_the_times_is_there() -> None:
    blame = Blame()
    hub = hub_with(blame, acme=Acme)
    emit(hub, "order.fails")
    assert (handler(blame, hub, "acme:Acme.fails").failed, blame.handlers(hub)[0].p99) == (1, None)


def test_a_plugin_that_vetoes_in_a_guard_is_named_and_so_is_one_whose_guard_fails() -> None:
    class Guard:
        @hookimpl
        def vectis_before_emit(self, event: Event) -> None:
            if event.type == "order.forbidden":
                raise EventCancelled("it is forbidden")
            if event.type == "order.odd":
                raise ValueError("what is this?")

        @hookimpl
        def vectis_after_emit(self) -> None:
            raise TypeError("afterwards")

    blame = Blame()
    hub = hub_with(blame, guard=Guard)
    hub.subscribe("order.*", lambda event: None)
    emit(hub, "order.forbidden", "order.forbidden", "order.odd", "order.created")
    guard = plugin(blame, hub, "guard")
    assert (guard.vetoed, guard.calls) == (2, 0)
    assert guard.hook_errors == 5  # four times afterwards, and once before
    assert plugin(blame, hub, "app") == PluginBlame(plugin="app", calls=1)


def test_a_plugin_that_vetoes_a_publish_is_named_and_so_is_one_whose_guard_fails() -> None:
    class Guard:
        @hookimpl
        def vectis_before_publish(self, message: Message) -> None:
            if message.topic == "vectis.secret":
                raise EventCancelled("it stays here")
            if message.topic == "vectis.odd":
                raise PermissionError("who is this?")

    class Around:
        @hookimpl
        @asynccontextmanager
        async def vectis_around_publish(self, message: Message) -> AsyncIterator[None]:
            if message.topic == "vectis.closed":
                raise EventCancelled("after hours")
            yield

    errors: list[BaseException | None] = []

    class Diary:
        @hookimpl
        def vectis_after_publish(self, error: BaseException | None) -> None:
            errors.append(error)

    blame = Blame()
    plugins = {"guard": Guard, "around": Around, "diary": Diary, "memory": MemoryTransport}
    hub = hub_with(blame, {"plugins": {"fail_open": ["around"]}}, **plugins)

    async def main() -> None:
        for name in ("secret", "secret", "odd", "closed", "orders"):
            with suppress(HookError):
                await hub.publish(f"vectis.{name}", "order.created", {})
        with pytest.raises(PublishError, match="it stays here") as raised:
            await hub.publish_many("vectis.secret", [{"event_type": "a.b", "payload": {}}])
        assert raised.value.fate == "not_sent"

    asyncio.run(main())
    guard = plugin(blame, hub, "guard")
    assert (guard.vetoed, guard.hook_errors, guard.calls) == (3, 1, 0)
    # A veto is meant: fail_open is for what breaks.
    assert plugin(blame, hub, "around") == PluginBlame(plugin="around", vetoed=1)
    told = [(e.plugin, e.veto, str(e)) for e in errors if isinstance(e, HookError)]
    assert [(who, veto) for who, veto, _ in told] == [
        ("guard", True),
        ("guard", True),
        ("guard", False),
        ("around", True),
        ("guard", True),
    ]
    assert told[0][2] == (
        "vectis_before_publish of plugin 'guard' vetoed it, so nothing was sent: it stays here"
    )


def test_a_veto_of_a_publish_stops_no_event_whose_handler_publishes() -> None:
    class Guard:
        @hookimpl
        def vectis_before_publish(self, message: Message) -> None:
            raise EventCancelled("it stays here")

    blame = Blame()
    hub = hub_with(blame, guard=Guard, memory=MemoryTransport)

    async def publishes(event: Event) -> None:
        await hub.publish("vectis.orders", "order.created", {})

    later: list[Event] = []
    hub.subscribe("order.created", publishes)
    hub.subscribe("order.created", later.append)
    emit(hub, "order.created")
    assert len(later) == 1
    assert (handler(blame, hub, "app:publishes").failed, plugin(blame, hub, "app").vetoed) == (1, 0)
    assert plugin(blame, hub, "guard").vetoed == 1


def test_blame_leaves_messages_the_short_way_to_the_transport() -> None:
    hub = hub_with(Blame(), memory=MemoryTransport)
    assert not hub.lifecycle.implemented("vectis_before_publish", "vectis_after_publish")


def test_who_has_no_times_is_told_how_to_get_them() -> None:
    blame = Blame()
    hub = hub_with(blame, acme=Acme)
    assert blame.untimed() == ""  # nothing was called
    emit(hub, "order.created")
    assert "[bus] timings = true" in blame.untimed()

    timed = Blame()
    emit(hub_with(timed, {"bus": {"timings": True}}, acme=Acme), "order.created", "order.forbidden")
    assert timed.untimed() == ""


def test_handlers_without_number_are_not_told_apart_without_number() -> None:
    blame = Blame()
    hub = hub_with(blame)

    async def main() -> None:
        for number in range(1500):

            def handle(event: Event) -> None: ...

            handle.__name__ = handle.__qualname__ = f"f{number}"
            hub.subscribe("order.created", handle, once=True)
            await hub.emit(Event("order.created"))

    asyncio.run(main())
    told = blame.handlers(hub)
    assert len(told) == 1001
    assert handler(blame, hub, "app:other").calls == 500
    assert plugin(blame, hub, "app").calls == 1500


# ---------------------------------------------------------------- in the worker


def work(
    hub: Hub, until: Callable[[], bool], *, publish: int, blame: Blame | None
) -> tuple[Worker, Any]:
    """Let a worker handle so many events; return it and what `/status` said at the end."""
    said: list[Any] = []

    async def main() -> Worker:
        for number in range(publish):
            await hub.publish("vectis.orders", "order.created", {"n": number}, key=str(number))
        worker = Worker(hub)
        if blame is not None:
            worker.measure(blame)
        with Health("127.0.0.1", 0, Metrics()) as health:
            health.worker = worker
            running = asyncio.ensure_future(worker.run())
            try:
                await eventually(lambda: until() or running.done())
                answer = await asyncio.to_thread(_read, f"http://{health.address}/status")
                said.append(json.loads(answer))
            finally:
                worker.stop()
                await running
        return worker

    return asyncio.run(main()), said[0]


def _read(url: str) -> bytes:
    with urlopen(url) as answer:
        content: bytes = answer.read()
        return content


def worker_hub(blame: Blame) -> Hub:
    config = {"consumer": {"group": "shop", "max_attempts": 2, "retry_initial": 0.001}}
    return hub_with(blame, config, memory=FailingTransport())


@pytest.mark.parametrize("kind", ["async", "waiting", "in a thread"])
def test_the_status_of_a_worker_tells_who_is_slow_and_who_fails(kind: str) -> None:
    blame = Blame()
    hub = worker_hub(blame)
    done: list[int] = []

    async def at_once(event_type: str, payload: dict[str, Any]) -> None:
        time.sleep(0.005)  # noqa: ASYNC251 - slow on purpose, without giving way

    async def waiting(event_type: str, payload: dict[str, Any]) -> None:
        await asyncio.sleep(0.005)

    def in_a_thread(event_type: str, payload: dict[str, Any]) -> None:
        time.sleep(0.005)

    async def fails(event_type: str, payload: dict[str, Any]) -> None:
        if payload["n"] == 1 and done.count(1) == 0:
            done.append(1)
            raise ValueError("no such order")
        done.append(payload["n"])

    slow = {"async": at_once, "waiting": waiting, "in a thread": in_a_thread}[kind]
    hub.on_event("order.created", slow, topic="vectis.orders")
    hub.on_event("order.created", fails, topic="vectis.orders")
    worker, said = work(hub, lambda: worker_done(done), publish=4, blame=blame)
    by_name = {one["handler"]: one for one in said["blame"]}
    first, second = by_name[f"app:{slow.__name__}"], by_name["app:fails"]
    assert (first["scope"], first["calls"], first["failed"]) == ("service", 4, 0)
    assert first["longest"] >= first["p99"] >= first["p50"] >= 0.005
    assert (second["calls"], second["failed"]) == (5, 1)
    (app,) = said["plugins"]
    assert (app["plugin"], app["calls"], app["failed"]) == ("app", 9, 1)
    assert worker.report.handled == 4
    assert worker.report.retried == 1


def worker_done(done: list[int]) -> bool:
    return sorted(done) == [0, 1, 1, 2, 3]


def test_a_batch_is_one_call_and_its_failures_are_counted_one_by_one() -> None:
    blame = Blame()
    hub = worker_hub(blame)
    sizes: list[int] = []

    async def many(event_type: str, payloads: list[dict[str, Any]]) -> None:
        sizes.append(len(payloads))
        if len(sizes) == 1:
            raise BatchFailed({index: ValueError("no") for index in range(len(payloads))})

    hub.on_event("order.created", many, topic="vectis.orders", batch=3)
    work(hub, lambda: sum(sizes[1:]) == 3, publish=3, blame=blame)
    (one,) = blame.handlers(hub)
    assert (one.calls, one.failed) == (len(sizes), sizes[0])


@pytest.mark.parametrize("batch", [None, 2])
def test_a_hook_that_keeps_a_delivery_from_its_handler_is_to_blame_itself(
    batch: int | None,
) -> None:
    class Breaks:
        broken = True

        @hookimpl
        @asynccontextmanager
        async def vectis_around_consume(self) -> AsyncIterator[None]:
            if self.broken:
                raise OSError("no connection left")
            yield

    class Outside:
        """Registered later, so entered first: it sees the error and is not to blame for it."""

        @hookimpl
        @asynccontextmanager
        async def vectis_around_consume(self) -> AsyncIterator[None]:
            yield

    class Diary:
        @hookimpl
        def vectis_handler_error(self, failure: HandlerFailure) -> None:
            guards.append(failure.guard)

    guards: list[str] = []
    breaks = Breaks()
    blame = Blame()
    config = {"consumer": {"group": "shop", "max_attempts": 5, "retry_initial": 0.001}}
    plugins = {"breaks": breaks, "outside": Outside, "diary": Diary, "memory": FailingTransport()}
    hub = hub_with(blame, config, **plugins)
    calls: list[int] = []

    async def handle(event_type: str, payload: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("its own")

    hub.on_event("order.created", handle, topic="vectis.orders", batch=batch)

    def mended() -> bool:
        if guards:
            breaks.broken = False
        return len(calls) == 2

    work(hub, mended, publish=1, blame=blame)
    broke = [guard for guard in guards if guard]
    assert guards == [*broke, ""]
    assert set(broke) == {"breaks"}
    mine = handler(blame, hub, "app:handle")
    assert (mine.calls, mine.failed) == (2, 1)
    assert plugin(blame, hub, "breaks") == PluginBlame(plugin="breaks", hook_errors=len(broke))
    assert {one.plugin for one in blame.plugins(hub)} == {"app", "breaks"}


def test_calls_that_outlast_stuck_after_are_over_the_budget_of_the_worker() -> None:
    blame = Blame()
    config = {"consumer": {"group": "shop", "stuck_after": 0.05}}
    hub = hub_with(blame, config, memory=FailingTransport())
    done: list[int] = []

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        if payload["n"] == 1:
            await asyncio.sleep(0.1)
        done.append(payload["n"])

    hub.on_event("order.created", handle, topic="vectis.orders")
    _, said = work(hub, lambda: len(done) == 3, publish=3, blame=blame)
    (one,) = said["blame"]
    assert one["calls"] == 3
    assert 1 <= one["over_budget"] < 3
    assert said["plugins"][0]["over_budget"] == one["over_budget"]


def test_only_who_asks_for_the_status_is_told_who_is_to_blame() -> None:
    told: list[WorkerStatus] = []
    handled: list[Event] = []

    class Listens:
        @hookimpl
        def vectis_worker_status(self, status: WorkerStatus) -> None:
            told.append(status)

    blame = Blame()
    config = {"consumer": {"group": "shop"}}
    hub = hub_with(blame, config, memory=FailingTransport(), listens=Listens)

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        await hub.emit(Event("order.handled"))

    hub.on_event("order.created", handle, topic="vectis.orders")
    hub.subscribe("order.handled", lambda event: handled.append(event))
    worker, said = work(hub, lambda: bool(handled), publish=1, blame=blame)
    assert [one["calls"] for one in said["blame"]] == [1, 1]
    assert "[bus] timings = true" in said["untimed"]
    assert told[-1].handled == 1
    assert not any(status.blame or status.plugins for status in told)
    assert len(worker.status().blame) == 2
    assert worker.status(blame=False).blame == ()


def test_nobody_asked_nothing_is_measured() -> None:
    blame = Blame()
    hub = worker_hub(blame)
    done: list[int] = []

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        done.append(payload["n"])

    hub.on_event("order.created", handle, topic="vectis.orders")
    worker, said = work(hub, lambda: len(done) == 2, publish=2, blame=None)
    assert (said["blame"], said["plugins"]) == ([], [])
    assert worker._handling.callees["order.created"][0].call is handle
