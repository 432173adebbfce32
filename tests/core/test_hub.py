from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from vectis.core import Catalogue, Event, Hub, event_type, handles, hookimpl
from vectis.core.exceptions import (
    PluginError,
    PublishError,
    SubscriptionError,
    TransportError,
    VectisError,
)
from vectis.core.outcome import Outcome
from vectis.core.testing import MemoryTransport
from vectis.core.transport import Carrier, Route
from vectis_bus import Bus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vectis.core.subscription import Subscription


def hub_with(tables: dict[str, Any] | None = None, **plugins: Any) -> Hub:
    return Hub(tables or {}, plugins={"bus": Bus, **plugins}, discover=False)


def emit(hub: Hub, event: Event) -> Outcome:
    async def main() -> Outcome:
        return await hub.emit(event)

    return asyncio.run(main())


def records(transport: MemoryTransport, topic: str) -> int:
    return sum(state.records for state in transport.describe_topics() if state.name == topic)


# The operator's last word


def test_the_config_moves_a_handler_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vectis.toml").write_text('[handlers."app:last"]\npriority = 1\n')
    monkeypatch.chdir(tmp_path)
    hub = Hub(plugins={"bus2": object()})
    seen: list[str] = []

    def first(event: Event) -> None:
        seen.append("first")

    def last(event: Event) -> None:
        seen.append("last")

    hub.subscribe("a", first, priority=10)
    moved = hub.subscribe("a", last, priority=90)
    emit(hub, Event("a"))
    assert seen == ["last", "first"]
    assert (moved.priority, moved.note) == (1, "vectis.toml:1")


def test_the_config_disables_a_handler_which_is_still_listed() -> None:
    class Acme:
        @handles("a")
        def record(self, event: Event) -> None:
            raise AssertionError("disabled")

    hub = hub_with({"handlers": {"acme:Acme.record": {"enabled": False}}}, acme=Acme)
    (subscription,) = hub.subscriptions
    assert subscription.enabled is False
    outcome = emit(hub, Event("a"))
    assert (outcome.ran, outcome.failures) == ((), ())


# Subscriptions


def test_a_handler_that_does_not_fit_is_refused_at_once() -> None:
    def handle() -> None: ...

    with pytest.raises(SubscriptionError, match=r"handle\(\)"):
        hub_with().subscribe("a", handle)


def test_unsubscribing_takes_a_subscription_or_pattern_and_handler() -> None:
    hub = hub_with()
    seen: list[Event] = []
    one = hub.subscribe("a", seen.append)
    hub.subscribe("a", seen.append)
    hub.subscribe("b", seen.append)
    assert hub.unsubscribe(one)
    assert not hub.unsubscribe(one)
    assert hub.unsubscribe("a", seen.append)
    emit(hub, Event("a"))
    emit(hub, Event("b"))
    assert [event.type for event in seen] == ["b"]


def test_what_a_plugin_subscribes_while_it_registers_is_its_own() -> None:
    class Acme:
        @hookimpl
        def vectis_register_handlers(self, hub: Hub) -> None:
            hub.subscribe("a", print)
            hub.on_event("b", lambda event_type, payload: None)

    hub = hub_with(acme=Acme)
    assert [(s.plugin, s.scope) for s in hub.subscriptions] == [
        ("acme", "process"),
        ("acme", "service"),
    ]
    assert hub.subscribe("c", print).plugin == "app"


# Without a bus, and with another one


def test_emitting_without_a_bus_raises_when_somebody_waits() -> None:
    hub = Hub({}, discover=False)
    hub.subscribe("order.*", print)
    for _ in range(2):  # the first one starts the hub, too
        with pytest.raises(TransportError, match=r"no bus plugin.*\(app:print\)") as caught:
            emit(hub, Event("order.created"))
        assert caught.value.__context__ is None, "nobody wants to read of the look-up that failed"


def test_emitting_without_a_bus_is_nothing_when_nobody_waits() -> None:
    assert emit(Hub({}, discover=False), Event("a")).ran == ()


def test_another_plugin_may_be_the_bus() -> None:
    class Reversed:
        def __init__(self) -> None:
            self.subscriptions: list[Subscription] = []

        @hookimpl
        def vectis_subscribe(
            self, route: Route, subscription: Subscription
        ) -> Callable[[], None] | None:
            if route.scope != "process":
                return None
            self.subscriptions.insert(0, subscription)
            return lambda: self.subscriptions.remove(subscription)

        @hookimpl
        def vectis_emit(self, route: Route) -> Carrier | None:
            return Carrier(send=self.send) if route.scope == "process" else None

        async def send(self, event: Event, outcome: Outcome | None = None) -> Outcome:
            for subscription in self.subscriptions:
                subscription.handler(event)
            return outcome or Outcome()

    hub = Hub({}, plugins={"reversed": Reversed}, discover=False)
    seen: list[int] = []
    hub.subscribe("a", lambda event: seen.append(1))
    two = hub.subscribe("a", lambda event: seen.append(2))
    emit(hub, Event("a"))
    hub.unsubscribe(two)
    emit(hub, Event("a"))
    assert seen == [2, 1, 1]


def test_two_buses_are_an_error_of_the_emit_that_names_both_and_the_remedy() -> None:
    hub = hub_with(second=Bus)
    hub.subscribe("a", print)
    with pytest.raises(TransportError, match=r"several plugins offer.*second") as refused:
        emit(hub, Event("a"))
    assert '[plugins] disable = ["' in str(refused.value)


def test_a_plugin_that_subscribes_is_not_quarantined_for_the_two_buses_of_others() -> None:
    class Acme:
        @handles("a")
        def record(self, event: Event) -> None: ...

    hub = hub_with(second=Bus, acme=Acme)
    assert {plugin.state for plugin in hub.plugins} == {"loaded"}
    with pytest.raises(TransportError, match="several plugins offer"):
        emit(hub, Event("a"))


def test_a_subscription_that_two_claim_is_not_forgotten_when_only_one_would_emit() -> None:
    class Claims:
        @hookimpl
        def vectis_subscribe(self, route: Route) -> Any:
            return lambda: None

    hub = hub_with(claims=Claims)
    hub.subscribe("a", print)
    with pytest.raises(TransportError, match="several plugins offer"):
        emit(hub, Event("a"))


def test_the_choice_of_a_bus_leaves_transports_between_processes_alone() -> None:
    hub = hub_with({"hub": {"transport": "second"}}, second=Bus, memory=MemoryTransport())
    seen: list[Event] = []
    hub.subscribe("a", seen.append)
    emit(hub, Event("a"))
    assert len(seen) == 1
    assert asyncio.run(hub.publish("t", "a", {})) is not None
    alone = hub_with({"hub": {"transport": "bus"}})
    assert asyncio.run(alone.publish("t", "a", {})) is None


def test_an_offer_that_fails_names_its_plugin() -> None:
    class Acme:
        @hookimpl
        def vectis_emit(self, route: Route) -> None:
            raise ValueError("no address?")

    hub = Hub({}, plugins={"acme": Acme}, discover=False)
    with pytest.raises(
        TransportError, match=r"'acme' failed to answer vectis_emit.*no address\? Mend"
    ):
        emit(hub, Event("a"))


# Several transports between processes


def test_several_transports_must_be_chosen_from() -> None:
    transports: dict[str, Any] = {"one": MemoryTransport(), "two": MemoryTransport()}
    hub = hub_with(**transports)
    with pytest.raises(TransportError, match=r"one.*\[hub\] transport"):
        asyncio.run(hub.publish("t", "a", {}))
    chosen = hub_with({"hub": {"transport": "two"}}, **transports)
    receipt = asyncio.run(chosen.publish("t", "a", {}))
    assert receipt is not None
    assert receipt.transport == "two"
    assert records(transports["one"], "t") == 0


def test_when_the_chosen_transport_declines_no_other_takes_its_place() -> None:
    class Declines:
        @hookimpl
        def vectis_emit(self, route: Route) -> None:
            return None

    memory = MemoryTransport()
    hub = hub_with({"hub": {"transport": "declines"}}, declines=Declines, memory=memory)
    with pytest.raises(PublishError, match=r"transport = 'declines' .*does not say why") as refused:
        asyncio.run(hub.publish("t", "a", {}))
    assert refused.value.fate == "not_sent"
    assert records(memory, "t") == 0


def test_consuming_without_a_transport_says_how_to_configure_one() -> None:
    with pytest.raises(TransportError, match=r"no transport offers to consume t: configure one"):
        hub_with().consumer(["t"], "shop")


# Settings


def test_settings_of_a_plugin_that_has_none_are_an_error() -> None:
    with pytest.raises(PluginError, match="'acme'"):
        hub_with(acme=object()).settings("acme")
    assert hub_with({"bus": {"budget_ms": 50}}).settings("bus").budget_ms == 50


# Forwarding


def forwarding(**options: Any) -> tuple[Hub, MemoryTransport]:
    @event_type("order.created", topic="vectis.orders", key="order_id", **options)
    @attrs.frozen
    class OrderCreated:
        order_id: str

    class Acme:
        @hookimpl
        def vectis_register_events(self, catalogue: Catalogue) -> None:
            catalogue.register(OrderCreated)

    memory = MemoryTransport()
    return hub_with(acme=Acme, memory=memory), memory


def test_a_topic_alone_forwards_nothing() -> None:
    hub, memory = forwarding()
    emit(hub, Event("order.created", {"order_id": "7"}))
    assert records(memory, "vectis.orders") == 0


def test_forward_publishes_after_the_handlers_passed() -> None:
    hub, memory = forwarding(forward=True)
    before: list[int] = []
    hub.subscribe("order.created", lambda event: before.append(records(memory, "vectis.orders")))
    emit(hub, Event("order.created", {"order_id": "7"}))
    assert (before, records(memory, "vectis.orders")) == ([0], 1)


def test_a_cancelled_event_is_not_forwarded() -> None:
    from vectis.core.exceptions import EventCancelled

    def veto(event: Event) -> None:
        raise EventCancelled("no")

    hub, memory = forwarding(forward=True)
    hub.subscribe("order.created", veto)
    with pytest.raises(EventCancelled):
        emit(hub, Event("order.created", {"order_id": "7"}))
    assert records(memory, "vectis.orders") == 0


def test_forwarding_without_the_key_is_an_error_and_not_a_lost_order() -> None:
    hub, _ = forwarding(forward=True)
    with pytest.raises(VectisError, match="keyed by 'order_id'"):
        emit(hub, Event("order.created", {}))


def test_the_event_that_a_guard_put_in_place_is_the_one_forwarded() -> None:
    class Guard:
        @hookimpl
        def vectis_before_emit(self, event: Event) -> Event:
            return event.replace(data={"order_id": "8"})

    @event_type("order.created", topic="t", forward=True, key="order_id")
    @attrs.frozen
    class OrderCreated:
        order_id: str

    class Acme:
        @hookimpl
        def vectis_register_events(self, catalogue: Catalogue) -> None:
            catalogue.register(OrderCreated)

    keys: list[Any] = []

    class Watch:
        @hookimpl
        def vectis_before_publish(self, message: Any) -> None:
            keys.append(message.key)

    emit(
        hub_with(acme=Acme, guard=Guard, watch=Watch, memory=MemoryTransport()),
        Event("order.created", {"order_id": "7"}),
    )
    assert keys == [b"8"]


def test_what_a_guard_made_of_an_event_decides_whether_and_where_it_is_forwarded() -> None:
    @event_type("order.created", topic="orders", forward=True)
    @attrs.frozen
    class OrderCreated:
        order_id: str

    @event_type("order.tested", topic="tests", forward=True)
    @attrs.frozen
    class OrderTested:
        order_id: str

    class Acme:
        @hookimpl
        def vectis_register_events(self, catalogue: Catalogue) -> None:
            catalogue.register(OrderCreated)
            catalogue.register(OrderTested)

        @hookimpl
        def vectis_before_emit(self, event: Event) -> Event | None:
            turned = {"order.created": "order.tested", "draft": "order.created"}
            return event.replace(type=turned[event.type])

    memory = MemoryTransport()
    hub = hub_with(acme=Acme, memory=memory)
    emit(hub, Event("order.created"))
    emit(hub, Event("draft"))
    assert (records(memory, "orders"), records(memory, "tests")) == (1, 1)


def test_emit_sync_forwards_on_the_one_background_loop() -> None:
    loops: list[Any] = []

    @event_type("order.created", topic="orders", forward=True)
    @attrs.frozen
    class OrderCreated:
        order_id: str

    class Acme:
        @hookimpl
        def vectis_register_events(self, catalogue: Catalogue) -> None:
            catalogue.register(OrderCreated)

        @hookimpl
        async def vectis_after_publish(self) -> None:
            loops.append(asyncio.get_running_loop())

    hub = hub_with(acme=Acme, memory=MemoryTransport())
    for _ in range(2):
        hub.emit_sync(Event("order.created"))
    assert loops[0] is loops[1]
    assert not loops[0].is_closed()


# Start and end


def start_counter() -> tuple[type, list[str]]:
    seen: list[str] = []

    class Acme:
        @hookimpl
        async def vectis_startup(self) -> None:
            await asyncio.sleep(0)
            seen.append("start")

        @hookimpl
        def vectis_shutdown(self) -> None:
            seen.append("end")

    return Acme, seen


def test_a_hub_starts_once_however_many_ask_at_once() -> None:
    acme, seen = start_counter()
    hub = hub_with(acme=acme, memory=MemoryTransport())

    async def main() -> None:
        await asyncio.gather(
            *(hub.emit(Event("a")) for _ in range(10)),
            *(hub.publish("t", "a", {}) for _ in range(10)),
        )

    asyncio.run(main())
    asyncio.run(main())
    assert seen == ["start"]


def test_a_hub_that_is_used_after_its_end_starts_again() -> None:
    acme, seen = start_counter()
    hub = hub_with(acme=acme)

    async def main() -> None:
        async with hub:
            await hub.emit(Event("a"))
        await hub.emit(Event("a"))

    asyncio.run(main())
    assert seen == ["start", "end", "start"]


def test_a_start_up_that_failed_is_tried_again() -> None:
    attempts: list[int] = []

    class Acme:
        @hookimpl
        def vectis_startup(self) -> None:
            attempts.append(1)
            if len(attempts) == 1:
                raise ConnectionError("not yet")

    hub = hub_with(acme=Acme)
    failed = (
        r"vectis_startup of plugin 'acme' failed, so nothing was done: ConnectionError: not yet "
        r"\(at .*test_hub\.py:\d+\)\. Mend it, or `vectis plugins disable acme`, or let it fail: "
        r'\[plugins\] fail_open = \["acme"\]'
    )
    with pytest.raises(VectisError, match=failed):
        emit(hub, Event("a"))
    assert emit(hub, Event("a")).status == "completed"


def test_a_start_up_hook_may_emit_and_publish() -> None:
    class Acme:
        @hookimpl
        async def vectis_startup(self, hub: Hub) -> None:
            await hub.emit(Event("app.started"))
            await hub.publish("t", "app.started", {})

    seen: list[Event] = []
    memory = MemoryTransport()
    hub = hub_with(acme=Acme, memory=memory)
    hub.subscribe("app.started", seen.append)
    emit(hub, Event("a"))
    assert (len(seen), records(memory, "t")) == (1, 1)


def test_a_producer_that_a_shutdown_hook_opens_is_closed_too() -> None:
    order: list[str] = []

    class Transport:
        @hookimpl
        def vectis_emit(self, route: Route) -> Carrier | None:
            async def close() -> None:
                order.append("close")

            async def send(message: Any) -> Any:
                order.append("send")
                return Receipt("t", 0, 0)

            return Carrier(send=send, close=close) if route.scope == "service" else None

    from vectis.core.message import Receipt

    class Acme:
        @hookimpl
        async def vectis_shutdown(self, hub: Hub) -> None:
            await hub.publish("t", "app.stopped", {})

    async def main() -> None:
        async with hub_with(transport=Transport, acme=Acme):
            pass

    asyncio.run(main())
    assert order == ["send", "close"]


def test_an_emit_that_a_bus_answers_with_another_awaitable_can_become_a_task_all_the_same() -> None:
    class Futures:
        @hookimpl
        def vectis_emit(self, route: Route) -> Carrier | None:
            return Carrier(send=self.send) if route.scope == "process" else None

        def send(self, event: Event) -> asyncio.Future[Outcome]:
            future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            future.set_result(Outcome())
            return future

    hub = Hub({}, plugins={"futures": Futures()}, discover=False)

    async def main() -> str:
        return (await asyncio.create_task(hub.emit(Event("a")))).status

    assert asyncio.run(main()) == "completed"
