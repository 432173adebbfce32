"""What is published: the events of a file of orders, with ids and an order that never change.

The same file gives the same events with the same ids, so that a publisher that was killed can go on
where the one before was, and send again what has no receipt.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs

from tests.faults.steps import Publication
from vectis.core.catalogue import event_of
from vectis_commerce.demo.producer import STATUSES, reference
from vectis_commerce.events import INVENTORY, ORDERS, InventoryAdjusted, OrderStatusChanged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.faults.trace import Sent
    from vectis_commerce.events import OrderCreated

__all__ = ["Planned", "plan", "publications"]

_LONG_AGO = datetime(2017, 2, 1, tzinfo=UTC)


@attrs.frozen
class Planned:
    """One event to be published."""

    topic: str
    type: str
    key: str
    id: str
    data: dict[str, Any] = attrs.field(repr=False)


def plan(orders: Iterable[OrderCreated]) -> list[Planned]:
    """Return every event of the orders, in the order they are to be published."""
    return [planned for order in orders for planned in _of(order)]


def _of(order: OrderCreated) -> Iterator[Planned]:
    id = order.order_id
    yield _planned(ORDERS, id, f"{id}/created", order)
    for number, line in enumerate(order.lines, 1):
        place = reference(id, number)
        adjusted = InventoryAdjusted(line.product_id, -line.quantity, "sale", place, _LONG_AGO)
        yield _planned(INVENTORY, line.product_id, place, adjusted)
    for sequence, status in enumerate(STATUSES, 1):
        changed = OrderStatusChanged(id, status, sequence, _LONG_AGO)
        yield _planned(ORDERS, id, f"{id}/{status}", changed)


def _planned(topic: str, key: str, id: str, fact: object) -> Planned:
    event = event_of(fact)
    return Planned(topic, event.type, key, id, event.data)


def publications(planned: Iterable[Planned], sent: Iterable[Sent]) -> list[Publication]:
    """Return what became of the planned events, as far as their publishers knew."""
    sends: dict[str, int] = {}
    acknowledged = set()
    for one in sent:
        if one.what == "sending":
            sends[one.id] = sends.get(one.id, 0) + 1
        else:
            acknowledged.add(one.id)
    return [
        Publication(one.id, one.topic, one.key, place, one.id in acknowledged, sends.get(one.id, 0))
        for place, one in enumerate(planned)
    ]
