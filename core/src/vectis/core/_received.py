"""What `decode` returns: `Received`. How it is read from a delivery is `_decode`'s."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import attrs

if TYPE_CHECKING:
    from vectis.core.events import Event

ContentMode = Literal["binary", "structured", "plain"]

_LAST_MILLISECOND = 253_402_300_799_999  # of the year 9999


@attrs.define
class Received:
    """What a delivery says, decoded.

    Args:
        event: The event; its `data` is the payload, its `user_id` a str.
        payload: Any JSON value, or None for a tombstone.
        content_mode: How it was written: CloudEvents `binary` or `structured`, or `plain`.
        version: The version of the event type, when the sender named it.
        traceparent: The W3C trace context as it came, when the sender gave one.
        extensions: The attributes that no other field holds, such as `partitionkey` and `subject`.
    """

    event: Event
    payload: Any
    content_mode: ContentMode
    version: int | None = None
    traceparent: str | None = None
    extensions: dict[str, str] = attrs.Factory(dict)


def time_of(timestamp: int) -> datetime | None:
    """Return milliseconds since 1970 as a time; None when the transport has none."""
    if 0 <= timestamp <= _LAST_MILLISECOND:
        return datetime.fromtimestamp(timestamp / 1000, UTC)
    return None
