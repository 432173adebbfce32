"""The way in: a delivery becomes an event. Public as `vectis.core.codec.decode`."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any

from vectis.core._cloudevents import (
    ATTRIBUTES,
    NAME,
    REQUIRED,
    STRINGS,
    attribute_name,
    check_text,
    header_of,
    media_of,
    read_time,
    version_in,
)
from vectis.core._received import ContentMode, Envelope, Received, time_of
from vectis.core._usual import read_usual
from vectis.core.events.event import Event
from vectis.core.exceptions import DecodeError
from vectis.core.jsontext import from_json
from vectis.core.redact import one_line

if TYPE_CHECKING:
    from vectis.core.message import Delivery, Headers

_JSON_WORDS = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}


def decode(delivery: Delivery, *, max_bytes: int) -> Received:
    """Read a delivery, whichever of the three forms it has.

    - Binary: any `ce_*` header; `ce_specversion` 1.0, `ce_id`, `ce_source` and `ce_type` are
      needed, and a JSON `content-type` or none. No value, or an empty one, is payload None.
    - Structured: `content-type: application/cloudevents+json`, or a JSON object with `specversion`.
    - Plain: a JSON object with `event_type` and `payload`. It has no id of its own and gets its
      place, `topic/partition@offset`, so that a redelivery is the same event.

    Header names match in any case, an attribute given twice is an error, and headers without `ce_`
    are left alone. An event without `time` gets the delivery's timestamp. A `time` that is not RFC
    3339 is an error rather than another time than the sender meant.

    Args:
        delivery: What the transport received.
        max_bytes: The most bytes of topic, key, value and headers together, held against it before
            anything is decoded.

    Raises:
        DecodeError: It is in none of the forms. The message names the place and what is wrong or
            missing, and quotes nothing of the payload.

    Example:
        >>> from vectis.core.codec import decode
        >>> from vectis.core.message import Delivery
        >>> plain = b'{"event_type": "order.created", "payload": {"order_id": 7}}'
        >>> received = decode(Delivery("vectis.orders", 0, 41, value=plain), max_bytes=1_000_000)
        >>> received.event.type, received.payload, received.event.id
        ('order.created', {'order_id': 7}, 'vectis.orders/0@41')
        >>> decode(Delivery("vectis.orders", 0, 42, value=b"{}"), max_bytes=1_000_000)
        Traceback (most recent call last):
        ...
        vectis.core.exceptions.DecodeError: vectis.orders/0@42: neither a CloudEvent (no ce_* \
headers, no specversion) nor plain: event_type, payload missing
    """
    return read_usual(delivery, max_bytes) or read_closely(delivery, max_bytes)


def read_closely(delivery: Delivery, max_bytes: int) -> Received:
    """Read a delivery of any form step by step, and say what is wrong with it."""
    try:
        _check_size(delivery, max_bytes)
        attributes = _read_headers(delivery.headers)
        content_type = attributes.pop("datacontenttype", None)
        media = "none" if content_type is None else media_of(content_type)
        if media == "structured":
            return _structured(_object(delivery.value), delivery)
        if media == "other":
            raise DecodeError(
                f"content-type {one_line(str(content_type), 80)} is not read here; send "
                "application/json or application/cloudevents+json, in UTF-8"
            )
        if attributes:
            payload = from_json(delivery.value) if delivery.value else None
            return _received(attributes, payload, "binary", delivery)
        document = _object(delivery.value)
        if "specversion" in document:
            return _structured(document, delivery)
        return _plain(document, delivery)
    except DecodeError as error:
        raise DecodeError(f"{one_line(delivery.place)}: {error}") from None


def _check_size(delivery: Delivery, max_bytes: int) -> None:
    size = len(delivery.topic) + len(delivery.key or b"") + len(delivery.value or b"")
    size += sum([len(name) + len(text or b"") for name, text in delivery.headers])
    if size > max_bytes:
        raise DecodeError(
            f"{size:,} bytes, and [hub] max_message_bytes allows {max_bytes:,}; nothing was decoded"
        )


def _read_headers(headers: Headers) -> dict[str, str]:
    """Return the CloudEvents attributes among the headers, `content-type` as `datacontenttype`."""
    attributes: dict[str, str] = {}
    for header, raw in headers:
        name = ATTRIBUTES.get(header) or attribute_name(header)
        if not name:
            continue
        if name in attributes:
            raise DecodeError(f"the header {header_of(name)} is there more than once")
        try:
            text = raw.decode()
        except (UnicodeDecodeError, AttributeError):  # some clients hand on a null value as None
            raise DecodeError(f"the header {header_of(name)} is not UTF-8 text") from None
        if not text.isprintable():
            check_text(header_of(name), text)
        attributes[name] = text
    return attributes


def _object(value: bytes | None) -> dict[str, Any]:
    if value is None:
        raise DecodeError("no value and no ce_* headers: nothing says what happened")
    document = from_json(value, "the value")
    if not isinstance(document, dict):
        raise DecodeError(
            "no ce_* headers, and the value is a JSON "
            f"{_JSON_WORDS.get(type(document), 'number')}, not an object"
        )
    return document


def _structured(document: dict[str, Any], delivery: Delivery) -> Received:
    attributes: dict[str, str] = {}
    for name, value in document.items():
        if value is None or name in ("data", "data_base64") or not NAME.fullmatch(name):
            continue
        shown = f"the attribute {one_line(name, 80)}"
        if isinstance(value, str):
            check_text(shown, value)
            attributes[name] = value
        elif name in STRINGS or not isinstance(value, int):
            word = _JSON_WORDS.get(type(value), "number")
            raise DecodeError(f"{shown} is a JSON {word}, which CloudEvents does not allow there")
        else:
            attributes[name] = str(value).lower() if isinstance(value, bool) else str(value)
    content_type = attributes.pop("datacontenttype", None)
    payload = document.get("data")
    if document.get("data_base64") is not None:
        if payload is not None:
            raise DecodeError("both data and data_base64 are given: only one may be")
        payload = _from_base64(document["data_base64"], content_type)
    return _received(attributes, payload, "structured", delivery)


def _from_base64(text: object, content_type: str | None) -> Any:
    if content_type is not None and media_of(content_type) != "json":
        raise DecodeError(
            f"data_base64 of datacontenttype {one_line(content_type, 80)} is not read here; send "
            "application/json"
        )
    try:
        if not isinstance(text, str):
            raise TypeError
        data = b64decode(text, validate=True)
    except (TypeError, ValueError):
        raise DecodeError("data_base64 is not base64") from None
    return from_json(data, "data_base64") if data else None


def _plain(document: dict[str, Any], delivery: Delivery) -> Received:
    missing = [name for name in ("event_type", "payload") if name not in document]
    if missing:
        raise DecodeError(
            "neither a CloudEvent (no ce_* headers, no specversion) nor plain: "
            f"{', '.join(missing)} missing"
        )
    event_type, payload = document["event_type"], document["payload"]
    if not isinstance(event_type, str) or not event_type:
        raise DecodeError("event_type must be a string that is not empty")
    check_text("event_type", event_type)
    event = Event.received(event_type, payload, id=delivery.place, time=time_of(delivery.timestamp))
    return Received(event, Envelope("plain"))


def _received(
    attributes: dict[str, str], payload: Any, mode: ContentMode, delivery: Delivery
) -> Received:
    """Build the result; `attributes` is used up, and what is left of it are the extensions."""
    take = attributes.pop
    specversion = take("specversion", "")
    event_id, source, event_type = take("id", ""), take("source", ""), take("type", "")
    if not (specversion and event_id and source and event_type):
        values = (specversion, event_id, source, event_type)
        names = [name for name, value in zip(REQUIRED, values, strict=True) if not value]
        prefix = "header ce_" if mode == "binary" else "attribute "
        raise DecodeError(
            f"missing or empty, but needed by CloudEvents: {', '.join(prefix + n for n in names)}"
        )
    if specversion != "1.0":
        raise DecodeError(f"specversion {one_line(specversion, 20)} is not read here, only 1.0")
    time = take("time", None)
    schema = take("dataschema", None)
    version = None if schema is None else version_in(schema, event_type)
    if schema is not None and version is None:
        attributes["dataschema"] = schema
    event = Event.received(
        event_type,
        payload,
        id=event_id,
        source=source,
        user_id=take("userid", None) or None,
        time=time_of(delivery.timestamp) if time is None else read_time(time),
        correlation_id=take("correlationid", None) or None,
        causation_id=take("causationid", None) or None,
        version=version,
    )
    traceparent = take("traceparent", None) or None
    return Received(event, Envelope(mode, version, traceparent, attributes))
