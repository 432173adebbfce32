"""Reading a file of orders: one JSON object a line, plain or gzip.

A broken line is reported by its number and left out; the others are read. What an order has to be
is checked here, so that the rest of the demo can rely on it. Nothing is corrected.
"""

from __future__ import annotations

import gzip
import zlib
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from vectis.core.exceptions import DecodeError
from vectis.core.jsontext import from_json
from vectis.core.redact import one_line
from vectis_commerce.events import OrderCreated, OrderLine

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BrokenLine", "OrdersError", "OrdersFile", "read_orders", "shipped_orders"]

_GZIP = b"\x1f\x8b"
_LONGEST = 900_000  # bytes of a line: one order is one message, and messages have a size cap


class OrdersError(Exception):
    """The file as a whole cannot be used; the message says why and what to do."""


@attrs.frozen
class BrokenLine:
    """A line that is no order.

    Args:
        number: Its number, from 1.
        reason: What is wrong with it.
    """

    number: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.reason}"


@attrs.frozen
class OrdersFile:
    """What a file held.

    Args:
        path: The file.
        orders: The orders, in the order of the file.
        broken: The lines that were left out.
    """

    path: Path
    orders: tuple[OrderCreated, ...] = attrs.field(repr=False)
    broken: tuple[BrokenLine, ...] = ()


def shipped_orders() -> Path:
    """Return the file that comes with the demo: 500 real orders, see ATTRIBUTION.txt beside it."""
    return Path(__file__).with_name("orders.jsonl")


def read_orders(path: Path) -> OrdersFile:
    """Read a file of orders.

    Args:
        path: Plain text or gzip; the content tells, not the name.

    Raises:
        OrdersError: It is missing, no file, unreadable, empty, or holds no order at all.

    Example:
        >>> from vectis_commerce.demo.orders import read_orders, shipped_orders
        >>> found = read_orders(shipped_orders())
        >>> len(found.orders), found.orders[0].grand_total, found.broken
        (500, Decimal('0.50'), ())
    """
    orders: dict[str, OrderCreated] = {}
    broken: list[BrokenLine] = []
    lines: dict[str, int] = {}
    for number, text in _lines(path):
        if not isinstance(text, bytes):
            broken.append(BrokenLine(number, text.reason))
            continue
        try:
            order = _order(text)
            if order.order_id in orders:
                raise ValueError(
                    f"order {one_line(order.order_id, 40)} is already on line "
                    f"{lines[order.order_id]}"
                )
        except ValueError as error:
            broken.append(BrokenLine(number, str(error)))
        else:
            orders[order.order_id] = order
            lines[order.order_id] = number
    if not orders:
        why = f"the first of {len(broken)} broken lines is {broken[0]}" if broken else "it is empty"
        raise OrdersError(
            f"{path} holds no order: {why}. An order is one JSON object a line, with order_id, "
            "account_id, store_id, placed_at, grand_total and lines"
        )
    return OrdersFile(path, tuple(orders.values()), tuple(broken))


def _lines(path: Path) -> Iterator[tuple[int, bytes | BrokenLine]]:
    """Yield each line that is not blank with its number; a torn end comes as a broken line."""
    number = 0
    try:
        with path.open("rb") as raw:
            packed = raw.peek(2)[:2] == _GZIP
            with gzip.open(raw) if packed else raw as file:
                try:
                    for number, line in enumerate(file, 1):
                        if len(line) > _LONGEST:
                            reason = f"{len(line):,} bytes are more than a message may have"
                            yield number, BrokenLine(number, reason)
                        elif line.strip():
                            yield number, line
                except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                    reason = f"the gzip data is broken from here on ({error})"
                    yield number + 1, BrokenLine(number + 1, reason)
    except OSError as error:
        raise OrdersError(f"{path} cannot be read: {error.strerror or error}") from error


def _order(text: bytes) -> OrderCreated:
    try:
        document = from_json(text, "the line")
    except DecodeError as error:
        raise ValueError(str(error)) from None
    if not isinstance(document, dict):
        raise ValueError("the line is JSON, and no object")
    lines = _field(document, "lines", list)
    order = OrderCreated(
        order_id=_name(document, "order_id"),
        account_id=_name(document, "account_id"),
        store_id=_name(document, "store_id"),
        placed_at=_moment(document, "placed_at"),
        grand_total=_amount(document, "grand_total"),
        lines=tuple(_line(line, f"lines[{index}]") for index, line in enumerate(lines)),
    )
    total = sum((line.amount for line in order.lines), Decimal())
    if total != order.grand_total:
        raise ValueError(f"grand_total is {order.grand_total}, and its lines add up to {total}")
    return order


def _line(document: object, where: str) -> OrderLine:
    if not isinstance(document, dict):
        raise ValueError(f"{where} is no object")
    return OrderLine(
        product_id=_name(document, "product_id", where),
        quantity=_quantity(document, where),
        amount=_amount(document, "amount", where),
    )


def _field(document: dict[str, Any], name: str, kind: type, where: str = "") -> Any:
    place = f"{where}.{name}" if where else name
    if name not in document:
        raise ValueError(f"{place} is missing")
    value = document[name]
    if type(value) is not kind:
        raise ValueError(f"{place} must be a {_WORDS[kind]}, not {one_line(repr(value), 40)}")
    return value


_WORDS = {str: "string", int: "whole number", list: "list"}


def _name(document: dict[str, Any], name: str, where: str = "") -> str:
    value: str = _field(document, name, str, where)
    if not value:
        raise ValueError(f"{f'{where}.' if where else ''}{name} is empty")
    return value


def _quantity(document: dict[str, Any], where: str) -> int:
    value: int = _field(document, "quantity", int, where)
    if abs(value) >= 2**53:  # beyond that readers of JSON round
        raise ValueError(f"{where}.quantity is too large")
    return value


def _amount(document: dict[str, Any], name: str, where: str = "") -> Decimal:
    text = _field(document, name, str, where)
    place = f"{where}.{name}" if where else name
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or len(text) > 30 or abs(amount.adjusted()) > 20:
        raise ValueError(f"{place} must be a decimal amount, not {one_line(repr(text), 40)}")
    return amount


def _moment(document: dict[str, Any], name: str) -> datetime:
    text = _field(document, name, str)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{name} must be a date and time, not {one_line(repr(text), 40)}"
        ) from None
