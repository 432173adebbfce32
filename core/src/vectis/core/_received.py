"""What `decode` returns: `Received`. How it is read from a delivery is `_decode`'s."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vectis.core.events import Event

ContentMode = Literal["binary", "structured", "plain"]

_LAST_MILLISECOND = 253_402_300_799_999  # of the year 9999


@attrs.frozen
class Envelope:
    """What a delivery says beside its event.

    Args:
        content_mode: How it was written: CloudEvents `binary` or `structured`, or `plain`.
        version: The version of the event type, when the sender named it.
        traceparent: The W3C trace context as it came, when the sender gave one.
        extensions: The attributes that no other field holds, such as `partitionkey` and `subject`.
    """

    content_mode: ContentMode
    version: int | None = None
    traceparent: str | None = None
    extensions: Mapping[str, str] = attrs.field(factory=dict)


class Received:
    """What a delivery says, decoded: everything in it was checked.

    Most handlers want no more than type and payload, so the rest may be put together when it is
    first asked for. A plain slots class, because there is one for every delivery.

    Attributes:
        type: The event type.
        payload: Any JSON value, or None for a tombstone.
        event: The event; its `data` is the payload, its `user_id` a str.
        envelope: The rest.
        instances: The payload as instances of event classes, for those handlers that take them.
    """

    __slots__ = ("envelope", "event", "instances", "payload", "type")

    type: str
    payload: Any
    event: Event
    envelope: Envelope
    instances: dict[Any, Any]  # by class

    def __init__(self, event: Event, envelope: Envelope) -> None:
        self.type = event.type
        self.payload = event.data
        self.event = event
        self.envelope = envelope
        self.instances = {}

    @property
    def version(self) -> int | None:
        """The version of the event type, when the sender named it."""
        return self.envelope.version

    def __repr__(self) -> str:
        # Never the payload: reprs end up in logs.
        return f"Received({self.type!r})"


def time_of(timestamp: int) -> datetime | None:
    """Return milliseconds since 1970 as a time; None when the transport has none."""
    if 0 <= timestamp <= _LAST_MILLISECOND:
        return datetime.fromtimestamp(timestamp / 1000, UTC)
    return None
