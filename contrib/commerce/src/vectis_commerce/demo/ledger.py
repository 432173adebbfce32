"""The books of the demo: what the worker received, in a SQLite file that only the worker writes.

Idempotent by event id: an event that comes again is counted as a redelivery and changes nothing.
Every entry is committed before `record_...` returns, so that what the worker commits is kept.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from decimal import Decimal
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Adjustment", "Contents", "Ledger", "OrderEntry", "StatusChange", "count", "read"]

_VERSION = 1
_PATIENCE = 10.0  # seconds to wait for another worker that makes the file at the same moment

# `event` is what makes it idempotent; `rowid` keeps the order of arrival.
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS orders (
    event TEXT NOT NULL UNIQUE, order_id TEXT NOT NULL, grand_total TEXT NOT NULL,
    lines INTEGER NOT NULL, amount TEXT NOT NULL, pieces INTEGER NOT NULL, seconds REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS adjustments (
    event TEXT NOT NULL UNIQUE, reference TEXT NOT NULL, product_id TEXT NOT NULL,
    delta INTEGER NOT NULL, seconds REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS changes (
    event TEXT NOT NULL UNIQUE, order_id TEXT NOT NULL, sequence INTEGER NOT NULL,
    status TEXT NOT NULL, seconds REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS redeliveries (event TEXT NOT NULL);
PRAGMA user_version = {_VERSION};
COMMIT;
"""
_KINDS = ("orders", "adjustments", "changes")


@attrs.frozen
class OrderEntry:
    """An order as it was received: its own total, and what its lines add up to."""

    order_id: str
    grand_total: Decimal
    lines: int
    amount: Decimal
    pieces: int


@attrs.frozen
class Adjustment:
    """A change of stock as it was received; the reference is `order/line`."""

    reference: str
    product_id: str
    delta: int


@attrs.frozen
class StatusChange:
    """A change of an order's status as it was received."""

    order_id: str
    sequence: int
    status: str


@attrs.frozen
class Contents:
    """Everything in a ledger, in the order of arrival.

    Args:
        orders: The orders.
        adjustments: The changes of stock.
        changes: The changes of status.
        redeliveries: How many events came again and were absorbed.
        seconds: From publishing to its entry, for every event.
    """

    orders: tuple[OrderEntry, ...]
    adjustments: tuple[Adjustment, ...]
    changes: tuple[StatusChange, ...]
    redeliveries: int = 0
    seconds: tuple[float, ...] = ()


class Ledger:
    """The ledger as the worker writes it.

    Args:
        path: The file; made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        # NORMAL keeps every commit through a SIGKILL; only a power cut could take the last ones.
        _use_wal(self._connection)
        self._connection.execute("PRAGMA synchronous = NORMAL")
        if _version(self._connection) != _VERSION:
            # Two workers may find no tables at the same moment: the second one changes nothing.
            self._connection.executescript(_SCHEMA)

    def record_order(self, event: str, seconds: float, payload: dict[str, Any]) -> None:
        """Enter an `order.created`."""
        lines = payload["lines"]
        amount = sum((Decimal(line["amount"]) for line in lines), Decimal())
        pieces = sum(line["quantity"] for line in lines)
        row = (event, payload["order_id"], payload["grand_total"], len(lines), str(amount), pieces)
        self._enter("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, seconds))

    def record_adjustment(self, event: str, seconds: float, payload: dict[str, Any]) -> None:
        """Enter an `inventory.adjusted`."""
        row = (event, payload["reference"], payload["product_id"], payload["delta"], seconds)
        self._enter("INSERT INTO adjustments VALUES (?, ?, ?, ?, ?)", row)

    def record_change(self, event: str, seconds: float, payload: dict[str, Any]) -> None:
        """Enter an `order.status_changed`."""
        row = (event, payload["order_id"], payload["sequence"], payload["status"], seconds)
        self._enter("INSERT INTO changes VALUES (?, ?, ?, ?, ?)", row)

    def _enter(self, statement: str, row: tuple[Any, ...]) -> None:
        # One statement is one transaction, committed when it returns.
        entered = self._connection.execute(f"{statement} ON CONFLICT (event) DO NOTHING", row)
        if entered.rowcount == 0:
            self._connection.execute("INSERT INTO redeliveries VALUES (?)", row[:1])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def count(path: Path) -> tuple[int, int]:
    """Return how many entries a ledger has and how many redeliveries it absorbed, at once.

    Args:
        path: The file, which the worker may not have made yet.
    """
    # Nothing is ever deleted, so the last rowid is the number of rows and costs no scan.
    last = [f"(SELECT coalesce(max(rowid), 0) FROM {kind})" for kind in (*_KINDS, "redeliveries")]
    query = f"SELECT {' + '.join(last[:-1])}, {last[-1]}"
    with _reading(path) as connection:
        if connection is None:
            return 0, 0
        entries, redeliveries = connection.execute(query).fetchone()
    return int(entries), int(redeliveries)


def read(path: Path) -> Contents:
    """Return everything in a ledger.

    Args:
        path: The file, which the worker may not have made yet.
    """
    with _reading(path) as connection:
        if connection is None:
            return Contents((), (), ())
        orders = _rows(connection, "order_id, grand_total, lines, amount, pieces", "orders")
        adjustments = _rows(connection, "reference, product_id, delta", "adjustments")
        changes = _rows(connection, "order_id, sequence, status", "changes")
        (redeliveries,) = connection.execute("SELECT count(*) FROM redeliveries").fetchone()
        seconds = [s for kind in _KINDS for (s,) in _rows(connection, "seconds", kind)]
    return Contents(
        orders=tuple(
            OrderEntry(order_id, Decimal(total), lines, Decimal(amount), pieces)
            for order_id, total, lines, amount, pieces in orders
        ),
        adjustments=tuple(Adjustment(*row) for row in adjustments),
        changes=tuple(StatusChange(*row) for row in changes),
        redeliveries=redeliveries,
        seconds=tuple(seconds),
    )


def _rows(connection: sqlite3.Connection, columns: str, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT {columns} FROM {table} ORDER BY rowid").fetchall()


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Open for reading; None while the worker has not made the tables yet."""
    if not path.exists():
        yield None
        return
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        yield connection if _version(connection) == _VERSION else None


def _use_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not wait here: of two that change the mode at once, one is refused immediately.
    until = monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > until:
                raise
            sleep(0.01)
        else:
            return


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
