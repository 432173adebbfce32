"""The document's code, as it is written there, runs."""

from __future__ import annotations

import asyncio
import pydoc
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from vectis.core import Hub, hookimpl
from vectis.core.default import default_hub, existing_hub, use_hub
from vectis.core.events import Event as FacadeEvent
from vectis.core.events import event_bus, shutdown_producer
from vectis.core.exceptions import TransportError
from vectis.core.testing import MemoryTransport
from vectis_bus import Bus

pytestmark = pytest.mark.usefixtures("fresh")

product = SimpleNamespace(id=1, name="Milk")
order = SimpleNamespace(id=7, grand_total="12.50")
current_user = SimpleNamespace(id=3)


def python(code: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, **options
    )


def test_subscribing_as_in_the_document() -> None:
    from vectis.core.events import Event, event_bus

    seen = []

    async def on_order_created(event: Event) -> None:
        order_id = event.data["order_id"]
        seen.append(order_id)

    event_bus.subscribe("order.created", on_order_created, priority=50)

    asyncio.run(_emit(Event("order.created", {"order_id": 7})))
    assert seen == [7]


async def _emit(event: FacadeEvent) -> Any:
    from vectis.core.events import event_bus

    return await event_bus.emit(event)


def test_emitting_as_in_the_document() -> None:
    from vectis.core.events import Event, event_bus

    seen: list[Event] = []
    event_bus.subscribe("product.created", seen.append)

    async def create_product() -> None:
        await event_bus.emit(Event(
            type="product.created",
            data={"product_id": product.id, "name": product.name},
            source="product_service",
            user_id=current_user.id,
        ))  # fmt: skip

    asyncio.run(create_product())
    (event,) = seen
    assert event.data == {"product_id": 1, "name": "Milk"}
    assert (event.source, event.user_id) == ("product_service", 3)


def test_cancelling_as_in_the_document() -> None:
    from vectis.core.events import Event, event_bus
    from vectis.core.exceptions import EventCancelled

    async def validate_order(event: Event) -> None:
        if event.data.get("total", 0) > 100_000:
            raise EventCancelled("Order exceeds maximum amount")

    event_bus.subscribe("order.pre_create", validate_order, priority=10)

    later: list[Event] = []
    event_bus.subscribe("order.pre_create", later.append)
    with pytest.raises(EventCancelled, match="Order exceeds maximum amount"):
        asyncio.run(_emit(Event("order.pre_create", {"total": 100_001})))
    assert later == []
    asyncio.run(_emit(Event("order.pre_create", {"total": 100_000})))
    assert len(later) == 1


def test_lower_priorities_run_earlier_and_fifty_is_the_default() -> None:
    from vectis.core.events import Event, event_bus

    seen: list[int] = []
    event_bus.subscribe("a", lambda event: seen.append(51), priority=51)
    event_bus.subscribe("a", lambda event: seen.append(50))
    event_bus.subscribe("a", lambda event: seen.append(49), priority=49)
    asyncio.run(_emit(Event("a")))
    assert seen == [49, 50, 51]


def test_publishing_as_in_the_document_is_silent_without_a_transport() -> None:
    from vectis.core.events import publish_event

    async def create_order() -> Any:
        return await publish_event(
            topic="vectis.orders",
            event_type="order.created",
            payload={"order_id": order.id, "grand_total": str(order.grand_total)},
            key=str(order.id),
        )

    assert asyncio.run(create_order()) is None


def test_publishing_as_in_the_document_reaches_a_transport() -> None:
    from vectis.core.events import publish_event

    transport = MemoryTransport()
    use_hub(Hub({}, plugins={"bus": Bus, "memory": transport}, discover=False))

    async def create_order() -> Any:
        receipt = await publish_event(
            topic="vectis.orders",
            event_type="order.created",
            payload={"order_id": order.id, "grand_total": str(order.grand_total)},
            key=str(order.id),
        )
        await shutdown_producer()
        return receipt

    receipt = asyncio.run(create_order())
    assert (receipt.topic, receipt.offset, receipt.transport) == ("vectis.orders", 0, "memory")


def test_consuming_as_in_the_document() -> None:
    from vectis.core.events.consumer import on_event

    @on_event("order.created")
    async def handle_order_created(event_type: str, payload: dict) -> None:  # type: ignore[type-arg]  # verbatim
        # sync to ERP, trigger analytics, etc.
        ...

    @on_event("inventory.adjusted")
    async def handle_inventory_adjusted(event_type: str, payload: dict) -> None:  # type: ignore[type-arg]  # verbatim
        # alert if stock below threshold
        ...

    assert [
        (s.pattern, s.handler, s.scope) for s in default_hub().subscriptions if s.plugin == "app"
    ] == [
        ("order.created", handle_order_created, "service"),
        ("inventory.adjusted", handle_inventory_adjusted, "service"),
    ]


def test_shutdown_without_a_hub_or_a_loop_is_done_when_it_returns() -> None:
    assert existing_hub() is None
    shutdown_producer()
    shutdown_producer()
    assert existing_hub() is None


def test_what_shutdown_returns_can_be_awaited_and_run() -> None:
    async def main() -> None:
        await shutdown_producer()
        await asyncio.gather(shutdown_producer(), shutdown_producer())

    asyncio.run(main())
    asyncio.run(shutdown_producer())  # type: ignore[arg-type]  # a script without a loop may write it


def test_the_default_hub_is_made_by_the_first_emit_and_not_by_subscribing() -> None:
    from vectis.core.events import Event, event_bus

    subscription = event_bus.subscribe("a", print)
    assert existing_hub() is None
    asyncio.run(_emit(Event("b")))
    hub = existing_hub()
    assert hub is not None
    assert subscription in hub.subscriptions


def test_unsubscribing_works_before_and_after_the_hub_is_there() -> None:
    from vectis.core.events import Event, event_bus

    seen: list[Event] = []
    event_bus.subscribe("a", seen.append)
    assert event_bus.unsubscribe("a", seen.append)
    subscription = event_bus.subscribe("a", seen.append)
    asyncio.run(_emit(Event("a")))
    assert event_bus.unsubscribe(subscription)
    assert not event_bus.unsubscribe(subscription)
    asyncio.run(_emit(Event("a")))
    assert len(seen) == 1


def test_another_default_hub_is_used_at_once() -> None:
    from vectis.core.events import Event

    asyncio.run(_emit(Event("a")))
    hub = Hub({}, plugins={"bus": Bus}, discover=False)
    seen: list[Event] = []
    hub.subscribe("a", seen.append)
    use_hub(hub)
    asyncio.run(_emit(Event("a")))
    assert len(seen) == 1


def test_importing_the_facade_loads_neither_attrs_nor_pluggy() -> None:
    done = python(
        "import sys; from vectis.core.events import Event, event_bus; "
        "from vectis.core.exceptions import EventCancelled; "
        "print([m for m in ('attrs', 'attr', 'pluggy', 'asyncio', 'cattrs') if m in sys.modules])"
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("hooks", [False, True])
def test_an_emit_that_nobody_awaits_is_named_by_python(hooks: bool) -> None:
    plugin = """
class Acme:
    @hookimpl
    def vectis_startup(self): ...
    @hookimpl
    def vectis_after_emit(self): ...
use_hub(Hub({}, plugins={"bus": Bus, "acme": Acme}, discover=False))
"""
    code = f"""
from vectis.core import Event, Hub, event_bus, hookimpl
from vectis.core.default import use_hub
from vectis_bus import Bus
{plugin if hooks else ""}
event_bus.emit(Event("nobody"))
event_bus.subscribe("order.created", print)
event_bus.emit(Event("order.created"))
"""
    done = python(code)
    assert done.stderr.count("RuntimeWarning: coroutine 'event_bus.emit' was never awaited") == 2


@pytest.mark.parametrize("given", [None, "order.created", {"type": "order.created"}])
def test_emitting_what_is_no_event_says_what_to_write(given: Any) -> None:
    from vectis.core.events import event_bus

    expected = rf"emit takes an Event, not {type(given).__name__}: write emit\(Event\("
    with pytest.raises(TypeError, match=expected):
        asyncio.run(_emit(given))
    with pytest.raises(TypeError, match=expected):
        event_bus.emit_sync(given)


def test_every_public_name_of_core_loads() -> None:
    import vectis.core

    assert {getattr(vectis.core, name) for name in vectis.core.__all__}
    assert set(vectis.core.__all__) <= set(dir(vectis.core))
    with pytest.raises(AttributeError, match="no attribute 'Hubb'"):
        _ = vectis.core.Hubb


def test_when_a_bus_refuses_a_subscription_none_is_lost_for_the_next_try() -> None:
    from vectis.core.events import Event, event_bus

    seen: list[str] = []
    event_bus.subscribe("a", lambda event: seen.append("first"))
    event_bus.subscribe("a", lambda event: seen.append("second"))
    refuses = [True]

    class FlakyBus(Bus):
        @hookimpl
        def vectis_subscribe(self, route: Any, subscription: Any, hub: Any) -> Any:
            if refuses.pop() if refuses else False:
                raise TransportError("not now")
            return super().vectis_subscribe(route, subscription, hub)

    with pytest.raises(TransportError):
        use_hub(Hub({}, plugins={"bus": FlakyBus}, discover=False))
    assert existing_hub() is None
    use_hub(Hub({}, plugins={"bus": FlakyBus}, discover=False))
    asyncio.run(_emit(Event("a")))
    assert seen == ["first", "second"]


def test_what_a_broken_plugins_module_subscribed_does_not_run(install: Any) -> None:
    install(
        "acme-broken",
        """
        from vectis.core.events import event_bus
        def record(event): raise SystemExit("never")
        event_bus.subscribe("a", record)
        raise RuntimeError("half way")
        """,
    )
    hub = default_hub()
    assert [p.state for p in hub.plugins if p.name == "acme-broken"] == ["quarantined"]
    assert [s.name for s in hub.subscriptions if s.pattern == "a"] == []


def test_unsubscribing_while_another_thread_makes_the_default_hub_finds_the_handler() -> None:
    from vectis.core.events import event_bus

    made = event_bus.subscribe("a", lambda event: None)
    placing, go_on = threading.Event(), threading.Event()

    class SlowBus(Bus):
        @hookimpl
        def vectis_subscribe(self, route: Any, subscription: Any, hub: Any) -> Any:
            placing.set()
            assert go_on.wait(30)
            return super().vectis_subscribe(route, subscription, hub)

    hub = Hub({}, plugins={"bus": SlowBus}, discover=False)
    with ThreadPoolExecutor() as threads:
        adopted = threads.submit(use_hub, hub)
        assert placing.wait(30)
        gone = threads.submit(event_bus.unsubscribe, made)
        go_on.set()
        adopted.result(30)
        assert gone.result(30) is True
    assert hub.subscriptions == ()


def test_the_event_whose_handler_runs_is_at_hand() -> None:
    from vectis.core.events import Event, current_event, event_bus

    seen: list[Event | None] = []
    event_bus.subscribe("a", lambda event: seen.append(current_event()))
    event = Event("a")
    asyncio.run(_emit(event))
    assert seen == [event]
    assert current_event() is None


def test_shutting_down_runs_the_hooks_of_plugins() -> None:
    from vectis.core.events import Event, shutdown

    closed: list[str] = []

    class Database:
        @hookimpl
        def vectis_shutdown(self) -> None:
            closed.append("database")

    use_hub(Hub({}, plugins={"bus": Bus, "database": Database}, discover=False))
    asyncio.run(_emit(Event("a")))
    asyncio.run(shutdown())
    assert closed == ["database"]


async def _awaited(outcome: Any) -> None:
    await outcome


def test_an_emit_can_become_a_task_which_type_checkers_know() -> None:
    async def main() -> list[str]:
        before = asyncio.create_task(event_bus.emit(FacadeEvent("a")))
        async with asyncio.TaskGroup() as group:
            named = group.create_task(event_bus.emit(event=FacadeEvent("a")))
        own = asyncio.create_task(default_hub().emit(FacadeEvent("a")))
        return [(await task).status for task in (before, named, own)]

    assert asyncio.run(main()) == ["completed"] * 3


def test_the_documentation_of_emit_is_there_before_and_after_the_first_one() -> None:
    for _ in range(2):
        shown = pydoc.plain(pydoc.render_doc(event_bus.emit))
        assert "emit(" in shown
        assert "_make_hub" not in shown
        assert "Run every matching handler, in priority order, before this returns." in shown
        assert "EventCancelled: A guard or a handler stopped the event." in shown
        asyncio.run(event_bus.emit(FacadeEvent("a")))


def test_emit_with_anything_but_one_event_says_how_to_write_it() -> None:
    emit: Any = event_bus.emit  # the one that makes the hub
    for wrong in (
        ("order.created", {"n": 1}),
        (FacadeEvent("a"), {"n": 1}),
        (FacadeEvent("a"), FacadeEvent("b")),
    ):
        with pytest.raises(TypeError, match=r"emit\(Event\(type="):
            emit(*wrong)
    with pytest.raises(TypeError, match=r"emit\(Event\(type="):
        emit(type="order.created", data={})
    asyncio.run(_awaited(event_bus.emit(event=FacadeEvent("a"))))  # by name
    # The hub's own leaves the number of arguments to Python: looking at it costs 4 % of an emit.
    hubs: Any = event_bus.emit
    with pytest.raises(TypeError, match=r"emit\(Event\(type="):
        hubs("order.created")
    with pytest.raises(TypeError, match=r"Hub\.emit\(\) takes 2 positional arguments"):
        hubs("order.created", {"n": 1})


def test_the_first_emit_refuses_keywords_too() -> None:
    emit: Any = event_bus.emit
    with pytest.raises(TypeError, match=r"emit\(Event\(type="):
        emit(type="order.created", data={})
    with pytest.raises(TypeError, match=r"emit\(Event\(type="):
        emit()
