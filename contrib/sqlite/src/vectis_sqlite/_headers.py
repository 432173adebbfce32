"""How headers are stored: what the messages of a producer have in common stands in the file once.

A record's headers are a head, a newline, and the bytes of the values. The head is a layout, one
line of JSON with the names and, for each, the number of bytes or the value itself; or, for all but
a file's first few thousand layouts, which are kept in a table of their own, the layout's number.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from itertools import count
from struct import Struct
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectis.core.message import Headers

__all__ = ["NO_HEADERS", "Connection", "pack"]

STATED = frozenset({"ce_specversion", "ce_source", "ce_type", "content-type", "ce_dataschema"})
"""Headers whose values thousands of messages share; in front, they become part of the layout."""

LONGEST = 1_000  # bytes of such values together
MOST = 4_096  # layouts that a file keeps: producers could invent new names for ever

_ALIKE = 1_024  # layouts remembered in memory; JSON for each message costs more than storing it

_met: dict[tuple[Headers | str | int, ...], bytes] = {}
"""The layouts of headers, by those in front, then the names and the lengths of those behind."""

_Split = tuple[bytes, "Headers", list[str], "Callable[[bytes, int], tuple[bytes, ...]]"]
"""The head of a record with its newline, the headers that its layout states, the names of the
others, and what takes their values apart, which stand behind the head."""

NO_HEADERS: _Split = b"\n", (), [], lambda packed, at: ()
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
        TypeError, ValueError, AttributeError, IndexError: They are no pairs of a name and bytes.
    """
    # Most come from a producer of Vectis, with four headers in front that a layout may state, or
    # five: one look-up is enough for those whose like has been met.
    front = 5 if len(headers) > 4 and headers[4][0] == "ce_dataschema" else 4
    names, values = [], []
    for name, value in headers[front:]:
        names.append(name)
        values.append(value)
    met = _met.get((headers[:front], *names, *map(len, values)))
    if met is not None:
        return met, b"".join(values)
    return _pack(headers, front)


def _pack(headers: Headers, front: int) -> tuple[bytes, bytes]:
    if not headers:
        return b"", b""
    names, values = zip(*headers, strict=True)
    stated = _stated(names)
    lengths = tuple(map(len, values))
    if sum(lengths[:stated]) > LONGEST:
        stated = 0
    layout = _layout(names, values[:stated], lengths[stated:])
    if stated == front:
        if len(_met) >= _ALIKE:
            _met.clear()
        _met[(headers[:front], *names[front:], *lengths[front:])] = layout
    return layout, b"".join(values[stated:])


@lru_cache(maxsize=_ALIKE)
def _stated(names: tuple[str, ...]) -> int:
    """Return how many headers in front belong into the layout."""
    "".join(names)  # a name that is no string would come back as something else
    count = 0
    while count < len(names) and names[count] in STATED:
        count += 1
    return count


@lru_cache(maxsize=_ALIKE)
def _layout(names: tuple[str, ...], stated: tuple[bytes, ...], lengths: tuple[int, ...]) -> bytes:
    # Latin-1 stands for any bytes, and for those of a usual value as they are.
    return orjson.dumps((names, (*(value.decode("latin-1") for value in stated), *lengths)))


@lru_cache(maxsize=_ALIKE)
def _parsed(head: bytes, layout: bytes) -> _Split:
    names, parts = orjson.loads(layout)
    values = [part.encode("latin-1") for part in parts if isinstance(part, str)]
    count = len(values)
    lengths = "".join([f"{length}s" for length in parts[count:]])
    stated = tuple(zip(names, values, strict=False))
    return head, stated, names[count:], Struct(lengths).unpack_from
