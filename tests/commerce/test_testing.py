"""The factories make valid events, and every event has one."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from vectis.core.jsontext import plain
from vectis.core.payloads import structure
from vectis_commerce import testing
from vectis_commerce.events import (
    ALL,
    InventoryAdjusted,
    InventoryReserved,
    OrderCreated,
    OrderStatusChanged,
)


def factory_of(cls: type) -> Any:
    return getattr(testing, re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower())


@pytest.mark.parametrize("cls", ALL)
def test_every_event_has_a_factory_whose_events_cross_the_wire(cls: type) -> None:
    event = factory_of(cls)()
    assert type(event) is cls
    assert structure(plain(event), cls) == event == factory_of(cls)()


def test_what_a_test_wants_to_be_different_is() -> None:
    assert testing.order_cancelled("12", reason="too late").reason == "too late"
    assert testing.order_line(amount=Decimal("1.10")).amount == Decimal("1.10")
    assert testing.order_created(grand_total="9.99").grand_total == Decimal("9.99")


def test_an_order_costs_what_its_lines_do() -> None:
    lines = [testing.order_line(amount=amount) for amount in ("0.10", "0.20", "0.30")]
    assert testing.order_created(lines=lines).grand_total == Decimal("0.60")
    assert testing.order_created(lines=[]).grand_total == 0


def test_a_story_adds_up() -> None:
    order = testing.order_created(
        lines=[testing.order_line("milk", 3), testing.order_line("bread", 1)]
    )
    story = testing.story_of(order)
    changes = [event for event in story if isinstance(event, OrderStatusChanged)]
    reserved = {e.product_id: e.quantity for e in story if isinstance(e, InventoryReserved)}
    left = {e.product_id: e.delta for e in story if isinstance(e, InventoryAdjusted)}
    assert isinstance(story[0], OrderCreated)
    assert [change.status for change in changes] == list(testing.STATUSES)
    assert [change.sequence for change in changes] == [1, 2, 3, 4]
    assert sorted(change.changed_at for change in changes)[0] > order.placed_at
    assert reserved == {"milk": 3, "bread": 1}
    assert left == {"milk": -3, "bread": -1}
