"""What applications import: events, the bus, publishing. A thin front of one default hub.

Importing this loads neither attrs nor pluggy; the hub behind it is made on first use.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from vectis.core.default import default_hub, existing_hub
from vectis.core.events.bus import event_bus
from vectis.core.events.event import Event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping

    from vectis.core.message import Receipt

__all__ = [
    "Event",
    "current_event",
    "current_events",
    "event_bus",
    "publish_event",
    "publish_many",
    "publish_sync",
    "shutdown",
    "shutdown_producer",
]


def current_event() -> Event | None:
    """Return the event whose handler runs now, on the bus or in the worker; None outside of one.

    In a consuming handler its `id` is the same on every delivery of the event: what an idempotent
    handler remembers.

    Example:
        >>> from vectis.core.events import current_event
        >>> current_event() is None
        True
    """
    from vectis.core.outcome import current

    frame = current.get(None)
    return None if frame is None or frame.finished else frame.event


def current_events() -> tuple[Event, ...]:
    """Return the events whose handler runs now: as many as a batch handler has payloads.

    They are in the order of the payloads. One event for any other handler, none outside of one.

    Example:
        >>> from vectis.core.events import current_events
        >>> current_events()
        ()
    """
    from vectis.core.outcome import current

    frame = current.get(None)
    if frame is None or frame.finished:
        return ()
    if frame.event is not None:
        return (frame.event,)
    return tuple(getattr(frame, "events", ()))


async def shutdown() -> None:
    """Run the shutdown hooks of plugins and close the producer, on application shutdown.

    `shutdown_producer()` is enough where no plugin has anything to close.

    Example:
        >>> import asyncio
        >>> from vectis.core.events import shutdown
        >>> asyncio.run(shutdown())
    """
    hub = existing_hub()
    if hub is not None:
        await hub.shutdown()


async def publish_event(
    topic: str,
    event_type: str,
    payload: dict[str, Any],
    key: str | bytes | None = None,
    *,
    event_id: str | None = None,
    source: str | None = None,
    user_id: Any = None,
    version: int | None = None,
) -> Receipt | None:
    """Hand an event to every other service, and return when the transport has stored it.

    Args:
        topic: The topic's name, such as `vectis.orders`.
        event_type: The event type, such as `order.created`.
        payload: The event's data: what JSON can hold, and Decimal, UUID and datetime.
        key: What the order is kept for; None for no order.
        event_id: Makes a retry the same event; a new UUID unless given.
        source: Who says so; `[hub] source` unless given.
        user_id: On whose behalf.
        version: Which version of the type the payload is of; the newest one that is known here
            unless given.

    Returns:
        The receipt, or None when no transport is available: aiokafka missing, nothing configured.

    Raises:
        EncodeError: The payload is not JSON; the path inside it is named.
        PublishError: It was not acknowledged within `[hub] publish_timeout`; `fate` tells more.

    Example:
        >>> import asyncio
        >>> from vectis.core.events import publish_event
        >>> asyncio.run(publish_event("vectis.orders", "order.created", {"order_id": 7}, key="7"))
    """
    return await default_hub().publish(
        topic,
        event_type,
        payload,
        key,
        event_id=event_id,
        source=source,
        user_id=user_id,
        version=version,
    )


async def publish_many(topic: str, events: Iterable[Mapping[str, Any]]) -> list[Receipt] | None:
    """Publish many events to one topic in one go, in the order given.

    Args:
        topic: The topic's name.
        events: Mappings with the arguments of `publish_event`: `event_type`, `payload`, `key`...

    Returns:
        One receipt for each, or None when no transport is available.

    Raises:
        PublishError: Some were not acknowledged, or the iterable failed when something had been
            sent; `results` has a receipt or an error for each that was taken from it, and for each
            of a list.

    Example:
        >>> import asyncio
        >>> from vectis.core.events import publish_many
        >>> events = [{"event_type": "order.created", "payload": {"order_id": n}} for n in range(3)]
        >>> asyncio.run(publish_many("vectis.orders", events))
    """
    return await default_hub().publish_many(topic, events)


def publish_sync(*args: Any, **kwargs: Any) -> Receipt | None:
    """Publish from code without an event loop; the arguments are those of `publish_event`.

    Raises:
        RuntimeError: The calling thread runs an event loop: await `publish_event` there.

    Example:
        >>> from vectis.core.events import publish_sync
        >>> publish_sync("vectis.orders", "order.created", {"order_id": 7}, key="7")
    """
    return default_hub().publish_sync(*args, **kwargs)


def shutdown_producer() -> Awaitable[None]:
    """Flush and close the producer, on application shutdown.

    On a running event loop the closing starts and its task is returned, to be awaited; without one
    it is closed when this returns. Calling it twice is fine; publishing afterwards opens it anew.

    Example:
        >>> from vectis.core.events import shutdown_producer
        >>> _ = shutdown_producer()
    """
    import asyncio

    from vectis.core.blocking import background, run_alone

    async def close() -> None:
        hub = existing_hub()
        if hub is not None:
            await hub.close_producers()

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        # Producers made by publish_sync belong to the background loop, and are closed on it.
        if background.started:
            background.run(close())
        else:
            run_alone(close())
        return _Done()
    return loop.create_task(close())


class _Done(Coroutine[Any, Any, None]):
    """Something to await that is over already; `asyncio.run` takes it too."""

    def __await__(self) -> Any:
        return iter(())

    def send(self, value: Any) -> Any:
        raise StopIteration

    def throw(self, *error: Any) -> Any:
        raise error[0]

    def close(self) -> None:
        """There is nothing to close."""
