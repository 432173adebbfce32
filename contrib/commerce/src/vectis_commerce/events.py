"""The events of a shop as typed classes: what happens to orders, stock and accounts.

Three topics, each keyed so that what concerns one order, product or account arrives in order. Money
is a Decimal and a string on the wire, quantities are whole pieces, moments are datetimes (a naive
one is written as UTC). These classes only hold facts; what follows from them is for handlers.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import attrs
from attrs.validators import and_, deep_iterable, ge, instance_of, min_len

from vectis.core import event_type

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ACCOUNTS",
    "ALL",
    "INVENTORY",
    "ORDERS",
    "AccountApproved",
    "AccountCreated",
    "InventoryAdjusted",
    "InventoryReserved",
    "OrderCancelled",
    "OrderCreated",
    "OrderLine",
    "OrderPreCreate",
    "OrderStatusChanged",
]

ORDERS = "vectis.orders"
INVENTORY = "vectis.inventory"
ACCOUNTS = "vectis.accounts"


def _finite(instance: object, attribute: attrs.Attribute[Decimal], value: object) -> None:
    # A float would bring its binary rounding along, and NaN never adds up.
    if not isinstance(value, Decimal) or not value.is_finite():
        raise TypeError(f"{attribute.name} must be a finite Decimal, not {value!r}")


def _whole(instance: object, attribute: attrs.Attribute[int], value: object) -> None:
    if type(value) is not int:  # a bool is an int to Python, and no quantity
        raise TypeError(f"{attribute.name} must be an int, not {value!r}")


_name = and_(instance_of(str), min_len(1))
_moment = instance_of(datetime)


@attrs.frozen
class OrderLine:
    """One product of an order.

    Args:
        product_id: The product.
        quantity: How many pieces.
        amount: What they cost together.
    """

    product_id: str = attrs.field(validator=_name)
    quantity: int = attrs.field(validator=_whole)
    amount: Decimal = attrs.field(validator=_finite)


def _lines(lines: Iterable[OrderLine]) -> tuple[OrderLine, ...]:
    return tuple(lines)


@event_type("order.pre_create")
@attrs.frozen
class OrderPreCreate:
    """Somebody wants to place an order; a handler may still cancel it. It has no topic.

    Args:
        order_id: The order.
        account_id: Whose order it is.
        grand_total: What it costs.
    """

    order_id: str = attrs.field(validator=_name)
    account_id: str = attrs.field(validator=_name)
    grand_total: Decimal = attrs.field(validator=_finite)


@event_type("order.created", topic=ORDERS, key="order_id", version=1)
@attrs.frozen
class OrderCreated:
    """An order was placed.

    Args:
        order_id: The order.
        account_id: Whose order it is.
        store_id: Where it was placed.
        placed_at: When.
        grand_total: What it costs: the sum of its lines' amounts.
        lines: Its products.
    """

    order_id: str = attrs.field(validator=_name)
    account_id: str = attrs.field(validator=_name)
    store_id: str = attrs.field(validator=_name)
    placed_at: datetime = attrs.field(validator=_moment)
    grand_total: Decimal = attrs.field(validator=_finite)
    lines: tuple[OrderLine, ...] = attrs.field(
        converter=_lines, validator=deep_iterable(instance_of(OrderLine))
    )


@event_type("order.status_changed", topic=ORDERS, key="order_id", version=1)
@attrs.frozen
class OrderStatusChanged:
    """An order reached its next status.

    Args:
        order_id: The order.
        status: What it is now, such as `paid`.
        sequence: Which change of this order it is, from 1.
        changed_at: When.
    """

    order_id: str = attrs.field(validator=_name)
    status: str = attrs.field(validator=_name)
    sequence: int = attrs.field(validator=and_(_whole, ge(1)))
    changed_at: datetime = attrs.field(validator=_moment)


@event_type("order.cancelled", topic=ORDERS, key="order_id", version=1)
@attrs.frozen
class OrderCancelled:
    """An order that had been created will not be carried out.

    Args:
        order_id: The order.
        reason: Why, in words.
        cancelled_at: When.
    """

    order_id: str = attrs.field(validator=_name)
    reason: str = attrs.field(validator=instance_of(str))
    cancelled_at: datetime = attrs.field(validator=_moment)


@event_type("inventory.adjusted", topic=INVENTORY, key="product_id", version=1)
@attrs.frozen
class InventoryAdjusted:
    """The stock of a product changed.

    Args:
        product_id: The product.
        delta: By how many pieces; negative when they left.
        reason: Why, such as `sale` or `count`.
        reference: What brought it about, such as an order and its line: `4711/3`.
        adjusted_at: When.
    """

    product_id: str = attrs.field(validator=_name)
    delta: int = attrs.field(validator=_whole)
    reason: str = attrs.field(validator=_name)
    reference: str = attrs.field(validator=instance_of(str))
    adjusted_at: datetime = attrs.field(validator=_moment)


@event_type("inventory.reserved", topic=INVENTORY, key="product_id", version=1)
@attrs.frozen
class InventoryReserved:
    """Pieces of a product were set aside for an order.

    Args:
        product_id: The product.
        order_id: For which order.
        quantity: How many pieces.
        reserved_at: When.
    """

    product_id: str = attrs.field(validator=_name)
    order_id: str = attrs.field(validator=_name)
    quantity: int = attrs.field(validator=and_(_whole, ge(0)))
    reserved_at: datetime = attrs.field(validator=_moment)


@event_type("account.created", topic=ACCOUNTS, key="account_id", version=1)
@attrs.frozen
class AccountCreated:
    """Somebody opened an account.

    Args:
        account_id: The account.
        name: Who it belongs to.
        created_at: When.
    """

    account_id: str = attrs.field(validator=_name)
    name: str = attrs.field(validator=instance_of(str))
    created_at: datetime = attrs.field(validator=_moment)


@event_type("account.approved", topic=ACCOUNTS, key="account_id", version=1)
@attrs.frozen
class AccountApproved:
    """An account may order.

    Args:
        account_id: The account.
        approved_by: Who decided.
        credit_limit: What it may owe at most.
        approved_at: When.
    """

    account_id: str = attrs.field(validator=_name)
    approved_by: str = attrs.field(validator=_name)
    credit_limit: Decimal = attrs.field(validator=_finite)
    approved_at: datetime = attrs.field(validator=_moment)


ALL: tuple[type, ...] = (
    OrderPreCreate,
    OrderCreated,
    OrderStatusChanged,
    OrderCancelled,
    InventoryAdjusted,
    InventoryReserved,
    AccountCreated,
    AccountApproved,
)
"""Every event class of this plugin."""
