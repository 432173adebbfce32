"""What the headers of a message in binary mode say, read as nearly every producer writes them.

What is out of the ordinary is not read here, nor judged: whoever decodes takes the careful way.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import attrs

from vectis.core._cloudevents import ATTRIBUTES, attribute_name, media_of, version_in
from vectis.core.exceptions import DecodeError
from vectis.core.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vectis.core.message import Headers

__all__ = ["Layout", "Said", "Stated", "read_headers", "said_by"]

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

# Of no CloudEvent in binary mode, or of none that is right.
_UNUSUAL = (LookupError, ValueError, TypeError, AttributeError)

Said = tuple["Headers", "Layout", "Stated", int, datetime | None]
"""The headers, where their attributes stand, what thousands of them state alike, the bytes of all
names and texts, and the time that is told. A plain tuple: a class costs four times as much to make.
"""


def read_headers(
    received: Sequence[tuple[str, bytes | None]],
) -> tuple[Headers, Said | tuple[()] | None]:
    """Return headers to keep in a delivery, and what they say, for its `said`.

    For a transport that makes deliveries of what it received: names, and what thousands of messages
    state alike, are kept once for all of them, and whoever decodes the delivery need not look at
    its headers again.

    Args:
        received: Names and bytes, in order. Other programs may write a header whose bytes are None:
            it is kept with `b""`.

    Returns:
        The headers, equal to what was received, and what they say: `()` when only the careful way
        can tell, None when nobody has decoded a message with these names yet.

    Example:
        >>> from vectis.core.codec import decode, read_headers
        >>> from vectis.core.message import Delivery
        >>> received = [("ce_specversion", b"1.0"), ("ce_id", b"7"), ("ce_source", b"shop")]
        >>> received.append(("ce_type", b"order.created"))
        >>> for _ in range(2):  # with the second message the names are known
        ...     headers, said = read_headers(received)
        ...     delivery = Delivery("vectis.orders", 0, 7, None, b"{}", headers, said=said)
        ...     event = decode(delivery, max_bytes=1_000).event
        >>> event.id, headers == tuple(received), bool(said)
        ('7', True, True)
    """
    try:
        layout = _latest.get(len(received))
        picked = None if layout is None else layout.share(received)
        if picked is None:
            layout = _layouts.get(tuple([name for name, _ in received]))
            if layout is None:
                # To make one of hostile names takes milliseconds, and a fetch is read in one go:
                # whoever decodes makes it, and gives way to others in between.
                return _whole(received), None
            _latest[len(received)] = layout
            picked = layout.share(received)
            assert picked is not None  # it is the layout of these very names
        assert layout is not None  # without one nothing was picked
        said = _said(layout, picked)
    except _UNUSUAL:
        return _whole(received), ()
    return (said[0], said) if said else (_whole(received), ())


def said_by(headers: Headers) -> Said | tuple[()]:
    """Return what headers say, nothing when that takes a closer look; none of them is changed."""
    try:
        layout = _latest.get(len(headers)) or _layout_of(headers)
        picked = layout.pick(headers)
        if picked is None:
            layout = _layout_of(headers)
            picked = layout.pick(headers)
            assert picked is not None  # it is the layout of these very names
        return _said(layout, picked)
    except _UNUSUAL:
        return ()


def _whole(received: Sequence[tuple[str, bytes | None]]) -> Headers:
    return tuple([(name, value or b"") for name, value in received])


def _said(layout: Layout, picked: Picked) -> Said | tuple[()]:
    headers, stated, own, id, time = picked
    if own.translate(None, _PLAIN) or not id:  # something is left: all of them in one look
        return ()
    if time is None:
        return headers, layout, stated, stated.size + len(own), None
    if time.translate(_DIGITS_AS_ZERO) not in _TIME_SHAPES:
        return ()
    return headers, layout, stated, stated.size + len(own), _read_time(time.decode())


Picked = tuple["Headers", "Stated", bytes, bytes, bytes | None]


@attrs.frozen(eq=False)
class Layout:
    """Where the attributes stand among the headers; messages of one producer have the same.

    Args:
        pick: Takes headers; returns them, what they state, the texts that are the message's own
            joined, its id, and its time or None. None for all of it when the names are others.
        share: As `pick`, with headers that share what is alike with those of other messages.
        own: The attributes that each message has for itself, with their places.
        others: The other attributes and their places.
    """

    pick: Callable[[Sequence[tuple[str, bytes | None]]], Picked | None]
    share: Callable[[Sequence[tuple[str, bytes | None]]], Picked | None]
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
    return headers, STATED[{stated}], join(({own},)), {id}, {time}

def share(headers):
    {pairs}, = headers
    if ({names},) != NAMES:
        return None
    stated = STATED[{stated}]
    {shared}, = stated.pairs
    return ({kept},), stated, join(({own},)), {id}, {time}
"""


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
    apart = {places[name] for name in stated}
    here = range(len(names))
    values = {
        "NAMES": names,
        **{f"N{place}": names[place] for place in here},
        "STATED": Remembered(
            partial(_read_stated, size, stated, [names[places[name]] for name in stated]), 1024
        ),
        "join": b"".join,
    }
    source = _PICK.format(
        pairs=", ".join(f"(n{place}, t{place})" for place in here),
        names=", ".join(f"n{place}" for place in here),
        stated=", ".join(f"t{places[name]}" for name in stated),
        own=", ".join(f"t{place}" for place in here if place not in apart),
        id=f"t{places['id']}",
        time=f"t{places['time']}" if "time" in places else None,
        shared=", ".join(f"s{places[name]}" for name in stated),
        kept=", ".join(
            f"s{place}" if place in apart else f"(N{place}, t{place})" for place in here
        ),
    )
    exec(source, values)
    return Layout(
        pick=values["pick"],  # type: ignore[arg-type]  # it was made on the line before
        share=values["share"],  # type: ignore[arg-type]  # so was this
        own=tuple((name, at) for name, at in places.items() if name in _OWN),
        others=tuple((name, at) for name, at in places.items() if name not in _TOLD),
    )


_layouts = Remembered(_read_layout, 256)
_latest: dict[int, Layout] = {}
"""The layout that was met last, by the number of headers: it is likely to be the next one too."""


def _layout_of(headers: Headers) -> Layout:
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
        pairs: The headers that say so, in the order of their attributes.
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
    if not usual or joined.translate(None, _PLAIN) or size > _LONGEST:
        raise DecodeError("not the usual")
    version = None if schema is None else version_in(schema, name)
    pairs = tuple(zip(headers, texts, strict=True))
    return Stated(source, name, version, schema if version is None else None, size, pairs)
