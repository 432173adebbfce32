"""How headers are stored: what the messages of a producer have in common stands in the file once.

A record's headers are a head, a newline, and the bytes of the values. The head is a layout, one
line of JSON with the names and, for each, the number of bytes or the value itself; or, for all but
a file's first few thousand layouts, which are kept in a table of their own, the layout's number.
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

from vectis.core.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectis.core.message import Headers

__all__ = ["NO_HEADERS", "Connection", "pack"]

STATED = frozenset({"ce_specversion", "ce_source", "ce_type", "content-type", "ce_dataschema"})
"""Headers whose values thousands of messages share; in front, they become part of the layout."""

LONGEST = 1_000  # bytes of such values together
MOST = 4_096  # layouts that a file keeps: producers could invent new names for ever

_ALIKE = 1_024  # layouts remembered in memory; JSON for each message costs more than storing it

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
    if _is_usual(names):
        packer = _latest[len(names)] = _packers[names]
        with suppress(_TooLongError):
            packed = packer(headers)
            assert packed is not None  # it is the packer for these very names
            return packed
        stated = 0
    else:
        stated = _stated(names)
        if sum(map(len, values[:stated])) > LONGEST:
            stated = 0
    parts = (*values[:stated], *map(len, values[stated:]))
    return _layout(names, stated, parts), b"".join(values[stated:])


class _TooLongError(Exception):
    """What is stated in front is longer than a layout may be."""


_Packer = Callable[["Headers"], "tuple[bytes, bytes] | None"]

_USUAL = ("ce_specversion", "ce_source", "ce_type", "content-type")
_MOST_HEADERS = 64

# Taking headers apart where they stand costs half of what a loop does, and that is a tenth of all
# that is spent on storing a message. Only places go into the source, never a name.
_PACK = """
def pack(headers):
    {pairs}, = headers
    if ({names},) != NAMES:
        return None
    return LAYOUTS[{parts},], join(({own}))
"""


def _packer(names: tuple[str, ...]) -> _Packer:
    """Return what packs headers with these names, and answers None for those with others."""
    stated = _stated(names)

    def layout(parts: tuple[Any, ...]) -> bytes:
        if sum(map(len, parts[:stated])) > LONGEST:
            raise _TooLongError
        return _layout(names, stated, parts)

    values: dict[str, Any] = {
        "NAMES": names,
        "LAYOUTS": Remembered(layout, _ALIKE),
        "join": b"".join,
    }
    here = range(len(names))
    source = _PACK.format(
        pairs=", ".join(f"(n{place}, t{place})" for place in here),
        names=", ".join(f"n{place}" for place in here),
        parts=", ".join(f"t{at}" if at < stated else f"len(t{at})" for at in here),
        own="".join(f"t{place}, " for place in here[stated:]),
    )
    exec(source, values)
    packer: _Packer = values["pack"]
    return packer


_packers = Remembered(_packer, 256)
_latest: dict[int, _Packer] = {}
"""The packer that was used last, by the number of headers: likely to be the next one too."""


def _is_usual(names: Sequence[str]) -> bool:
    """Tell whether a producer like Vectis wrote them: so that not every name makes a function."""
    return (*names[: len(_USUAL)],) == _USUAL and len(names) <= _MOST_HEADERS


def _stated(names: tuple[str, ...]) -> int:
    """Return how many headers in front belong into the layout."""
    "".join(names)  # a name that is no string would come back as something else
    return next((place for place, name in enumerate(names) if name not in STATED), len(names))


def _layout(names: tuple[str, ...], stated: int, parts: tuple[Any, ...]) -> bytes:
    """Return the layout for the values that it states, and the lengths of the others."""
    # Latin-1 stands for any bytes, and for those of a usual value as they are.
    values = (value.decode("latin-1") for value in parts[:stated])
    return orjson.dumps((names, (*values, *parts[stated:])))


# As with `_PACK`: this costs half of what `zip` does.
_SPLIT = """
def split(packed, at):
    {own}, = unpack(packed, at)
    return {pairs},
"""


@lru_cache(maxsize=_ALIKE)
def _parsed(head: bytes, layout: bytes) -> _Split:
    names, parts = orjson.loads(layout)
    stated = [part.encode("latin-1") for part in parts if isinstance(part, str)]
    count = len(stated)
    unpack = Struct("".join([f"{length}s" for length in parts[count:]])).unpack_from
    common, own = tuple(zip(names, stated, strict=False)), names[count:]
    if not _is_usual(names) or not own:
        return head, lambda packed, at: (*common, *zip(own, unpack(packed, at), strict=True))
    values: dict[str, Any] = {"unpack": unpack}
    values |= {f"s{place}": pair for place, pair in enumerate(common)}
    values |= {f"n{place}": name for place, name in enumerate(own)}
    pairs = [f"s{place}" for place in range(count)]
    pairs += [f"(n{place}, t{place})" for place in range(len(own))]
    texts = [f"t{place}" for place in range(len(own))]
    exec(_SPLIT.format(own=", ".join(texts), pairs=", ".join(pairs)), values)
    split: Callable[[bytes, int], Headers] = values["split"]
    return head, split
