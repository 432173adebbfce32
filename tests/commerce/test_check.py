"""The reckoning of the demo finds every planted fault, also those that leave the sums alone."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectis_commerce.demo.check import Reckoning, reckon
from vectis_commerce.demo.ledger import Adjustment, Contents, OrderEntry, StatusChange
from vectis_commerce.demo.producer import reference
from vectis_commerce.events import OrderCreated, OrderLine

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2017, 1, 1, tzinfo=UTC)


def order(order_id: str, *lines: tuple[str, int, str]) -> OrderCreated:
    made = tuple(
        OrderLine(product, quantity, Decimal(amount)) for product, quantity, amount in lines
    )
    total = sum((line.amount for line in made), Decimal())
    return OrderCreated(order_id, "900", "330", NOW, total, made)


ORDERS = (
    order("1", ("a", 1, "0.50"), ("b", 2, "1.00")),
    order("2", ("a", 3, "2.00")),
    order("3", ("c", 0, "0.00"), ("a", 1, "0.50")),
    order("4", ("d", 9, "900.00")),
)
CANCELLED = ORDERS[3:]


def entry(order: OrderCreated) -> OrderEntry:
    pieces = sum(line.quantity for line in order.lines)
    return OrderEntry(
        order.order_id, order.grand_total, len(order.lines), order.grand_total, pieces
    )


def received(orders: tuple[OrderCreated, ...]) -> Contents:
    """Return the ledger when nothing went wrong."""
    return Contents(
        orders=tuple(map(entry, orders)),
        adjustments=tuple(
            Adjustment(reference(order.order_id, number), line.product_id, -line.quantity)
            for order in orders
            for number, line in enumerate(order.lines, 1)
        ),
        changes=tuple(
            StatusChange(order.order_id, sequence, status)
            for sequence, status in ((1, "paid"), (2, "shipped"))
            for order in orders
        ),
    )


GOOD = received(ORDERS[:3])


def reckoned(ledger: Contents) -> Reckoning:
    return reckon(ORDERS, CANCELLED, ledger)


def test_it_matches_when_everything_arrived_once_and_in_sequence() -> None:
    reckoning = reckoned(GOOD)
    assert reckoning.matches
    assert reckoning.differences == ()
    sums = {row.what: (row.file, row.ledger, row.cancelled) for row in reckoning.rows}
    assert sums["grand total"] == (Decimal("904.00"), Decimal("4.00"), Decimal("900.00"))
    assert sums["pieces off stock"] == (Decimal(16), Decimal(7), Decimal(9))


def swap(entries: tuple[Any, ...], one: int, other: int) -> tuple[Any, ...]:
    swapped = list(entries)
    swapped[one], swapped[other] = swapped[other], swapped[one]
    return tuple(swapped)


def changed(entries: tuple[Any, ...], index: int, **values: Any) -> tuple[Any, ...]:
    return (*entries[:index], attrs.evolve(entries[index], **values), *entries[index + 1 :])


FAULTS: dict[str, tuple[Callable[[], Contents], str]] = {
    "a lost order": (
        lambda: attrs.evolve(GOOD, orders=GOOD.orders[1:]),
        "order 1 is missing from the ledger",
    ),
    "an order twice": (
        lambda: attrs.evolve(GOOD, orders=(*GOOD.orders, GOOD.orders[0])),
        "order 1 is in the ledger 2 times",
    ),
    "an order that was cancelled": (
        lambda: attrs.evolve(GOOD, orders=(*GOOD.orders, entry(ORDERS[3]))),
        "order 4 is in the ledger and should not be",
    ),
    "a cent too much": (
        lambda: attrs.evolve(GOOD, orders=changed(GOOD.orders, 0, grand_total=Decimal("1.51"))),
        "order 1 has grand total 1.51 instead of 1.50 in the ledger",
    ),
    "totals of two orders swapped": (
        lambda: attrs.evolve(
            GOOD,
            orders=changed(
                changed(GOOD.orders, 0, grand_total=Decimal("2.00")),
                1,
                grand_total=Decimal("1.50"),
            ),
        ),
        "order 2 has grand total 1.50 instead of 2.00 in the ledger",
    ),
    "a lost adjustment": (
        lambda: attrs.evolve(GOOD, adjustments=GOOD.adjustments[:-1]),
        "the stock adjustment for 3/2 is missing",
    ),
    "a lost adjustment of nothing": (
        lambda: attrs.evolve(
            GOOD, adjustments=tuple(a for a in GOOD.adjustments if a.reference != "3/1")
        ),
        "the stock adjustment for 3/1 is missing",
    ),
    "an adjustment twice": (
        lambda: attrs.evolve(GOOD, adjustments=(*GOOD.adjustments, GOOD.adjustments[1])),
        "the stock adjustment for 1/2 is in the ledger 2 times",
    ),
    "one lost and another one twice": (
        lambda: attrs.evolve(GOOD, adjustments=changed(GOOD.adjustments, 0, reference="3/2")),
        "the stock adjustment for 1/1 is missing",
    ),
    "the product of another line": (
        lambda: attrs.evolve(GOOD, adjustments=changed(GOOD.adjustments, 0, product_id="b")),
        "the stock adjustment for 1/1 has product b instead of a in the ledger",
    ),
    "a lost change": (
        lambda: attrs.evolve(GOOD, changes=GOOD.changes[1:]),
        "order 1: status changes arrived as 2 shipped instead of 1 paid, 2 shipped",
    ),
    "changes in the wrong order": (
        lambda: attrs.evolve(GOOD, changes=swap(GOOD.changes, 0, 3)),
        "order 1: status changes arrived as 2 shipped, 1 paid instead of",
    ),
    "a change twice": (
        lambda: attrs.evolve(GOOD, changes=(*GOOD.changes, GOOD.changes[0])),
        "order 1: status changes arrived as 1 paid, 2 shipped, 1 paid instead of",
    ),
    "changes of an order that was cancelled": (
        lambda: attrs.evolve(GOOD, changes=(*GOOD.changes, StatusChange("4", 1, "paid"))),
        "status changes of order 4 arrived, and it should not be there",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_named(fault: str) -> None:
    plant, complaint = FAULTS[fault]
    reckoning = reckoned(plant())
    assert not reckoning.matches
    assert any(complaint in difference for difference in reckoning.differences), (
        reckoning.differences
    )


def test_an_order_cancelled_twice_or_out_of_nowhere_is_found() -> None:
    twice = reckon(ORDERS, (*CANCELLED, *CANCELLED), GOOD)
    assert "order 4 was cancelled twice" in twice.differences
    unknown = reckon(ORDERS, (*CANCELLED, order("5", ("a", 1, "1.00"))), GOOD)
    assert "order 5 was cancelled and is not in the file" in unknown.differences


@given(st.data())
def test_any_entry_that_is_dropped_or_doubled_is_noticed(
    data: st.DataObject,
) -> None:
    kind = data.draw(st.sampled_from(["orders", "adjustments", "changes"]))
    entries: tuple[Any, ...] = getattr(GOOD, kind)
    index = data.draw(st.integers(0, len(entries) - 1))
    rest = (*entries[:index], *entries[index + 1 :])
    fault = data.draw(st.sampled_from(["dropped", "doubled"]))
    planted = rest if fault == "dropped" else (*entries, entries[index])
    changes: dict[str, Any] = {kind: planted}
    assert not reckoned(attrs.evolve(GOOD, **changes)).matches


@given(st.permutations(range(len(GOOD.adjustments))), st.permutations(range(len(GOOD.orders))))
def test_the_order_of_arrival_counts_only_for_status_changes(
    adjustments: list[int], orders: list[int]
) -> None:
    shuffled = attrs.evolve(
        GOOD,
        adjustments=tuple(GOOD.adjustments[index] for index in adjustments),
        orders=tuple(GOOD.orders[index] for index in orders),
    )
    assert reckoned(shuffled).matches
