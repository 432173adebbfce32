"""The way out: an event becomes a message. Public as `vectis.core.codec.encode`."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from time import time_ns
from typing import TYPE_CHECKING, Any

from vectis.core._cloudevents import SCHEMA, is_attribute_text
from vectis.core.exceptions import EncodeError, PublishError
from vectis.core.jsontext import rfc3339, to_json
from vectis.core.message import Message
from vectis.core.redact import one_line

if TYPE_CHECKING:
    from vectis.core.events import Event
    from vectis.core.message import Headers

_LONGEST = 1000  # characters of a type, topic and source that are remembered
_OWN_NAMES = len("ce_id" + "ce_time" + "ce_correlationid")
KEY_NAME = len("ce_partitionkey")


def encode(
    event: Event,
    *,
    topic: str,
    key: str | bytes | None,
    source: str,
    max_bytes: int,
    version: int | None = None,
    traceparent: str | None = None,
) -> Message:
    """Write an event as a CloudEvents message in binary mode.

    Args:
        event: What happened. Its data is the payload; None makes a tombstone, a message without
            value. Its `user_id` is written as `str(user_id)`.
        topic: The topic's name.
        key: Decides the partition; a str is written in UTF-8. None for no order.
        source: Who says so, when the event itself does not.
        max_bytes: The most bytes of topic, key, value and headers together.
        version: The version of the event type.
        traceparent: The W3C trace context, carried as it is.

    Raises:
        EncodeError: The payload is not JSON, or an attribute cannot be written.
        PublishError: The message is larger than `max_bytes`; its fate is `not_sent`.

    Example:
        >>> from vectis.core.codec import encode
        >>> from vectis.core.events import Event
        >>> event = Event("order.created", {"order_id": 7}, id="1")
        >>> message = encode(
        ...     event, topic="vectis.orders", key="7", source="shop", max_bytes=1_000_000
        ... )
        >>> message.value, message.headers[:3]
        (b'{"order_id":7}', (('ce_specversion', b'1.0'), ('ce_source', b'shop'), \
('ce_type', b'order.created')))
    """
    event_id, correlation_id = event.id, event.correlation_id
    return Template(event.type, topic, event.source or source, version, max_bytes).message(
        event.data,
        key,
        written("id", event_id),
        _written_time(event.time),
        None if correlation_id is event_id else correlation_id,
        event.causation_id,
        event.user_id,
        traceparent,
    )


class Template:
    """What the messages of one event type, topic and source have in common, worked out once.

    Args:
        event_type: As with `encode`, as are those that follow.
        topic: The topic's name.
        source: Who says so.
        version: The version of the event type.
        max_bytes: The most bytes of topic, key, value and headers together.
    """

    __slots__ = ("_event_type", "max_bytes", "short", "size", "stated", "topic")

    def __init__(
        self, event_type: str, topic: str, source: str, version: int | None, max_bytes: int
    ) -> None:
        if source.__class__ is not str:
            source = written("source", source).decode()
        self.short = len(event_type) + len(topic) + len(source) <= _LONGEST
        """Whether it may be kept: so that endless names from outside do not fill the memory."""
        state = _stated if self.short else _stated.__wrapped__
        self.stated, size = state(event_type, source, version)
        self.size = size + _OWN_NAMES + len(topic)
        self._event_type, self.topic, self.max_bytes = event_type, topic, max_bytes

    def message(
        self,
        payload: Any,
        key: str | bytes | None,
        id: bytes,
        time: bytes,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        user_id: Any = None,
        traceparent: str | None = None,
    ) -> Message:
        """Write an event that is given by its values, as `encode` does.

        Args:
            payload: The data.
            key: The message's key.
            id: Text that `written` has looked at, unless it is new.
            time: RFC 3339.
            correlation_id: None when it is the event's own id.
            causation_id: The id of the event that caused it.
            user_id: On whose behalf.
            traceparent: The W3C trace context.
        """
        value = None if payload is None else to_json(payload)
        correlation = id if correlation_id is None else written("correlation_id", correlation_id)
        headers: Headers = (
            *self.stated,
            ("ce_id", id),
            ("ce_time", time),
            ("ce_correlationid", correlation),
        )
        size = self.size + len(id) + len(time) + len(correlation)
        if causation_id is not None or user_id is not None or traceparent is not None:
            more = _further(causation_id, user_id, traceparent)
            headers += more
            size += sum(len(name) + len(text) for name, text in more)
        raw_key = None
        if key is not None:
            raw_key, partition_key = _written_key(key)
            size += len(raw_key)
            if partition_key is not None:
                headers += (("ce_partitionkey", partition_key),)
                size += KEY_NAME + len(partition_key)
        if value is not None:
            size += len(value)
        if size > self.max_bytes:
            raise PublishError(
                f"{one_line(self._event_type)} for {one_line(self.topic)} is {size:,} bytes, and "
                f"[hub] max_message_bytes allows {self.max_bytes:,}: send a reference to the data "
                "in place of the data, or raise the cap, here and on the transport",
                fate="not_sent",
            )
        return Message(self.topic, raw_key, value, headers)


def _further(causation_id: str | None, user_id: Any, traceparent: str | None) -> Headers:
    """Return the headers that few messages have."""
    headers: list[tuple[str, bytes]] = []
    if causation_id is not None:
        headers.append(("ce_causationid", written("causation_id", causation_id)))
    if user_id is not None and (user := str(user_id)):
        headers.append(("ce_userid", written("user_id", user)))
    if traceparent is not None:
        headers.append(("ce_traceparent", written("traceparent", traceparent)))
    return tuple(headers)


def now() -> bytes:
    """Return the present moment as RFC 3339 text.

    Without datetime, whose `isoformat` costs three times as much as this where many ask in the same
    millisecond, and twice as much where few do.
    """
    moment = time_ns() // 1000
    return _until_ms(moment // 1000) + _MICROSECONDS[moment % 1000]


_MICROSECONDS = [b"%03d+00:00" % number for number in range(1000)]


@lru_cache(maxsize=2)
def _until_ms(moment: int) -> bytes:
    return b"%b.%03d" % (_until_second(moment // 1000), moment % 1000)


@lru_cache(maxsize=2)
def _until_second(moment: int) -> bytes:
    return datetime.fromtimestamp(moment, UTC).isoformat()[:19].encode()


# Types, sources and versions come from code; the bound only stops a leak.
@lru_cache(maxsize=1024)
def _stated(event_type: str, source: str, version: int | None) -> tuple[Headers, int]:
    """Return the headers that all messages of a type and source share, and their size."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_source", written("source", source)),
        ("ce_type", written("type", event_type)),
        ("content-type", b"application/json"),
    ]
    if version is not None:
        headers.append(("ce_dataschema", f"{SCHEMA}{event_type}:v{version}".encode()))
    return tuple(headers), sum(len(name) + len(text) for name, text in headers)


def written(name: str, text: str) -> bytes:
    """Return the text of an attribute as it is written."""
    if text.__class__ is str and text and text.isprintable():
        return text.encode()
    if not isinstance(text, str):
        raise EncodeError(f"the event's {name} must be a str, not {type(text).__name__}")
    if not text:
        raise EncodeError(f"the event's {name} is empty: CloudEvents needs one")
    if not is_attribute_text(text):
        raise EncodeError(
            f"the event's {name} {one_line(text, 80)!r} holds characters that CloudEvents forbids "
            "in attributes (control characters, lone surrogates): clean it"
        )
    return text.encode()


def _written_time(moment: object) -> bytes:
    if not isinstance(moment, datetime):
        raise EncodeError(f"the event's time must be a datetime, not {type(moment).__name__}")
    try:
        return rfc3339(moment).encode()
    except OverflowError:
        raise EncodeError("the event's time is out of range in UTC") from None


def _written_key(key: Any) -> tuple[bytes, bytes | None]:
    """Return the key's bytes, and the `partitionkey` when the key can be one."""
    if key.__class__ is str and key.isascii() and key.isprintable() and key:
        raw = key.encode()
        return raw, raw
    try:
        if isinstance(key, str):
            raw, text = key.encode(), key
        elif isinstance(key, bytes):
            raw, text = key, key.decode(errors="replace")
        else:
            raise EncodeError(
                f"the key must be a str, bytes or None, not {type(key).__name__}: use key=str(...)"
            )
    except UnicodeEncodeError:
        raise EncodeError("the key holds a lone surrogate, which UTF-8 cannot write") from None
    plain = text and is_attribute_text(text) and "\ufffd" not in text
    return raw, raw if plain else None
