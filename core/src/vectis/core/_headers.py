"""What the headers of a message in binary mode say, read as nearly every producer writes them.

What is out of the ordinary is not read here, nor judged: whoever decodes takes the careful way.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from vectis.core._cloudevents import ATTRIBUTES, attribute_name, media_of, version_in
from vectis.core.exceptions import DecodeError
from vectis.core.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vectis.core.message import Headers

__all__ = ["Said", "in_pairs", "read_headers", "said_by"]

_LONGEST = 4096  # bytes of header names and of what they state: it bounds what is remembered
_MOST = 64  # headers

_NEEDED = frozenset({"specversion", "source", "type", "id"})
_STATED = frozenset({"specversion", "source", "type", "datacontenttype", "dataschema"})
_OWN = frozenset({"id", "correlationid", "causationid", "userid"})
_TOLD = _STATED | _OWN | {"time"}

# What may stand in an attribute without a closer look: ASCII without control characters. To mark
# the rest takes half the time that leaving out the plain does.
_MARKED = bytes(byte if 32 <= byte < 127 else 0 for byte in range(256))

# A time's shape is its text with every digit as 0: cheaper than a regular expression.
_DIGITS_AS_ZERO = bytes.maketrans(b"123456789", b"000000000")
_TIME_SHAPES = frozenset(
    b"0000-00-00T00:00:00" + fraction + zone
    for fraction in (b"", *(b"." + b"0" * digits for digits in range(1, 10)))
    for zone in (b"Z", b"+00:00", b"-00:00")
)

# Of no CloudEvent in binary mode, or of none that is right.
_UNUSUAL = (LookupError, ValueError, TypeError, AttributeError)

Said = tuple["Layout", "Stated", tuple[bytes, ...], int, datetime | None]
"""Where the attributes stand, what thousands of messages state alike, the texts that are the
message's own, the bytes of all names and texts, and the time that is told. A plain tuple: a class
costs four times as much to make.
"""


def read_headers(received: Sequence[tuple[str, bytes | None]]) -> Headers | Said:
    """Return headers for a delivery, in the form that costs least to keep and to decode.

    For a transport that makes deliveries of what it received: names, and what thousands of messages
    state alike, are kept once for all of them, and whoever decodes the delivery need not look at
    its headers again. `Delivery.headers` makes pairs of it when somebody asks.

    Args:
        received: Names and bytes, in order. Other programs may write a header whose bytes are None:
            it is kept with `b""`.

    Returns:
        What a `Delivery` takes as its headers. They are kept in pairs, as they came, when nobody
        has decoded a message with these names yet, and when only the careful way can read them.

    Example:
        >>> from vectis.core.codec import decode, read_headers
        >>> from vectis.core.message import Delivery
        >>> received = [("ce_specversion", b"1.0"), ("ce_id", b"7"), ("ce_source", b"shop")]
        >>> received.append(("ce_type", b"order.created"))
        >>> for _ in range(2):  # with the second message the names are known
        ...     headers = read_headers(received)
        ...     delivery = Delivery("vectis.orders", 0, 7, value=b"{}", headers=headers)
        ...     event = decode(delivery, max_bytes=1_000).event
        >>> event.id, delivery.headers == tuple(received), headers == tuple(received)
        ('7', True, False)
    """
    try:
        layout = _latest.get(len(received))
        said = None if layout is None else layout.read(received)
        if said is None:
            layout = _layouts.get(tuple([name for name, _ in received]))
            # To make one of hostile names takes milliseconds, and a fetch is read in one go:
            # whoever decodes makes it, and gives way to others in between.
            if layout is not None:
                _latest[len(received)] = layout
                said = layout.read(received)
    except _UNUSUAL:
        said = None
    return said or tuple([(name, value or b"") for name, value in received])


def said_by(headers: Headers | Said) -> Said | tuple[()]:
    """Return what headers say, nothing when that takes a closer look."""
    if headers and isinstance(headers[0], Layout):
        return headers
    try:
        layout = _latest.get(len(headers)) or _layout_of(headers)
        said = layout.read(headers)
        return _layout_of(headers).read(headers) or () if said is None else said
    except _UNUSUAL:
        return ()


def in_pairs(headers: Headers | Said) -> Headers:
    """Return headers as names and bytes, in order."""
    if not headers or not isinstance(headers[0], Layout):
        return headers
    layout, stated, own, _, _ = headers
    pairs = (*stated.pairs, *zip(layout.names, own, strict=True))
    return tuple([pairs[at] for at in layout.order])


@attrs.frozen(eq=False)
class Layout:
    """Where the attributes stand among the headers; messages of one producer have the same.

    Args:
        read: Takes headers and returns what they say; nothing when that takes a closer look, and
            None when the names are others. A closer look is also what any of `_UNUSUAL` means.
        names: Of the headers that each message has for itself, in the order of their texts.
        own: The attributes among them, with the places of their texts.
        others: The attributes among them that are no field of an event, with their places.
        order: Where each header stands when those that are stated alike come first.
    """

    read: Callable[[Any], Said | tuple[()] | None]
    names: tuple[str, ...]
    own: tuple[tuple[str, int], ...]
    others: tuple[tuple[str, int], ...]
    order: tuple[int, ...]


# Taking headers apart where they stand costs a third of what `zip` and look-ups by name do, and
# that is a tenth of all that the worker does for a message. Only places go into the source: what
# anybody sent, names included, stays a value.
_READ = """
def read(headers):
    global LAST
    {pairs}, = headers
    if ({names},) != NAMES:
        return None
    own = join(texts := ({own},))
    if 0 in own.translate(MARKED) or not {id}:
        return ()
    before, stated = LAST
    if ({stated},) != before:
        stated = STATED[{stated}]
        LAST = ({stated},), stated
    {more}
    return LAYOUT, stated, texts, stated.size + len(own), {time}
"""
_CHECK_TIME = "if {time}.translate(ZEROS) not in SHAPES: return ()"


def _read_layout(names: tuple[str, ...]) -> Layout:
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
    alike = [places[name] for name in stated]
    here = range(len(names))
    own = [place for place in here if place not in alike]
    time = f"t{places['time']}" if "time" in places else None
    values: dict[str, Any] = {
        "NAMES": names,
        "LAST": (None, None),
        "STATED": Remembered(
            partial(_read_stated, size, stated, [names[place] for place in alike]), 1024
        ),
        "MARKED": _MARKED,
        "ZEROS": _DIGITS_AS_ZERO,
        "SHAPES": _TIME_SHAPES,
        "join": b"".join,
        "moment": datetime.fromisoformat,
    }
    source = _READ.format(
        pairs=", ".join(f"(n{place}, t{place})" for place in here),
        names=", ".join(f"n{place}" for place in here),
        stated=", ".join(f"t{place}" for place in alike),
        own=", ".join(f"t{place}" for place in own),
        id=f"t{places['id']}",
        more=_CHECK_TIME.format(time=time) if time else "",
        time=f"moment({time}.decode())" if time else None,
    )
    exec(source, values)
    layout = values["LAYOUT"] = Layout(
        read=values["read"],
        names=tuple(names[place] for place in own),
        own=tuple((name, own.index(at)) for name, at in places.items() if name in _OWN),
        others=tuple((name, own.index(at)) for name, at in places.items() if name not in _TOLD),
        order=tuple((alike + own).index(place) for place in here),
    )
    return layout


_layouts = Remembered(_read_layout, 256)
_latest: dict[int, Layout] = {}
"""The layout that was met last, by the number of headers: it is likely to be the next one too."""


def _layout_of(headers: Sequence[tuple[str, bytes | None]]) -> Layout:
    layout = _latest[len(headers)] = _layouts[tuple([name for name, _ in headers])]
    return layout


@attrs.frozen
class Stated:
    """What thousands of messages say alike.

    Args:
        source: The source.
        type: The event type.
        version: The version of the type, when the sender named it.
        schema: The `dataschema` when it is not ours.
        size: Bytes of these texts, and of the names of all headers.
        pairs: The headers that say so, in the order in which they stand there.
    """

    source: str
    type: str
    version: int | None
    schema: str | None
    size: int
    pairs: Headers


def _read_stated(
    size: int, names: Sequence[str], headers: Sequence[str], texts: Sequence[bytes]
) -> Stated:
    """Read what all messages of a kind state.

    Args:
        size: Bytes of the names of all headers.
        names: The names of the attributes.
        headers: The names of their headers, in the same order.
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
    if not usual or 0 in joined.translate(_MARKED) or size > _LONGEST:
        raise DecodeError("not the usual")
    version = None if schema is None else version_in(schema, name)
    pairs = tuple(zip(headers, texts, strict=True))
    return Stated(source, name, version, schema if version is None else None, size, pairs)
