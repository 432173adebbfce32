"""Binary mode as nearly every producer writes it, read in one pass.

What is out of the ordinary is not read here, nor judged: the answer is None, and `_decode` takes
the careful way, which reads the same, costs twice as much, and says what is wrong.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import attrs

from vectis.core._cloudevents import ATTRIBUTES, attribute_name, media_of, version_in
from vectis.core._received import Received, time_of
from vectis.core.events.event import Event, Unsealed
from vectis.core.exceptions import DecodeError
from vectis.core.jsontext import from_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectis.core.message import Delivery

_LONGEST = 4096  # bytes of header names or values; it bounds what is remembered too

_STATED = ("specversion", "source", "type", "datacontenttype", "dataschema")
_OWN = ("id", "time", "correlationid", "causationid", "userid", "traceparent")

# CloudEvents forbids control characters. As NUL they are found by one cheap search.
_CONTROLS_AS_NUL = bytes.maketrans(bytes([*range(32), 127]), bytes(33))

# A time's shape is its text with every digit as 0: cheaper than a regular expression.
_DIGITS_AS_ZERO = bytes.maketrans(b"123456789", b"000000000")
_TIME_SHAPES = frozenset(
    b"0000-00-00T00:00:00" + fraction + zone
    for fraction in (b"", *(b"." + b"0" * digits for digits in range(1, 10)))
    for zone in (b"Z", b"+00:00", b"-00:00")
)


def read_usual(delivery: Delivery, max_bytes: int) -> Received | None:
    """Return what a delivery in binary mode says, or None when it needs a closer look."""
    value = delivery.value
    try:
        names, texts = zip(*delivery.headers, strict=True)
        layout = _layout(names)
        joined = b"".join(texts)
        size = layout.size + len(joined)
        if size > _LONGEST or not joined.isascii() or b"\0" in joined.translate(_CONTROLS_AS_NUL):
            return None
        if size + len(delivery.topic) + len(delivery.key or b"") + len(value or b"") > max_bytes:
            return None
        texts += (None,)  # for attributes that are not there
        source, event_type, version, schema = _stated(layout.stated(texts))
        event_id, time, correlation, causation, user, trace = layout.own(texts)
        if not event_id:
            return None
        event: Any = object.__new__(Unsealed)
        event.id = event_id.decode()
        event.type = event_type
        event.source = source
        event.user_id = user.decode() if user else None
        event.data = payload = from_json(value) if value else None
        if time is not None:
            event.time = _read_time(time)
        elif (arrived := time_of(delivery.timestamp)) is not None:
            event.time = arrived
        if correlation:
            event.correlation_id = correlation.decode()
        if causation:
            event.causation_id = causation.decode()
        event.__class__ = Event
        extensions = {name: texts[place].decode() for name, place in layout.others}
    except (LookupError, ValueError, TypeError, AttributeError):
        return None  # no CloudEvent in binary mode, or none that is right
    if schema is not None:
        extensions["dataschema"] = schema
    traceparent = trace.decode() if trace else None
    return Received(event, payload, "binary", version, traceparent, extensions)


@attrs.frozen
class _Layout:
    """Where the attributes stand among the headers; messages of one producer have the same.

    Args:
        stated: Picks the values of `_STATED`.
        own: Picks the values of `_OWN`.
        others: The other attributes and their places.
        size: Bytes of the names.
    """

    stated: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    own: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    others: tuple[tuple[str, int], ...]
    size: int


@lru_cache(maxsize=256)
def _layout(names: tuple[str, ...]) -> _Layout:
    """Return the layout for header names; raise `DecodeError` when it takes a closer look."""
    places: dict[str, int] = {}
    for place, header in enumerate(names):
        name = ATTRIBUTES.get(header) or attribute_name(header)
        if name in places:
            raise DecodeError("given twice")
        if name:
            places[name] = place
    size = len("".join(names))
    if size > _LONGEST or "id" not in places:
        raise DecodeError("not to be remembered")
    others = tuple((n, at) for n, at in places.items() if n not in _STATED and n not in _OWN)
    absent = len(names)
    return _Layout(
        stated=itemgetter(*(places.get(name, absent) for name in _STATED)),
        own=itemgetter(*(places.get(name, absent) for name in _OWN)),
        others=others,
        size=size,
    )


@lru_cache(maxsize=1024)
def _stated(texts: tuple[bytes | None, ...]) -> tuple[str, str, int | None, str | None]:
    """Return source, type and version, and the `dataschema` when it is not ours.

    Thousands of messages say the same. An error is not remembered.

    Raises:
        DecodeError: It takes a closer look.
    """
    specversion, source, event_type, content_type, dataschema = texts
    media = "json" if content_type is None else media_of(content_type.decode())
    if specversion != b"1.0" or not source or not event_type or media != "json":
        raise DecodeError("not the usual")
    name, schema = event_type.decode(), None if dataschema is None else dataschema.decode()
    version = None if schema is None else version_in(schema, name)
    return source.decode(), name, version, schema if version is None else None


def _read_time(raw: bytes) -> datetime:
    if raw.translate(_DIGITS_AS_ZERO) not in _TIME_SHAPES:
        raise DecodeError("not the usual")
    return datetime.fromisoformat(raw.decode())
