from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from vectis.core import Hub, hookimpl
from vectis.core.catalogue import event_type
from vectis.core.events.consumer import on_event
from vectis.core.exceptions import ConfigError, SubscriptionError, TransportError
from vectis.core.settings import Config
from vectis.core.testing import MemoryTransport, run_worker
from vectis.core.worker import Worker
from vectis.core.worker.subscribed import subscribed


async def handle(event_type: str, payload: dict[str, Any]) -> None:
    pass


@event_type("order.created", topic="vectis.orders")
@attrs.frozen
class OrderCreated:
    order_id: int


class Events:
    """A plugin that says on which topic an event type travels."""

    @hookimpl
    def vectis_register_events(self, catalogue: Any) -> None:
        catalogue.register(OrderCreated)


class Broken:
    @hookimpl
    def vectis_register_events(self, catalogue: Any) -> None:
        raise RuntimeError("no database")


def hub(config: dict[str, dict[str, Any]] | None = None, **plugins: Any) -> Hub:
    tables = dict(config or {})
    tables["consumer"] = {"group": "shop", **tables.get("consumer", {})}
    return Hub(tables, plugins={"memory": MemoryTransport(), **plugins}, discover=False)


def test_a_topic_comes_from_the_handler_the_config_or_the_catalogue() -> None:
    assembled = hub({"topics": {"vectis.stock": ["stock.low", "stock.out"]}}, events=Events())
    assembled.on_event("order.created", handle)
    assembled.on_event("stock.low", handle)
    assembled.on_event("account.created", handle, topic="vectis.accounts")
    found = subscribed(assembled)
    assert found.topics == ("vectis.accounts", "vectis.orders", "vectis.stock")
    assert set(found.handlers) == {"order.created", "stock.low", "account.created"}


def test_a_type_on_several_topics_is_read_from_all_of_them() -> None:
    assembled = hub({"topics": {"orders.eu": ["order.created"], "orders.us": ["order.created"]}})
    assembled.on_event("order.created", handle)
    assert subscribed(assembled).topics == ("orders.eu", "orders.us")


def test_the_handlers_of_a_type_are_in_the_order_they_were_registered() -> None:
    assembled = hub()
    first = assembled.on_event("order.created", handle, topic="orders")
    second = assembled.on_event("order.created", handle, topic="orders")
    assert subscribed(assembled).handlers == {"order.created": (first, second)}


def test_a_priority_of_the_config_moves_a_handler_and_leaves_ties_as_they_were() -> None:
    assembled = hub({"handlers": {"app:early": {"priority": 5}, "app:late": {"priority": 51}}})

    def late(event_type: str, payload: Any) -> None: ...
    def early(event_type: str, payload: Any) -> None: ...

    assembled.on_event("order.created", late, topic="orders")
    first = assembled.on_event("order.created", handle, topic="orders")
    second = assembled.on_event("order.created", handle, topic="orders")
    assembled.on_event("order.created", early, topic="orders")
    [found] = subscribed(assembled).handlers.values()
    assert [s.name for s in found] == ["early", "handle", "handle", "late"]
    assert found[1:3] == (first, second)


def test_the_worker_calls_handlers_in_the_order_that_the_config_says() -> None:
    assembled = hub({"handlers": {"app:early": {"priority": 5}}})
    called = []

    def usual(event_type: str, payload: Any) -> None:
        called.append("usual")

    async def early(event_type: str, payload: Any) -> None:
        called.append("early")

    for handler in (usual, early):
        assembled.on_event("order.created", handler, topic="orders")
    asyncio.run(assembled.publish("orders", "order.created", {}))
    assert run_worker(assembled).handled == 1
    assert called == ["early", "usual"]


def test_handlers_of_the_bus_are_not_the_workers() -> None:
    assembled = hub()
    assembled.subscribe("order.created", lambda event: None)
    with pytest.raises(ConfigError, match="no @on_event handler was found"):
        subscribed(assembled)


def test_without_handlers_it_says_how_to_name_them() -> None:
    with pytest.raises(ConfigError) as raised:
        Worker(hub())
    assert "vectis consume shop.handlers" in str(raised.value)
    assert '[consumer] modules = ["shop.handlers"]' in str(raised.value)


def test_a_type_that_nothing_resolves_names_all_three_places() -> None:
    assembled = hub()
    assembled.on_event("order.created", handle)
    with pytest.raises(ConfigError) as raised:
        Worker(assembled)
    message = str(raised.value)
    assert "order.created (app:handle)" in message
    assert '@on_event("order.created", topic="...")' in message
    assert '[topics] "..." = ["order.created"]' in message
    assert '@event_type("order.created", topic="...")' in message


def test_consumer_topics_are_what_is_read_and_resolve_every_type() -> None:
    assembled = hub({"consumer": {"topics": ["everything"]}}, events=Events())
    assembled.on_event("order.created", handle)
    assembled.on_event("something.else", handle)
    found = subscribed(assembled)
    assert found.topics == ("everything",)
    assert set(found.handlers) == {"order.created", "something.else"}


def test_a_disabled_handler_needs_no_topic_but_its_own_is_read_on() -> None:
    config = {"handlers": {"app:handle": {"enabled": False}}}
    assembled = hub(config)
    assembled.on_event("order.created", handle, topic="orders")
    assembled.on_event("order.archived", handle)
    found = subscribed(assembled)
    assert (found.topics, found.handlers) == (("orders",), {})


def test_nothing_but_disabled_handlers_without_a_topic_is_nothing_to_consume() -> None:
    assembled = hub({"handlers": {"app:handle": {"enabled": False}}})
    assembled.on_event("order.created", handle)
    with pytest.raises(ConfigError, match="disables every @on_event handler, app:handle"):
        subscribed(assembled)


def test_a_pattern_is_refused_since_the_worker_could_not_know_its_topics() -> None:
    with pytest.raises(SubscriptionError, match=r"'order\.\*' is a pattern"):
        hub().on_event("order.*", handle)
    with pytest.raises(SubscriptionError, match="one event type"):
        on_event("*")


def test_a_quarantined_plugin_keeps_the_worker_from_starting() -> None:
    assembled = hub(broken=Broken())
    assembled.on_event("order.created", handle, topic="orders")
    with pytest.raises(ConfigError) as raised:
        Worker(assembled)
    assert "no database" in str(raised.value)
    assert '[consumer] tolerate = ["broken"]' in str(raised.value)
    assert "-> mend it, or `vectis plugins disable broken`" in str(raised.value)


def test_several_quarantined_plugins_have_a_line_each() -> None:
    assembled = hub(broken=Broken(), other=Broken())
    with pytest.raises(ConfigError) as raised:
        Worker(assembled)
    first, *each = str(raised.value).splitlines()
    assert "2 broken plugins" in first
    assert [line.split(":")[0].strip() for line in each[:2]] == ["broken", "other"]
    assert each[2] == "  -> `vectis doctor` says what to do about each"
    assert each[3].endswith('[consumer] tolerate = ["broken", "other"]')


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, '[consumer] tolerate = ["away", "broken", "other"]'),
        ({"VECTIS_CONSUMER_TOLERATE": "away"}, "VECTIS_CONSUMER_TOLERATE=away,broken,other"),
    ],
)
def test_what_is_tolerated_already_is_in_the_setting_that_is_proposed(
    environ: dict[str, str], said: str
) -> None:
    data = {"consumer": {"group": "shop", "tolerate": ["away"]}}
    config = Config.of(data, environ=environ)
    plugins = {"away": Broken(), "broken": Broken(), "other": Broken()}
    with pytest.raises(ConfigError) as raised:
        Worker(Hub(config, plugins=plugins, discover=False))
    assert str(raised.value).splitlines()[-1] == f"  To accept the loss: {said}"


def test_unless_the_config_tolerates_it() -> None:
    assembled = hub({"consumer": {"tolerate": ["broken"]}}, broken=Broken())
    assembled.on_event("order.created", handle, topic="orders")
    assert Worker(assembled).subscribed.topics == ("orders",)


def test_a_disabled_plugin_does_not_matter() -> None:
    assembled = hub({"plugins": {"disable": ["broken"]}}, broken=Broken())
    assembled.on_event("order.created", handle, topic="orders")
    assert Worker(assembled).subscribed.topics == ("orders",)


def test_without_a_transport_it_says_how_to_configure_one() -> None:
    assembled = Hub({"consumer": {"group": "shop"}}, discover=False)
    assembled.on_event("order.created", handle, topic="orders")
    with pytest.raises(TransportError) as raised:
        Worker(assembled)
    assert '[sqlite] path = "events.db"' in str(raised.value)
    assert "[redpanda] bootstrap_servers" in str(raised.value)


def test_a_worker_needs_a_group_on_every_transport() -> None:
    assembled = Hub({}, plugins={"memory": MemoryTransport()}, discover=False)
    assembled.on_event("order.created", handle, topic="orders")
    with pytest.raises(ConfigError) as raised:
        Worker(assembled)
    assert '[consumer] group = "shop"' in str(raised.value)
    assert "VECTIS_CONSUMER_GROUP" in str(raised.value)
    assert "each lose half" in str(raised.value)


@pytest.mark.parametrize("group", ["shop\u00a0eu", "shop\n", "g" * 501], ids=ascii)
def test_a_group_whose_dead_letters_nobody_could_read_is_refused(group: str) -> None:
    assembled = hub({"consumer": {"group": group}})
    assembled.on_event("order.created", handle, topic="orders")
    with pytest.raises(
        ConfigError, match="a dead letter that names it could not be read"
    ) as raised:
        Worker(assembled)
    assert "[consumer] group, or VECTIS_CONSUMER_GROUP" in str(raised.value)
    assert ascii(group)[:20] in str(raised.value)
    assert str(raised.value).isprintable()


def test_a_handler_whose_dead_letters_nobody_could_read_is_refused() -> None:
    async def handle(event_type: str, payload: dict[str, Any]) -> None: ...

    handle.__qualname__ = "h" * 500
    assembled = hub({"consumer": {"group": "stock"}})
    assembled.on_event("order.created", handle, topic="orders")
    with pytest.raises(ConfigError, match=r"handler app:hhh.* of order.created cannot be called"):
        Worker(assembled)


def test_the_worker_is_a_member_of_the_group_that_the_config_names() -> None:
    assembled = hub({"consumer": {"group": "stock"}})
    assembled.on_event("order.created", handle, topic="orders")
    worker = Worker(assembled)
    assert (worker.group, worker.transport) == ("stock", "memory")


def test_a_handler_whose_topic_the_config_leaves_out_is_named() -> None:
    assembled = hub({"consumer": {"topics": ["orders"]}})
    assembled.on_event("order.created", handle, topic="orders")
    assembled.on_event("stock.low", handle, topic="stock")
    assembled.on_event("account.created", handle)  # nobody knows its topic: it may be any
    [warning] = subscribed(assembled).warnings
    assert warning == (
        "app:handle handles stock.low, which arrives on stock (@on_event of app:handle), and "
        "[consumer] topics (Hub(config=...)) leaves that topic out"
    )


def test_a_worker_names_once_what_the_config_says_of_handlers_that_nobody_has(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assembled = hub({"handlers": {"app:handel": {"priority": 1}}})
    assembled.on_event("order.created", handle, topic="orders")
    run_worker(assembled)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [
        "Hub(config=...): no handler is called 'app:handel'; did you mean 'app:handle'?"
    ]
