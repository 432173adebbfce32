"""What the worker of the demo runs: three handlers that write the ledger.

The worker runs in the demo's folder, where the ledger is. A handler has to be idempotent, since
delivery is at least once: here the ledger is, by event id.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from vectis.core.events import current_event
from vectis.core.events.consumer import on_event
from vectis_commerce.demo.folder import LEDGER
from vectis_commerce.demo.ledger import Ledger

__all__ = ["enter_order", "enter_status", "enter_stock"]


@on_event("order.created")
async def enter_order(event_type: str, payload: dict[str, Any]) -> None:
    """Enter an order with its lines."""
    _ledger().record_order(*_received(), payload)


@on_event("inventory.adjusted")
async def enter_stock(event_type: str, payload: dict[str, Any]) -> None:
    """Enter a change of stock."""
    _ledger().record_adjustment(*_received(), payload)


@on_event("order.status_changed")
async def enter_status(event_type: str, payload: dict[str, Any]) -> None:
    """Enter a change of status."""
    _ledger().record_change(*_received(), payload)


@cache
def _ledger() -> Ledger:
    # Used without a thread: an entry takes 30 µs, less than handing it to one.
    return Ledger(Path(LEDGER))


def _received() -> tuple[str, float]:
    """Return the id of the event that is handled now, and its age in seconds."""
    event = current_event()
    assert event is not None, "a handler runs for an event"
    return event.id, (datetime.now(UTC) - event.time).total_seconds()
