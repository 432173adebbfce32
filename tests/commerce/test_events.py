"""The commerce events: known to every hub, typed where they are made, exact on the wire."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vectis_commerce
from vectis.core import Hub
from vectis.core.catalogue import describe, event_of
from vectis.core.codec import decode, encode
from vectis.core.message import Delivery
from vectis.core.testing import MemoryTransport
from vectis_commerce.events import (
    ALL,
    AccountApproved,
    AccountCreated,
    InventoryAdjusted,
    InventoryReserved,
    OrderCancelled,
    OrderCreated,
    OrderLine,
    OrderPreCreate,
    OrderStatusChanged,
)

NOW = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
EXAMPLES: tuple[Any, ...] = (
    OrderPreCreate("4711", "900", Decimal("5.00")),
    OrderCreated(
        "4711", "900", "330", NOW, Decimal("5.00"), (OrderLine("p1", 2, Decimal("5.00")),)
    ),
    OrderStatusChanged("4711", "paid", 1, NOW),
    OrderCancelled("4711", "changed my mind", NOW),
    InventoryAdjusted("p1", -2, "sale", "4711/1", NOW),
    InventoryReserved("p1", "4711", 2, NOW),
    AccountCreated("900", "Ada", NOW),
    AccountApproved("900", "Grace", Decimal("1000.00"), NOW),
)

# The table of the document.
TOPICS = {
    "vectis.orders": {"order.created", "order.status_changed", "order.cancelled"},
    "vectis.inventory": {"inventory.adjusted", "inventory.reserved"},
    "vectis.accounts": {"account.created", "account.approved"},
}


def over_the_wire(instance: object) -> Any:
    """Return the payload that a consumer gets."""
    event = event_of(instance)
    message = encode(event, topic="t", key="k", source="shop", max_bytes=1_000_000)
    delivery = Delivery("t", 0, 0, message.key, message.value, message.headers)
    return decode(delivery, max_bytes=1_000_000).payload


def test_the_plugin_registers_the_events_of_the_document_with_their_topics() -> None:
    hub = Hub({}, plugins={"commerce": vectis_commerce}, discover=False)
    found: dict[str, set[str]] = {}
    for known in hub.catalogue:
        assert known.plugin == "commerce"
        if known.topic is not None:
            found.setdefault(known.topic, set()).add(known.name)
    assert found == TOPICS
    assert hub.catalogue.topic_of("order.pre_create") is None
    assert len(hub.catalogue) == 8


def test_there_is_an_example_of_every_event_here() -> None:
    assert tuple(type(example) for example in EXAMPLES) == ALL


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_an_event_arrives_with_every_field_and_exact_money(example: Any) -> None:
    payload = over_the_wire(example)
    assert set(payload) == set(attrs.fields_dict(type(example)))
    for name, value in attrs.asdict(example, recurse=False).items():
        if isinstance(value, Decimal):
            assert payload[name] == str(value)
        elif isinstance(value, datetime):
            assert payload[name] == "2026-01-31T12:30:00+00:00"
        elif isinstance(value, (str, int)):
            assert payload[name] == value


def test_the_lines_of_an_order_arrive_in_order() -> None:
    lines = tuple(OrderLine(f"p{n}", n, Decimal(n) / 100) for n in range(20))
    payload = over_the_wire(OrderCreated("1", "2", "3", NOW, Decimal("1.90"), lines))
    assert [line["product_id"] for line in payload["lines"]] == [f"p{n}" for n in range(20)]
    assert payload["lines"][7] == {"product_id": "p7", "quantity": 7, "amount": "0.07"}


@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63 - 1))
def test_money_and_pieces_of_any_size_arrive_as_they_were(amount: Decimal, pieces: int) -> None:
    order = OrderCreated("1", "2", "3", NOW, amount, (OrderLine("p", pieces, amount),))
    payload = over_the_wire(order)
    (line,) = payload["lines"]
    assert (Decimal(payload["grand_total"]), line["quantity"]) == (amount, pieces)


def test_the_key_of_an_event_is_what_it_is_about() -> None:
    keys = {
        type(example).__name__: describe(type(example)).key_of(event_of(example).data)
        for example in EXAMPLES
    }
    assert keys == {
        "OrderPreCreate": None,
        "OrderCreated": "4711",
        "OrderStatusChanged": "4711",
        "OrderCancelled": "4711",
        "InventoryAdjusted": "p1",
        "InventoryReserved": "p1",
        "AccountCreated": "900",
        "AccountApproved": "900",
    }


def test_a_published_event_names_the_version_of_its_schema() -> None:
    async def main() -> dict[str, bytes]:
        memory = MemoryTransport()
        plugins = {"commerce": vectis_commerce, "memory": memory}
        async with Hub({}, plugins=plugins, discover=False) as hub:
            event = event_of(OrderStatusChanged("4711", "paid", 1, NOW))
            await hub.publish("vectis.orders", event.type, event.data, "4711")
            _, consumer = hub.consumer(("vectis.orders",), "reader")
            await consumer.start(on_assigned=nothing, on_revoked=nothing)
            (delivery,) = await consumer.fetch(max_records=1, timeout=5)
            await consumer.close()
        return dict(delivery.headers)

    async def nothing(partitions: object) -> None: ...

    assert asyncio.run(main())["ce_dataschema"].endswith(b"order.status_changed:v1")


@pytest.mark.parametrize(
    ("event_class", "values", "complaint"),
    [
        (OrderLine, ("p1", 1, 0.1), "amount must be a finite Decimal, not 0.1"),
        (OrderLine, ("p1", 1, Decimal("NaN")), "amount must be a finite Decimal"),
        (OrderLine, ("p1", 1.5, Decimal(1)), "quantity must be an int, not 1.5"),
        (OrderLine, ("p1", True, Decimal(1)), "quantity must be an int, not True"),
        (OrderStatusChanged, ("", "paid", 1, NOW), "order_id"),
        (OrderStatusChanged, ("1", "paid", 0, NOW), "sequence"),
        (OrderStatusChanged, ("1", "paid", 1, "today"), "changed_at"),
        (OrderCreated, ("1", "2", "3", NOW, Decimal(1), ({"a": 1},)), "lines"),
    ],
)
def test_a_wrong_value_is_refused_where_it_is_made(
    event_class: Any, values: tuple[Any, ...], complaint: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=complaint):
        event_class(*values)


def test_the_events_are_not_loaded_with_the_plugin_before_a_hub_asks() -> None:
    code = "import sys, vectis_commerce; raise SystemExit('vectis_commerce.events' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
