"""Records of a topic as commands show them: a line for people, an object for programs.

Whatever a record holds, showing it cannot fail: what cannot be decoded is shown with the reason.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from vectis.core.cli.screen import Styled, line
from vectis.core.codec import decode
from vectis.core.exceptions import DecodeError
from vectis.core.jsontext import rfc3339
from vectis.core.redact import one_line

if TYPE_CHECKING:
    from vectis.core.codec import Received
    from vectis.core.message import Delivery

__all__ = [
    "bytes_as_json",
    "decoded",
    "headers_as_json",
    "json_line",
    "payload_text",
    "readable",
    "record_as_json",
    "show_record",
    "time_of",
]

PREVIEW = 600
"""Characters of a payload that a line shows; `--json` gives all of it."""

_LAST = 253_402_300_799_999  # milliseconds: the end of the year 9999


def decoded(delivery: Delivery, max_bytes: int) -> Received | str:
    """Return what a record says, or why it cannot be decoded."""
    try:
        return decode(delivery, max_bytes=max_bytes)
    except DecodeError as error:
        return str(error).removeprefix(f"{one_line(delivery.place)}: ")


def show_record(delivery: Delivery, said: Received | str) -> None:
    """Write a record as a line: when, where, what, under which key, with which payload."""
    parts: list[str | Styled] = [Styled(delivery.place, "hint"), "  "]
    if isinstance(said, str):
        parts += [Styled("cannot be read", "bad"), _key(delivery), f"  {said}"]
        if delivery.value:
            parts += [Styled(f"  {readable(delivery.value, 80)}", "hint")]
    else:
        parts += [Styled(said.event.type, "key"), _key(delivery), f"  {payload_text(said.payload)}"]
    line(*parts, lead=Styled(f"{time_of(delivery.timestamp) or 'no time'}  ", "hint"))


def record_as_json(delivery: Delivery, said: Received | str) -> dict[str, Any]:
    """Return a record as an object: its place, its attributes and payload, or its bytes and why."""
    record: dict[str, Any] = {
        "topic": delivery.topic,
        "partition": delivery.partition,
        "offset": delivery.offset,
        "timestamp": time_of(delivery.timestamp),
        **bytes_as_json("key", delivery.key),
        "headers": headers_as_json(delivery),
    }
    if isinstance(said, str):
        return {**record, "error": said, **bytes_as_json("value", delivery.value)}
    event = said.event
    return {
        **record,
        "type": event.type,
        "id": event.id,
        "source": event.source,
        "time": rfc3339(event.time),
        "user_id": event.user_id,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "payload": said.payload,
    }


def json_line(value: Any) -> str:
    """Return a value as JSON on one line."""
    return orjson.dumps(value, default=str).decode()


def bytes_as_json(name: str, data: bytes | None) -> dict[str, str | None]:
    """Return bytes under a name: as text, or with `_base64` behind the name when they are none.

    Example:
        >>> from vectis.core.cli.records import bytes_as_json
        >>> bytes_as_json("key", b"7"), bytes_as_json("key", b"\\xff")
        ({'key': '7'}, {'key': None, 'key_base64': '/w=='})
    """
    if data is None:
        return {name: None}
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {name: None, f"{name}_base64": b64encode(data).decode()}


def headers_as_json(delivery: Delivery) -> list[list[str]]:
    """Return the headers as pairs in order; what is no text in them is escaped."""
    # Names of other producers may hold lone surrogates, which are no JSON.
    return [
        [name.encode("utf-8", "backslashreplace").decode(), _text(value)]
        for name, value in delivery.headers
    ]


def payload_text(payload: Any, limit: int = PREVIEW) -> str:
    """Return a payload as JSON on one printable line of bounded length."""
    return one_line(json_line(payload), limit)


def readable(data: bytes, limit: int) -> str:
    """Return bytes as text on one printable line of bounded length, what is none of it escaped."""
    return one_line(_text(data[: 4 * limit]), limit)


def time_of(timestamp: int) -> str | None:
    """Return milliseconds since 1970 as RFC 3339 in UTC; None for a time that is none.

    Example:
        >>> from vectis.core.cli.records import time_of
        >>> time_of(1769862600123)
        '2026-01-31T12:30:00.123Z'
    """
    if not 0 < timestamp <= _LAST:
        return None
    moment = datetime.fromtimestamp(timestamp / 1000, UTC)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _key(delivery: Delivery) -> str:
    return "" if delivery.key is None else f"  key {readable(delivery.key, 80)}"


def _text(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "backslashreplace")
