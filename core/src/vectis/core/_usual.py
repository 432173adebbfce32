"""Binary mode as nearly every producer writes it, read in one pass.

What is out of the ordinary is not read here, nor judged: the answer is None, and `_decode` takes
the careful way, which reads the same, costs twice as much, and says what is wrong.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
from orjson import loads

from vectis.core._cloudevents import ATTRIBUTES, attribute_name, media_of, version_in
from vectis.core._received import Envelope, Received, time_of
from vectis.core.events.event import Event
from vectis.core.exceptions import DecodeError
from vectis.core.jsontext import SHALLOW, from_json
from vectis.core.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vectis.core.message import Delivery, Headers

_LONGEST = 4096  # bytes of header names and of what they state: it bounds what is remembered
_MOST = 64  # headers

_NEEDED = frozenset({"specversion", "source", "type", "id"})
_STATED = frozenset({"specversion", "source", "type", "datacontenttype", "dataschema"})
_OWN = frozenset({"id", "correlationid", "causationid", "userid"})
_TOLD = _STATED | _OWN | {"time"}

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


Parts = tuple[str, Any, "_Layout", "Headers", "_Stated", datetime | None]
"""The event type, the payload, and what the rest is made of. A plain tuple, for most handlers want
no more than the first two, and any class costs four times as much to make."""


def read_usual(delivery: Delivery, max_bytes: int) -> Received | None:
    """Return what a delivery in binary mode says, or None when it needs a closer look."""
    size = len(delivery.value or b"") + len(delivery.key or b"")
    parts = take_apart(delivery, size, max_bytes)
    return None if parts is None else Usual(parts)


def take_apart(delivery: Delivery, size: int, max_bytes: int) -> Parts | None:
    """Return what `Usual` takes, or None when the delivery needs a closer look.

    Everything is checked here; `Usual`, its event and its envelope are made of it when somebody
    asks for them.

    Args:
        delivery: The delivery.
        size: Bytes of its value and key.
        max_bytes: The most bytes of these, its topic and its headers together.
    """
    headers, value = delivery.headers, delivery.value
    try:
        layout = _latest.get(len(headers)) or _layout_of(headers)
        picked = layout.pick(headers)
        if picked is None:
            layout = _layout_of(headers)
            picked = layout.pick(headers)
            assert picked is not None  # it is the layout of these very names
        stated, own, id, time = picked
        if own.translate(None, _PLAIN) or not id:  # something is left: all of them in one look
            return None
        if time is not None and time.translate(_DIGITS_AS_ZERO) not in _TIME_SHAPES:
            return None
        if size + len(own) + stated.size + len(delivery.topic) > max_bytes:
            return None
        moment = time_of(delivery.timestamp) if time is None else _read_time(time.decode())
        if not value:
            payload = None
        elif len(value) <= SHALLOW:
            payload = loads(value)
        else:
            payload = from_json(value)
    except (LookupError, ValueError, TypeError, AttributeError):
        return None  # no CloudEvent in binary mode, or none that is right
    return stated.type, payload, layout, headers, stated, moment


class Usual(Received):
    """What was read the quick way; event and envelope are made when they are first asked for."""

    __slots__ = ("parts",)

    def __init__(self, parts: Parts) -> None:
        self.type = parts[0]
        self.payload = parts[1]
        self.parts = parts

    @property
    def version(self) -> int | None:
        """The version of the event type, when the sender named it."""
        return self.parts[4].version

    def __getattr__(self, name: str) -> Any:
        # Python comes here only for a slot that is still empty (or a name that does not exist).
        if name == "instances":
            self.instances = {}
            return self.instances
        _, _, layout, headers, stated, time = self.parts
        if name == "event":
            said = {attribute: headers[place][1].decode() for attribute, place in layout.own}
            self.event = Event.received(
                self.type,
                self.payload,
                id=said["id"],
                source=stated.source,
                user_id=said.get("userid") or None,
                time=time,
                correlation_id=said.get("correlationid") or None,
                causation_id=said.get("causationid") or None,
                version=stated.version,
            )
            return self.event
        if name == "envelope":
            extensions = {name: headers[place][1].decode() for name, place in layout.others}
            trace = extensions.pop("traceparent", "") or None
            if stated.schema is not None:
                extensions["dataschema"] = stated.schema
            self.envelope = Envelope("binary", stated.version, trace, extensions)
            return self.envelope
        raise AttributeError(f"'Received' object has no attribute {name!r}")


@attrs.frozen(eq=False)
class _Layout:
    """Where the attributes stand among the headers; messages of one producer have the same.

    Args:
        pick: Takes headers; returns what they state, the texts that are the message's own joined,
            its id, and its time or None. None for all of it when the names are others.
        own: The attributes that each message has for itself, with their places.
        others: The other attributes and their places.
    """

    pick: Callable[[Headers], tuple[_Stated, bytes, bytes, bytes | None] | None]
    own: tuple[tuple[str, int], ...]
    others: tuple[tuple[str, int], ...]


# Taking headers apart where they stand costs a third of what `zip` and look-ups by name do, and
# that is a tenth of all that the worker does for a message. Only places go into the source: what
# anybody sent, names included, stays a value.
_PICK = """
def pick(headers):
    {pairs}, = headers
    if ({names},) != NAMES:
        return None
    return STATED[{stated}], join(({own},)), {id}, {time}
"""


def _read_layout(names: tuple[str, ...]) -> _Layout:
    """Return the layout for header names; raise `DecodeError` when it takes a closer look."""
    places: dict[str, int] = {}
    for place, header in enumerate(names):
        name = ATTRIBUTES.get(header) or attribute_name(header)
        if name in places:
            raise DecodeError("given twice")
        if name:
            places[name] = place
    size = len("".join(names))
    if size > _LONGEST or len(names) > _MOST or not places.keys() >= _NEEDED:
        raise DecodeError("not to be remembered")
    stated = [name for name in places if name in _STATED]  # three at least: they are needed
    apart = {places[name] for name in stated}
    here = range(len(names))
    values = {
        "NAMES": names,
        "STATED": Remembered(partial(_read_stated, size, stated), 1024),
        "join": b"".join,
    }
    source = _PICK.format(
        pairs=", ".join(f"(n{place}, t{place})" for place in here),
        names=", ".join(f"n{place}" for place in here),
        stated=", ".join(f"t{places[name]}" for name in stated),
        own=", ".join(f"t{place}" for place in here if place not in apart),
        id=f"t{places['id']}",
        time=f"t{places['time']}" if "time" in places else None,
    )
    exec(source, values)
    return _Layout(
        pick=values["pick"],  # type: ignore[arg-type]  # it was made on the line before
        own=tuple((name, at) for name, at in places.items() if name in _OWN),
        others=tuple((name, at) for name, at in places.items() if name not in _TOLD),
    )


_layouts = Remembered(_read_layout, 256)
_latest: dict[int, _Layout] = {}
"""The layout that was met last, by the number of headers: it is likely to be the next one too."""


def _layout_of(headers: Headers) -> _Layout:
    layout = _latest[len(headers)] = _layouts[tuple([name for name, _ in headers])]
    return layout


@attrs.frozen
class _Stated:
    """What thousands of messages say alike.

    Args:
        source: The source.
        type: The event type.
        version: The version of the type, when the sender named it.
        schema: The `dataschema` when it is not ours.
        size: Bytes of these texts, and of the names of all headers.
    """

    source: str
    type: str
    version: int | None
    schema: str | None
    size: int


def _read_stated(size: int, names: Sequence[str], texts: Sequence[bytes]) -> _Stated:
    """Read what all messages of a kind state.

    Args:
        size: Bytes of the names of all headers.
        names: The names of the attributes.
        texts: What they say, in the same order.

    Raises:
        DecodeError: It takes a closer look.
    """
    joined = b"".join(texts)
    size += len(joined)
    said = {name: text.decode() for name, text in zip(names, texts, strict=True)}
    source, name, schema = said["source"], said["type"], said.get("dataschema")
    media = media_of(said["datacontenttype"]) if "datacontenttype" in said else "json"
    usual = said["specversion"] == "1.0" and source and name and media == "json"
    if not usual or joined.translate(None, _PLAIN) or size > _LONGEST:
        raise DecodeError("not the usual")
    version = None if schema is None else version_in(schema, name)
    return _Stated(source, name, version, schema if version is None else None, size)
