"""Events for tests: each factory makes a valid one, and takes what a test wants to be different.

What follows from something else is worked out: an order costs what its lines do. Two calls make
equal events, so that a test can compare them; `moment` is when all of them happen.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from vectis_commerce.events import (
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

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "STATUSES",
    "account_approved",
    "account_created",
    "inventory_adjusted",
    "inventory_reserved",
    "moment",
    "order_cancelled",
    "order_created",
    "order_line",
    "order_pre_create",
    "order_status_changed",
    "story_of",
]

STATUSES = ("paid", "packed", "shipped", "delivered")
"""What an order goes through in `story_of`."""


def moment(minutes: int = 0) -> datetime:
    """Return the moment at which everything happens here, or so many minutes later.

    Example:
        >>> from vectis_commerce.testing import moment
        >>> moment(5).isoformat()
        '2026-01-31T12:35:00+00:00'
    """
    return datetime(2026, 1, 31, 12, 30, tzinfo=UTC) + timedelta(minutes=minutes)


def order_line(
    product_id: str = "1095275", quantity: int = 2, amount: Decimal | str = "5.00"
) -> OrderLine:
    """Return one product of an order.

    Args:
        product_id: The product.
        quantity: How many pieces.
        amount: What they cost together; a string for a Decimal.
    """
    return OrderLine(product_id, quantity, Decimal(amount))


def order_pre_create(
    order_id: str = "4711", account_id: str = "900", grand_total: Decimal | str = "5.00"
) -> OrderPreCreate:
    """Return an order that somebody wants to place."""
    return OrderPreCreate(order_id, account_id, Decimal(grand_total))


def order_created(
    order_id: str = "4711",
    account_id: str = "900",
    store_id: str = "330",
    placed_at: datetime | None = None,
    grand_total: Decimal | str | None = None,
    lines: Iterable[OrderLine] | None = None,
) -> OrderCreated:
    """Return an order that was placed.

    Args:
        order_id: The order.
        account_id: Whose order it is.
        store_id: Where it was placed.
        placed_at: When.
        grand_total: What it costs; the sum of its lines unless given.
        lines: Its products; one unless given.

    Example:
        >>> from vectis_commerce.testing import order_created, order_line
        >>> order_created(lines=[order_line(amount="5.00"), order_line(amount="1.20")]).grand_total
        Decimal('6.20')
    """
    products = (order_line(),) if lines is None else tuple(lines)
    if grand_total is None:
        grand_total = sum((line.amount for line in products), Decimal("0.00"))
    return OrderCreated(
        order_id=order_id,
        account_id=account_id,
        store_id=store_id,
        placed_at=placed_at or moment(),
        grand_total=Decimal(grand_total),
        lines=products,
    )


def order_status_changed(
    order_id: str = "4711",
    status: str = "paid",
    sequence: int = 1,
    changed_at: datetime | None = None,
) -> OrderStatusChanged:
    """Return an order's next status."""
    return OrderStatusChanged(order_id, status, sequence, changed_at or moment(sequence))


def order_cancelled(
    order_id: str = "4711", reason: str = "changed my mind", cancelled_at: datetime | None = None
) -> OrderCancelled:
    """Return an order that will not be carried out."""
    return OrderCancelled(order_id, reason, cancelled_at or moment())


def inventory_adjusted(
    product_id: str = "1095275",
    delta: int = -2,
    reason: str = "sale",
    reference: str = "4711/1",
    adjusted_at: datetime | None = None,
) -> InventoryAdjusted:
    """Return a change of a product's stock."""
    return InventoryAdjusted(product_id, delta, reason, reference, adjusted_at or moment())


def inventory_reserved(
    product_id: str = "1095275",
    order_id: str = "4711",
    quantity: int = 2,
    reserved_at: datetime | None = None,
) -> InventoryReserved:
    """Return pieces that were set aside for an order."""
    return InventoryReserved(product_id, order_id, quantity, reserved_at or moment())


def account_created(
    account_id: str = "900", name: str = "Ada", created_at: datetime | None = None
) -> AccountCreated:
    """Return an account that somebody opened."""
    return AccountCreated(account_id, name, created_at or moment())


def account_approved(
    account_id: str = "900",
    approved_by: str = "Grace",
    credit_limit: Decimal | str = "1000.00",
    approved_at: datetime | None = None,
) -> AccountApproved:
    """Return an account that may order."""
    return AccountApproved(account_id, approved_by, Decimal(credit_limit), approved_at or moment())


def story_of(order: OrderCreated, statuses: Sequence[str] = STATUSES) -> list[object]:
    """Return everything that happens to an order, in order: it is the story of one that went well.

    It is placed, its products are reserved, it goes through its statuses a minute apart, and when
    the last one is reached the products leave the stock.

    Args:
        order: The order.
        statuses: What it goes through.

    Example:
        >>> from vectis_commerce.testing import order_created, story_of
        >>> [type(event).__name__ for event in story_of(order_created(), ["paid"])]
        ['OrderCreated', 'InventoryReserved', 'OrderStatusChanged', 'InventoryAdjusted']
    """
    at = order.placed_at
    story: list[object] = [order]
    story += [
        InventoryReserved(line.product_id, order.order_id, line.quantity, at)
        for line in order.lines
    ]
    for sequence, status in enumerate(statuses, 1):
        at = order.placed_at + timedelta(minutes=sequence)
        story.append(OrderStatusChanged(order.order_id, status, sequence, at))
    story += [
        InventoryAdjusted(line.product_id, -line.quantity, "sale", f"{order.order_id}/{number}", at)
        for number, line in enumerate(order.lines, 1)
    ]
    return story
