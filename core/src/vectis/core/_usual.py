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
from orjson import loads

from vectis.core._cloudevents import ATTRIBUTES, attribute_name, media_of, version_in
from vectis.core._received import Envelope, Received, time_of
from vectis.core.events.event import Event
from vectis.core.exceptions import DecodeError
from vectis.core.jsontext import MAX_DEPTH, from_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectis.core.message import Delivery

_LONGEST = 4096  # bytes of header names or values; it bounds what is remembered too

_STATED = ("specversion", "source", "type", "datacontenttype", "dataschema")
_OWN = ("id", "correlationid", "causationid", "userid")

# What may stand in an attribute without a closer look: ASCII without control characters.
_PLAIN = bytes(range(32, 127))

# A time's shape is its text with every digit as 0: cheaper than a regular expression.
_DIGITS_AS_ZERO = bytes.maketrans(b"123456789", b"000000000")
_TIME_SHAPES = frozenset(
    b"0000-00-00T00:00:00" + fraction + zone
    for fraction in (b"", *(b"." + b"0" * digits for digits in range(1, 10)))
    for zone in (b"Z", b"+00:00", b"-00:00")
)
_read_time = datetime.fromisoformat


def read_usual(delivery: Delivery, max_bytes: int) -> Received | None:
    """Return what a delivery in binary mode says, or None when it needs a closer look.

    Everything is checked here; the event is made of it when somebody asks for it.
    """
    value = delivery.value
    try:
        names, texts = zip(*delivery.headers)  # noqa: B905 - all are pairs, and `strict` costs half as much again
        layout = _layout(names)
        joined = b"".join(texts)
        if joined.translate(None, _PLAIN):  # something is left: all texts in one look
            return None
        size = layout.size + len(joined)
        if size > _LONGEST:
            return None
        if size + len(delivery.topic) + len(delivery.key or b"") + len(value or b"") > max_bytes:
            return None
        texts += (None,)  # for attributes that are not there
        if not texts[layout.id]:
            return None
        stated = _stated(layout.stated(texts))
        time = texts[layout.time]
        if time is None:
            moment = time_of(delivery.timestamp)
        elif time.translate(_DIGITS_AS_ZERO) in _TIME_SHAPES:
            moment = _read_time(time.decode())
        else:
            return None
        received: Any = object.__new__(Usual)
        received.type = stated.type
        if not value:
            received.payload = None
        elif len(value) <= MAX_DEPTH:  # too short to be too deep
            received.payload = loads(value)
        else:
            received.payload = from_json(value)
        received.parts = layout, texts, stated, moment
    except (LookupError, ValueError, TypeError, AttributeError):
        return None  # no CloudEvent in binary mode, or none that is right
    usual: Received = received
    return usual


class Usual(Received):
    """What was read the quick way; event and envelope are made when they are first asked for."""

    __slots__ = ("parts",)

    parts: tuple[_Layout, tuple[bytes, ...], _Stated, datetime | None]

    def __getattr__(self, name: str) -> Any:
        # Python comes here only for a slot that is still empty (or a name that does not exist).
        layout, texts, stated, time = self.parts
        if name == "event":
            event_id, correlation, causation, user = layout.own(texts)
            self.event = Event.received(
                self.type,
                self.payload,
                id=event_id.decode(),
                source=stated.source,
                user_id=user.decode() if user else None,
                time=time,
                correlation_id=correlation.decode() if correlation else None,
                causation_id=causation.decode() if causation else None,
            )
            return self.event
        if name == "envelope":
            extensions = {name: texts[place].decode() for name, place in layout.others}
            trace = extensions.pop("traceparent", "") or None
            if stated.schema is not None:
                extensions["dataschema"] = stated.schema
            self.envelope = Envelope("binary", stated.version, trace, extensions)
            return self.envelope
        raise AttributeError(f"'Received' object has no attribute {name!r}")


@attrs.frozen
class _Layout:
    """Where the attributes stand among the headers; messages of one producer have the same.

    Args:
        id: The place of the id.
        time: The place of the time.
        stated: Picks the values of `_STATED`.
        own: Picks the values of `_OWN`.
        others: The other attributes and their places.
        size: Bytes of the names.
    """

    id: int
    time: int
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
    told = {*_STATED, *_OWN, "time"}
    others = tuple((n, at) for n, at in places.items() if n not in told)
    absent = len(names)
    return _Layout(
        id=places["id"],
        time=places.get("time", absent),
        stated=itemgetter(*(places.get(name, absent) for name in _STATED)),
        own=itemgetter(*(places.get(name, absent) for name in _OWN)),
        others=others,
        size=size,
    )


@attrs.frozen
class _Stated:
    """What thousands of messages say alike.

    Args:
        source: The source.
        type: The event type.
        version: The version of the type, when the sender named it.
        schema: The `dataschema` when it is not ours.
    """

    source: str
    type: str
    version: int | None
    schema: str | None


@lru_cache(maxsize=1024)
def _stated(texts: tuple[bytes | None, ...]) -> _Stated:
    """Read the values of `_STATED`. An error is not remembered.

    Raises:
        DecodeError: It takes a closer look.
    """
    specversion, source, event_type, content_type, dataschema = texts
    media = "json" if content_type is None else media_of(content_type.decode())
    if specversion != b"1.0" or not source or not event_type or media != "json":
        raise DecodeError("not the usual")
    name, schema = event_type.decode(), None if dataschema is None else dataschema.decode()
    version = None if schema is None else version_in(schema, name)
    return _Stated(source.decode(), name, version, schema if version is None else None)
