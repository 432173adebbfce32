"""How headers are stored: what the messages of a producer have in common stands in the file once.

A record's headers are a head, a newline, and the bytes of the values. The head is the number of a
layout: one line of JSON with the names and, for each, the number of bytes or the value itself. The
first few thousand layouts of a file are kept in a table; of all others the head is the layout.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from itertools import count
from struct import Struct
from typing import TYPE_CHECKING, Any

import orjson

from vectis.core.jsontext import to_json
from vectis.core.remembered import Remembered

if TYPE_CHECKING:
    from vectis.core.message import Headers

__all__ = ["NO_HEADERS", "Connection", "pack"]

STATED = frozenset({"ce_specversion", "ce_source", "ce_type", "content-type", "ce_dataschema"})
"""Headers whose values thousands of messages share; in front, they become part of the layout."""

LONGEST = 1_000  # bytes of such values together
MOST = 4_096  # layouts that a file keeps: producers could invent new names for ever

_ALIKE = 256  # layouts remembered for each set of names; making one costs more than storing it

_Split = tuple[bytes, "Callable[[bytes, int], Headers]"]
"""The head of a record with its newline, and what makes headers of a record with this head, told
where the head ends."""

NO_HEADERS: _Split = b"\n", lambda packed, at: ()
"""How a record without any is taken apart; no record begins with this head."""

_numbers = count()


class Connection(sqlite3.Connection):
    """A connection to the file, with the layouts that were met through it.

    What a transaction added and rolled back must not stay here: open the file anew then. Each has
    a `number` that no other one has, or had before.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # what sqlite3.connect was given
        self.number = next(_numbers)
        self._heads: dict[bytes, bytes] = {b"": b""}
        self._splits: dict[bytes, _Split] = {}
        self._schema = -1

    def opened(self) -> None:
        """Note what tells this content of the file from another one, once it is made."""
        (self._schema,) = self.execute("PRAGMA schema_version").fetchone()

    def is_other(self) -> bool:
        """Return whether the file got other content since, as `.restore` does; in a transaction.

        What was met through this connection may mean something else then: open the file anew. The
        number that is looked at grows with each restore, and whenever somebody changes a table.
        """
        (schema,) = self.execute("PRAGMA schema_version").fetchone()
        return bool(schema != self._schema)

    def head(self, layout: bytes) -> bytes:
        """Return what a record with this layout begins with; within a writing transaction."""
        head = self._heads.get(layout)
        if head is None:
            if len(self._heads) > 2 * MOST:
                self._heads.clear()
            head = self._heads[layout] = self._find_or_make(layout) + b"\n"
        return head

    def split(self, packed: bytes) -> _Split:
        """Return how the headers of a record are taken apart, and of all that begin alike."""
        if not packed:
            return NO_HEADERS
        head = packed[: packed.index(b"\n") + 1]
        if head.startswith(b"["):
            return _parsed(head, head)
        split = self._splits.get(head)
        if split is None:
            number = head[:-1].decode()
            row = self.execute("SELECT text FROM layouts WHERE id = ?", (number,)).fetchone()
            if row is None:
                raise sqlite3.DatabaseError("a record has headers of a layout that is not there")
            split = self._splits[head] = _parsed(head, *row)
        return split

    def _find_or_make(self, layout: bytes) -> bytes:
        self.execute(
            "INSERT INTO layouts (text) SELECT ? WHERE (SELECT count(*) FROM layouts) < ? "
            "ON CONFLICT DO NOTHING",
            (layout, MOST),
        )
        row = self.execute("SELECT id FROM layouts WHERE text = ?", (layout,)).fetchone()
        return layout if row is None else b"%d" % row


def pack(headers: Headers) -> tuple[bytes, bytes]:
    """Return the layout of headers, empty for none, and the bytes of the values it leaves out.

    Raises:
        TypeError, ValueError, AttributeError: They are no pairs of a name and bytes.
    """
    packer = _latest.get(len(headers))
    try:
        packed = None if packer is None else packer(headers)
    except _TooLongError:
        packed = None
    return packed or _pack(headers)


def _pack(headers: Headers) -> tuple[bytes, bytes]:
    """Do it for headers that are not like the latest ones."""
    if not headers:
        return b"", b""
    names, values = zip(*headers, strict=True)
    "".join(names)  # a name that is no string would come back as something else
    if len(names) <= _MOST_HEADERS:
        packer = _latest[len(names)] = _packers[names]
        with suppress(_TooLongError):
            packed = packer(headers)
            assert packed is not None  # it is the packer for these very names
            return packed
    return _layout(names, 0, tuple(map(len, values))), b"".join(values)


class _TooLongError(Exception):
    """What is stated in front is longer than a layout may be."""


_Packer = Callable[["Headers"], "tuple[bytes, bytes] | None"]
"""Packs headers with certain names, and answers None for those with others."""

_MOST_HEADERS = 64  # for which functions are made

# Taking headers apart where they stand costs half of what a loop does, and that is a tenth of all
# that is spent on storing a message. Only numbers go into the source.
_PACKER = """
def packer(known, layouts, join):
    def pack(headers):
        {pairs}, = headers
        if ({names},) != known:
            return None
        return layouts[{parts},], join(({own}))
    return pack
"""


def _packer(names: tuple[str, ...]) -> _Packer:
    stated = next((at for at, name in enumerate(names) if name not in STATED), len(names))

    def layout(parts: tuple[Any, ...]) -> bytes:
        if sum(map(len, parts[:stated])) > LONGEST:
            raise _TooLongError
        return _layout(names, stated, parts)

    make = _packer_of(len(names), stated)
    packer: _Packer = make(names, Remembered(layout, _ALIKE), b"".join)
    return packer


@lru_cache(maxsize=64)
def _packer_of(count: int, stated: int) -> Callable[..., Any]:
    """Return what makes packers for so many headers, of which the first ones are stated."""
    return _function(
        _PACKER.format(
            pairs=", ".join(f"(n{at}, t{at})" for at in range(count)),
            names=", ".join(f"n{at}" for at in range(count)),
            parts=", ".join(f"t{at}" if at < stated else f"len(t{at})" for at in range(count)),
            own="".join(f"t{at}, " for at in range(stated, count)),
        )
    )


_packers = Remembered(_packer, 16)
_latest: dict[int, _Packer] = {}
"""The packer that was used last, by the number of headers: likely to be the next one too."""


def _layout(names: tuple[str, ...], stated: int, parts: tuple[Any, ...]) -> bytes:
    """Return the layout for the values that it states, and the lengths of the others."""
    # Latin-1 stands for any bytes, and for those of a usual value as they are.
    values = (value.decode("latin-1") for value in parts[:stated])
    return to_json((names, (*values, *parts[stated:])), "headers")


# As with `_PACKER`: this costs half of what `zip` does.
_SPLITTER = """
def splitter(stated, names, unpack):
    {stated} = stated
    {names} = names
    def split(packed, at):
        {texts} = unpack(packed, at)
        return ({pairs})
    return split
"""


@lru_cache(maxsize=4 * _ALIKE)
def _parsed(head: bytes, layout: bytes) -> _Split:
    names, parts = orjson.loads(layout)
    values = [part.encode("latin-1") for part in parts if isinstance(part, str)]
    count = len(values)
    stated, own = tuple(zip(names, values, strict=False)), names[count:]
    unpack = Struct("".join([f"{length}s" for length in parts[count:]])).unpack_from
    if len(names) > _MOST_HEADERS:
        return head, lambda packed, at: (*stated, *zip(own, unpack(packed, at), strict=True))
    return head, _splitter_of(count, len(own))(stated, own, unpack)


@lru_cache(maxsize=64)
def _splitter_of(stated: int, own: int) -> Callable[..., Any]:
    """Return what makes functions that take so many headers out of a record."""
    common, others = (range(stated), range(own))
    return _function(
        _SPLITTER.format(
            stated="".join(f"s{at}, " for at in common) or "()",
            names="".join(f"n{at}, " for at in others) or "()",
            texts="".join(f"t{at}, " for at in others) or "()",
            pairs="".join([*(f"s{at}, " for at in common), *(f"(n{a}, t{a}), " for a in others)]),
        )
    )


def _function(source: str) -> Callable[..., Any]:
    """Return the one function that some source defines."""
    made: dict[str, Any] = {}
    exec(source, {}, made)
    (function,) = made.values()
    return function  # type: ignore[no-any-return]
