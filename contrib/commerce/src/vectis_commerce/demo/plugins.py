"""The plugins that run in the process of the demo: a guard, an audit trail, and a cache.

Each knows nothing of the others; their priorities decide who runs first. A package would name such
a class in its entry point, the demo hands the instances to its hub.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from vectis.core import handles, hookimpl
from vectis.core.exceptions import EventCancelled
from vectis.core.jsontext import to_json

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from vectis.core import Event

__all__ = ["LIMIT", "Audit", "Cache", "Guard"]

LIMIT = Decimal("100.00")
"""The largest total that passes unless somebody says otherwise."""


class Guard:
    """Cancels orders above a limit before they exist.

    Args:
        limit: The largest total that passes.
    """

    def __init__(self, limit: Decimal) -> None:
        self.limit = limit

    @handles("order.pre_create", priority=10)
    async def check_total(self, event: Event) -> None:
        """Cancel the order when its total is above the limit."""
        total = Decimal(event.data["grand_total"])
        if total > self.limit:
            raise EventCancelled(f"{total:,.2f} is above the limit of {self.limit:,.2f}")


class Audit:
    """Writes a line about every order.

    Args:
        path: The file to write.
    """

    def __init__(self, path: Path) -> None:
        self.entries = 0
        self._path = path
        self._file: BinaryIO | None = None  # opened for the first order: commands only look

    @handles("order.created", priority=20)
    async def record(self, event: Event) -> None:
        """Write who ordered what when."""
        entry = {name: event.data[name] for name in ("order_id", "account_id", "grand_total")}
        if self._file is None:
            self._file = self._path.open("ab")
        self._file.write(to_json({"event_id": event.id, "time": event.time, **entry}) + b"\n")
        self.entries += 1

    @hookimpl
    def vectis_shutdown(self, hub: Any) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class Cache:
    """Keeps what each account has spent, for whoever asks often."""

    def __init__(self) -> None:
        self.spent: dict[str, Decimal] = {}

    @handles("order.created", priority=50)
    async def add(self, event: Event) -> None:
        """Add an order to what its account has spent."""
        account, total = event.data["account_id"], Decimal(event.data["grand_total"])
        self.spent[account] = self.spent.get(account, Decimal()) + total
