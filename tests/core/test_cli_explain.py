"""`explain`: the dry run, as data and as a command."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from tests.core.cli_world import World
from vectis.core import Event, Hub, event_type, handles, hookimpl, on_event
from vectis.core.explain import explain
from vectis.core.testing import MemoryTransport

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@event_type("sale.made", topic="shop.sales", forward=True, key="order_id")
@attrs.frozen
class OrderCreated:
    order_id: str


class Shop:
    @hookimpl
    def vectis_register_events(self, catalogue: Any) -> None:
        catalogue.register(OrderCreated)

    @hookimpl
    def vectis_before_emit(self) -> None: ...

    @hookimpl
    async def vectis_before_publish(self) -> None: ...

    @hookimpl
    def vectis_after_emit(self) -> None: ...

    @handles("sale.*", priority=20, timeout=2.0)
    async def record(self, event: Event) -> None: ...

    @handles("sale.made", priority=10, required=True)
    async def reserve(self, event: Event) -> None: ...

    @handles("invoice.*")
    def bill(self, event: Event) -> None: ...

    @on_event("sale.made")
    def sync(self, kind: str, payload: dict[str, Any]) -> None: ...


def hub_with(config: dict[str, Any] | None = None, **plugins: Any) -> Hub:
    return Hub(config or {}, plugins=plugins)


def test_handlers_come_in_the_order_in_which_an_emit_runs_them() -> None:
    ran: list[str] = []
    hub = hub_with()
    for name, pattern, priority in (("c", "*", 90), ("b", "sale.*", 50), ("a", "a.b", 1)):
        hub.subscribe(pattern, lambda event, name=name: ran.append(name), priority=priority)
    hub.subscribe("sale.made", lambda event: ran.append("first"), priority=5)
    explained = explain(hub, "sale.made").handlers
    asyncio.run(run(hub, "sale.made"))
    assert ran == ["first", "b", "c"]
    assert [(call.number, call.pattern, call.priority) for call in explained] == [
        (1, "sale.made", 5),
        (2, "sale.*", 50),
        (3, "*", 90),
    ]


async def run(hub: Hub, kind: str) -> None:
    await hub.emit(Event(kind))


def test_nothing_runs() -> None:
    def fail(event: Event) -> None:
        raise AssertionError("a dry run ran something")

    hub = hub_with(memory=MemoryTransport())
    hub.subscribe("sale.made", fail)
    assert len(explain(hub, "sale.made").handlers) == 1


def test_policy_hooks_topic_transport_and_consumers_are_told() -> None:
    explained = explain(
        hub_with({"consumer": {"group": "shop"}}, shop=Shop(), memory=MemoryTransport()),
        "sale.made",
    )
    assert explained.declared
    assert explained.owner == "shop"
    assert explained.described_by.endswith("OrderCreated")
    assert [(c.handler, c.timeout, c.required) for c in explained.handlers] == [
        ("shop:Shop.reserve", None, True),
        ("shop:Shop.record", 2.0, False),
    ]
    assert [(c.hook, c.plugin, c.guard) for c in explained.hooks] == [
        ("vectis_before_emit", "shop", True),
        ("vectis_after_emit", "shop", False),
        ("vectis_before_publish", "shop", True),
    ]
    [publishing] = explained.publishing
    assert (publishing.topic, publishing.forward) == ("shop.sales", True)
    assert (publishing.origin, publishing.transport) == ("catalogue of shop", "memory")
    [consumer] = explained.consumers
    assert (consumer.handler, consumer.topics) == ("shop:Shop.sync", ("shop.sales",))
    assert explained.group == "shop"


def test_topics_in_the_config_are_where_consumers_listen() -> None:
    config = {"topics": {"orders.eu": ["sale.made"], "orders.us": ["sale.made"]}}
    explained = explain(hub_with(config, shop=Shop()), "sale.made")
    assert explained.consumers[0].topics == ("orders.eu", "orders.us")
    # What is forwarded still goes to the catalogue's topic.
    assert [(p.topic, p.forward) for p in explained.publishing] == [
        ("orders.eu", False),
        ("orders.us", False),
        ("shop.sales", True),
    ]


def test_without_a_transport_publishing_has_none() -> None:
    [publishing] = explain(hub_with(shop=Shop()), "sale.made").publishing
    assert (publishing.transport, publishing.problem) == (None, "")


def test_two_transports_without_a_choice_are_a_problem() -> None:
    hub = hub_with(one=MemoryTransport(), two=MemoryTransport())
    hub.catalogue.register(OrderCreated)
    assert "several transports" in explain(hub, "sale.made").publishing[0].problem
    hub = hub_with({"hub": {"transport": "two"}}, one=MemoryTransport(), two=MemoryTransport())
    hub.catalogue.register(OrderCreated)
    assert explain(hub, "sale.made").publishing[0].transport == "two"


def test_a_disabled_handler_is_named_with_what_disabled_it() -> None:
    config = {"handlers": {"shop:Shop.record": {"enabled": False}}}
    explained = explain(hub_with(config, shop=Shop()), "sale.made")
    assert [call.handler for call in explained.handlers] == ["shop:Shop.reserve"]
    [absent] = explained.absent
    assert (absent.kind, absent.name, absent.state) == ("handler", "shop:Shop.record", "disabled")
    assert absent.reason == "disabled by Hub(config=...)"


def test_disabled_and_quarantined_plugins_are_named_with_the_reason() -> None:
    class Broken:
        @hookimpl
        def vectis_register_events(self) -> None:
            raise RuntimeError("out of order")

    config = {"plugins": {"disable": ["shop"]}}
    explained = explain(hub_with(config, shop=Shop(), broken=Broken()), "sale.made")
    states = {absent.name: (absent.state, absent.reason) for absent in explained.absent}
    assert states["shop"] == ("disabled", "disabled by Hub(config=...)")
    assert states["broken"][0] == "quarantined"
    assert "out of order" in states["broken"][1]


def test_without_a_bus_the_handlers_wait_and_an_emit_fails() -> None:
    hub = Hub({}, discover=False)
    assert explain(hub, "sale.made").problem == ""
    hub.subscribe("sale.*", lambda event: None)
    explained = explain(hub, "sale.made")
    assert explained.bus is None
    assert "vectis-bus" in explained.problem
    assert [absent.state for absent in explained.absent] == ["waiting"]


@pytest.mark.parametrize("kind", ["sale.mad", "sales.made"])
def test_a_type_that_nobody_declares_gets_suggestions(kind: str) -> None:
    explained = explain(hub_with(shop=Shop()), kind)
    assert not explained.declared
    assert "sale.made" in explained.similar


def test_the_plain_form_is_json_and_whole() -> None:
    explained = explain(hub_with(shop=Shop()), "sale.made")
    plain = json.loads(json.dumps(explained.plain()))
    assert set(plain) == {field.name for field in attrs.fields(type(explained))}
    assert plain["handlers"][0]["handler"] == "shop:Shop.reserve"


AUDIT = """
from vectis.core import handles, hookimpl

@handles("order.*", priority=20)
async def record(event): ...

@hookimpl
def vectis_before_emit(event): ...
"""


def test_what_is_absent_for_a_question_is_told_with_one_mark(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="vectis_requires = ('buss',)")
    assert "did you mean 'bus'? What it would have run is unknown" in " ".join(
        world.vectis("explain", "order.created").out.split()
    )


def test_the_command_shows_everything_in_order(world: World) -> None:
    world.install("acme-audit", version="2.1", plugin="acme-audit = acme_audit", acme_audit=AUDIT)
    world.install("acme-off", plugin="acme-off = acme_off")
    world.install("acme-bad", plugin="acme-bad = acme_bad", acme_bad="1 / 0")
    world.module(
        "shop",
        "from vectis.core import on_event\nfrom vectis.core.events import event_bus\n"
        "def cache(event): ...\n"
        "event_bus.subscribe('order.created', cache, once=True)\n"
        "@on_event('order.created', topic='orders')\n"
        "def sync(event_type, payload): ...\n",
    )
    world.config(
        '[plugins]\ndisable = ["acme-off"]\n[consumer]\nmodules = ["shop"]\ngroup = "shop"\n'
        '[sqlite]\npath = "events.db"\n'
    )
    answer = world.vectis("explain", "order.created")
    assert answer.code == 0
    expected = [
        *("1  Guards", "vectis_before_emit  acme-audit  2.1"),
        *("2  Handlers", "acme-audit:record", "app:cache", "once"),
        "3  Observers",
        *("4  Publishing", "to orders (@on_event of app:sync)", "carried by sqlite", "events.db"),
        *("5  Consumers known here, group shop", "app:sync"),
        *("6  Would have run", "acme-bad 1.0", "ZeroDivisionError"),
        *("acme-off 1.0, by vectis.toml:2", "unknown"),
    ]
    place = 0
    for text in expected:
        place = answer.out.index(text, place)
    plain = world.vectis("explain", "order.created", "--json").json
    assert [call["handler"] for call in plain["handlers"]] == ["acme-audit:record", "app:cache"]
    assert not (world.here / "events.db").exists()


def test_the_command_takes_modules_and_suggests(world: World) -> None:
    world.module("shop", "from vectis.core import handles\n@handles('a.bc')\ndef f(event): ...\n")
    answer = world.vectis("explain", "a.bd", "--module", "shop")
    assert answer.code == 0
    assert "Nobody declares this type" in answer.out
    assert "Did you mean a.bc?" in answer.out


def test_without_a_handler_it_says_how_to_name_those_it_cannot_see(world: World) -> None:
    answer = world.vectis("explain", "order.created")
    assert "none known here: name the modules that subscribe with --module" in answer.out


@pytest.mark.parametrize("kind", ["order.*", "order created", ""])
def test_what_is_no_event_type_is_refused(world: World, kind: str) -> None:
    answer = world.vectis("explain", kind)
    assert answer.code == 2
    assert "pattern" in answer.err
