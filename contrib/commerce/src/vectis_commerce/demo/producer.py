"""The sending side: each order is emitted on the bus, then published for everybody else.

What one order causes is sent step by step; many orders are under way at once, so that the
transport can store their messages together.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any

import attrs

from vectis.core.catalogue import describe, event_of
from vectis.core.exceptions import EventCancelled
from vectis.core.message import Message, TopicPartition
from vectis.core.transport import Route
from vectis_commerce.events import (
    InventoryAdjusted,
    OrderCreated,
    OrderPreCreate,
    OrderStatusChanged,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vectis.core import Event, Hub
    from vectis.core.message import Receipt
    from vectis_commerce.demo.topics import Topics

__all__ = ["FOREIGN_RECORD", "STATUSES", "Cancelled", "NotPublished", "Producer", "reference"]

STATUSES = ("paid", "shipped")
FOREIGN_RECORD = b"\x00\x01ORDER;31198570044;0,50;\xe4\xf6\xfc"
"""What somebody else's program writes to our topic: no event in any form."""

_AT_ONCE = 64  # orders under way


class NotPublished(Exception):
    """Nothing carries messages, so there is nothing to show; the message says what to do."""


@attrs.frozen
class Cancelled:
    """An order that the guard cancelled.

    Args:
        order: The order.
        reason: Why, in the guard's words.
        plugin: The plugin that cancelled it.
    """

    order: OrderCreated
    reason: str
    plugin: str


def reference(order_id: str, line: int) -> str:
    """Return what an `inventory.adjusted` calls the line of an order, counted from 1."""
    return f"{order_id}/{line}"


class Producer:
    """Sends orders through a hub.

    Args:
        hub: Carries the events.
        orders: What to send.
        topics: Where to.

    Attributes:
        done: Orders that are through, cancelled ones included.
        published: Messages acknowledged so far.
        accepted: The orders that were not cancelled.
        cancelled: What the guard cancelled.
        partitions: Where the transport put it all.
        seconds: How long each single publish took.
        handled_in_order: How many `order.created` the plugins handled by ascending priority.
    """

    def __init__(self, hub: Hub, orders: tuple[OrderCreated, ...], topics: Topics) -> None:
        self._hub = hub
        self._orders = orders
        self._topics = topics
        self.done = 0
        self.published = 0
        self.accepted: list[OrderCreated] = []
        self.cancelled: list[Cancelled] = []
        self.partitions: set[TopicPartition] = set()
        self.seconds: list[float] = []
        self.handled_in_order = 0

    async def run(self) -> None:
        """Send everything, and one record that cannot be read, in the middle.

        Raises:
            PublishError: Something was not acknowledged.
            NotPublished: No transport is available.
        """
        waiting = iter(self._orders)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_AT_ONCE, len(self._orders))):
                    group.create_task(self._take(waiting))
        except BaseExceptionGroup as failures:
            raise _first(failures) from None

    async def _take(self, waiting: Iterator[OrderCreated]) -> None:
        for order in waiting:
            await self._send(order)
            self.done += 1
            if self.done == (len(self._orders) + 1) // 2:
                await self._send_foreign_record()

    async def _send(self, order: OrderCreated) -> None:
        wish = OrderPreCreate(order.order_id, order.account_id, order.grand_total)
        try:
            await self._hub.emit(event_of(wish))
        except EventCancelled as stop:
            self.cancelled.append(Cancelled(order, stop.reason, stop.plugin or ""))
            return
        self.accepted.append(order)
        created = event_of(order)
        await self._emit(created)
        await self._publish(OrderCreated, created)
        await self._publish_adjustments(order)
        for sequence, status in enumerate(STATUSES, 1):
            change = OrderStatusChanged(order.order_id, status, sequence, datetime.now(UTC))
            await self._publish(OrderStatusChanged, event_of(change))

    async def _emit(self, created: Event) -> None:
        outcome = await self._hub.emit(created)
        outcome.raise_for_errors()
        priorities = [run.subscription.priority for run in outcome.ran]
        self.handled_in_order += len(priorities) >= 2 and priorities == sorted(priorities)

    async def _publish(self, event_class: type, event: Event) -> None:
        """Publish one event about an order; its class has the key."""
        key = describe(event_class).key_of(event.data)
        started = perf_counter()
        receipt = await self._hub.publish(
            self._topics.orders, event.type, event.data, key, event_id=event.id
        )
        self._sent([receipt])
        self.seconds.append(perf_counter() - started)
        self.published += 1

    async def _publish_adjustments(self, order: OrderCreated) -> None:
        """Publish one `inventory.adjusted` for each line, in one call."""
        now = datetime.now(UTC)
        adjustments = (
            InventoryAdjusted(
                line.product_id, -line.quantity, "sale", reference(order.order_id, number), now
            )
            for number, line in enumerate(order.lines, 1)
        )
        events = [_outgoing(adjusted) for adjusted in adjustments]
        if events:
            self._sent(await self._hub.publish_many(self._topics.inventory, events))
            self.published += len(events)

    async def _send_foreign_record(self) -> None:
        """Put a record on the topic as a program without Vectis would."""
        topic = self._topics.orders
        offer = self._hub.routing.offer(Route("service", topic))
        receipt = await offer.carrier.send(Message(topic, value=FOREIGN_RECORD)) if offer else None
        self._sent([receipt])

    def _sent(self, receipts: Iterable[Receipt | None] | None) -> None:
        for receipt in receipts or [None]:
            if receipt is None:
                raise NotPublished(
                    "nothing was published: no transport is available. In the demo's folder, "
                    "`vectis doctor` says why"
                )
            self.partitions.add(TopicPartition(receipt.topic, receipt.partition))


def _outgoing(adjusted: InventoryAdjusted) -> dict[str, Any]:
    event = event_of(adjusted)
    return {"event_type": event.type, "payload": event.data, "key": adjusted.product_id}


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
