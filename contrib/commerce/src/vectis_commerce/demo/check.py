"""The reckoning at the end: is the file the ledger plus what was cancelled, to the cent?

Pure: it compares three lists, and takes nobody's word for anything. Sums are shown, but every
order, line and change is compared by itself, so that two faults cannot cancel each other out.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

import attrs

from vectis_commerce.demo.producer import STATUSES, reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from vectis_commerce.demo.ledger import Contents
    from vectis_commerce.events import OrderCreated

__all__ = ["Reckoning", "Row", "reckon"]

T = TypeVar("T")
V = TypeVar("V")


@attrs.frozen
class Row:
    """One line of the reckoning.

    Args:
        what: What is counted.
        file: How much of it the file has.
        ledger: How much of it arrived.
        cancelled: How much of it was cancelled.
    """

    what: str
    file: Decimal
    ledger: Decimal
    cancelled: Decimal

    @property
    def difference(self) -> Decimal:
        """What is missing, or negative: what there is too much of."""
        return self.file - self.ledger - self.cancelled


@attrs.frozen
class Reckoning:
    """What came out.

    Args:
        rows: The sums.
        differences: Everything that is not as it should be, one sentence each.
    """

    rows: tuple[Row, ...]
    differences: tuple[str, ...]

    @property
    def matches(self) -> bool:
        """Whether nothing differs."""
        return not self.differences and not any(row.difference for row in self.rows)


def reckon(
    orders: Sequence[OrderCreated], cancelled: Sequence[OrderCreated], ledger: Contents
) -> Reckoning:
    """Compare the orders of the file with the ledger and with those that were cancelled.

    Args:
        orders: All orders of the file.
        cancelled: Those among them that were cancelled.
        ledger: What arrived.
    """
    gone = {order.order_id for order in cancelled}
    accepted = [order for order in orders if order.order_id not in gone]
    differences = (
        *_cancelled_differences(orders, cancelled),
        *_order_differences(accepted, ledger),
        *_adjustment_differences(accepted, ledger),
        *_sequence_differences(accepted, ledger),
    )
    return Reckoning(_rows(orders, cancelled, ledger), differences)


def _rows(
    orders: Sequence[OrderCreated], cancelled: Sequence[OrderCreated], ledger: Contents
) -> tuple[Row, ...]:
    def row(what: str, of_file: Callable[[OrderCreated], Decimal | int], arrived: Decimal) -> Row:
        return Row(what, _sum(map(of_file, orders)), arrived, _sum(map(of_file, cancelled)))

    entries, adjustments = ledger.orders, ledger.adjustments
    moved = _sum(-adjustment.delta for adjustment in adjustments)
    changes = Decimal(len(ledger.changes))
    return (
        row("orders", lambda order: 1, Decimal(len(entries))),
        row("grand total", lambda o: o.grand_total, _sum(e.grand_total for e in entries)),
        row("order lines", lambda o: len(o.lines), _sum(e.lines for e in entries)),
        row("amount of the lines", _amount, _sum(e.amount for e in entries)),
        row("pieces ordered", _pieces, _sum(e.pieces for e in entries)),
        row("stock adjustments", lambda o: len(o.lines), Decimal(len(adjustments))),
        row("pieces off stock", _pieces, moved),
        row("status changes", lambda order: len(STATUSES), changes),
    )


def _sum(values: Iterable[Decimal | int]) -> Decimal:
    return Decimal(sum(values))


def _amount(order: OrderCreated) -> Decimal:
    return _sum(line.amount for line in order.lines)


def _pieces(order: OrderCreated) -> int:
    return sum(line.quantity for line in order.lines)


def _cancelled_differences(
    orders: Sequence[OrderCreated], cancelled: Sequence[OrderCreated]
) -> Iterator[str]:
    known = {order.order_id for order in orders}
    seen: set[str] = set()
    for order in cancelled:
        if order.order_id not in known:
            yield f"order {order.order_id} was cancelled and is not in the file"
        if order.order_id in seen:
            yield f"order {order.order_id} was cancelled twice"
        seen.add(order.order_id)


def _order_differences(accepted: Sequence[OrderCreated], ledger: Contents) -> Iterator[str]:
    wanted = {
        order.order_id: (order.grand_total, len(order.lines), _amount(order), _pieces(order))
        for order in accepted
    }
    arrived = _grouped(
        ledger.orders,
        lambda entry: entry.order_id,
        lambda entry: (entry.grand_total, entry.lines, entry.amount, entry.pieces),
    )
    names = ("grand total", "number of lines", "amount of the lines", "pieces")
    yield from _each_once("order {}", names, wanted, arrived)


def _adjustment_differences(accepted: Sequence[OrderCreated], ledger: Contents) -> Iterator[str]:
    wanted = {
        reference(order.order_id, number): (line.product_id, -line.quantity)
        for order in accepted
        for number, line in enumerate(order.lines, 1)
    }
    arrived = _grouped(
        ledger.adjustments,
        lambda adjustment: adjustment.reference,
        lambda adjustment: (adjustment.product_id, adjustment.delta),
    )
    yield from _each_once("the stock adjustment for {}", ("product", "delta"), wanted, arrived)


def _sequence_differences(accepted: Sequence[OrderCreated], ledger: Contents) -> Iterator[str]:
    wanted = list(enumerate(STATUSES, 1))
    arrived = _grouped(
        ledger.changes,
        lambda change: change.order_id,
        lambda change: (change.sequence, change.status),
    )
    for order in accepted:
        came = arrived.pop(order.order_id, [])
        if came != wanted:
            yield (
                f"order {order.order_id}: status changes arrived as {_steps(came)} instead of "
                f"{_steps(wanted)}"
            )
    for order_id in arrived:
        yield f"status changes of order {order_id} arrived, and it should not be there"


def _steps(changes: Iterable[tuple[int, str]]) -> str:
    return ", ".join(f"{sequence} {status}" for sequence, status in changes) or "nothing"


def _grouped(
    entries: Iterable[T], key: Callable[[T], str], value: Callable[[T], V]
) -> dict[str, list[V]]:
    groups: defaultdict[str, list[V]] = defaultdict(list)
    for entry in entries:
        groups[key(entry)].append(value(entry))
    return groups


def _each_once(
    what: str,
    names: Sequence[str],
    wanted: Mapping[str, tuple[object, ...]],
    arrived: Mapping[str, Sequence[tuple[object, ...]]],
) -> Iterator[str]:
    for name, values in wanted.items():
        came = arrived.get(name, ())
        if not came:
            yield f"{what.format(name)} is missing from the ledger"
        elif len(came) > 1:
            yield f"{what.format(name)} is in the ledger {len(came)} times"
        elif came[0] != values:
            differ = (
                f"{field} {there} instead of {here}"
                for field, there, here in zip(names, came[0], values, strict=True)
                if there != here
            )
            yield f"{what.format(name)} has {', '.join(differ)} in the ledger"
    for name in arrived.keys() - wanted.keys():
        yield f"{what.format(name)} is in the ledger and should not be"
