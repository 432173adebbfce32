"""JSON text: payloads to bytes and back, with errors that name the place inside the payload.

orjson does the work. What it refuses, or would write as `null` without a word (NaN), is looked up
afterwards by a walk through the value, so that a good payload pays nothing for the explanation.
Envelopes and headers are the codec's (`vectis.core.codec`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any
from uuid import UUID

import orjson

from vectis.core.exceptions import DecodeError, EncodeError
from vectis.core.redact import one_line

__all__ = ["MAX_DEPTH", "SHALLOW", "from_json", "path_step", "plain", "rfc3339", "to_json"]

MAX_DEPTH = 254
"""The most levels of nesting, both ways: what orjson writes."""

SHALLOW = 2 * MAX_DEPTH + 1
"""The most bytes of a JSON text that cannot be deeper: each level is opened and closed."""

# orjson rounds an offset such as +00:19:32 to minutes, another instant: `rfc3339` does not.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME


def to_json(value: Any, root: str = "payload") -> bytes:
    """Return the value as JSON text in UTF-8.

    Decimal and UUID become strings, datetimes RFC 3339 (a naive one is taken as UTC), dates and
    times their ISO form, enums their value, tuples arrays, instances of attrs classes and
    dataclasses objects of their fields.

    Args:
        value: What to write.
        root: What errors call the value itself.

    Raises:
        EncodeError: Something inside is not JSON: bytes, a set, NaN or infinity, a key that is no
            string, an int beyond 64 bits, a lone surrogate, nesting deeper than `MAX_DEPTH`, a
            value that contains itself, any other type. The message names the path and the way out.

    Example:
        >>> from decimal import Decimal
        >>> from vectis.core.jsontext import to_json
        >>> to_json({"order_id": 7, "grand_total": Decimal("19.90")})
        b'{"order_id":7,"grand_total":"19.90"}'
        >>> to_json({"lines": [{"amount": float("nan")}]})
        Traceback (most recent call last):
        ...
        vectis.core.exceptions.EncodeError: payload.lines[0].amount: nan (float) is not JSON; send \
None, or leave it out
    """
    try:
        text = orjson.dumps(value, _plain, _OPTIONS)
    except orjson.JSONEncodeError as error:
        raise _refusal(value, root) or EncodeError(f"{root}: {one_line(str(error))}") from None
    # orjson writes NaN and infinity as null. Most payloads hold no null at all.
    if b"null" in text and _may_hold_nan(value) and (refusal := _refusal(value, root)):
        raise refusal
    # orjson leaves the text in the memory that it wrote into, four kilobytes and up to eight times
    # its length. Messages are kept in thousands, and fresh memory costs ten times what a copy does.
    return b"%b" % text


def from_json(data: bytes, what: str = "payload") -> Any:
    """Return the value that a JSON text stands for.

    Of a key that occurs twice the last value counts. An integer beyond 64 bits becomes a float, as
    with most readers of JSON. Whatever is returned, `to_json` can write again.

    Args:
        data: JSON text in UTF-8, from anywhere. Hold its size against a cap before the call.
        what: What errors call it.

    Raises:
        DecodeError: It is not JSON, not UTF-8, or nested deeper than `MAX_DEPTH`. The message names
            the position as a byte, and quotes nothing.

    Example:
        >>> from vectis.core.jsontext import from_json
        >>> from_json(b'{"order_id": 7}')
        {'order_id': 7}
        >>> from_json(b'{"order_id": NaN}')
        Traceback (most recent call last):
        ...
        vectis.core.exceptions.DecodeError: payload is not JSON: unexpected character, expected a \
JSON value, at byte 13 of 17
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"{what} is not JSON: {_complaint(data, error)}") from None
    # orjson reads 1,024 levels and writes 254; in between, repr() and == end in a RecursionError.
    if len(data) > SHALLOW and data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        try:
            orjson.dumps(value)
        except orjson.JSONEncodeError:
            raise DecodeError(f"{what} is nested deeper than {MAX_DEPTH} levels") from None
    return value


def plain(value: Any, root: str = "payload") -> Any:
    """Return the value as whoever receives it reads it: dicts, lists, strings, numbers, None.

    Args:
        value: What `to_json` takes, such as an instance of an attrs class.
        root: What errors call the value itself.

    Raises:
        EncodeError: As `to_json`.

    Example:
        >>> from decimal import Decimal
        >>> from vectis.core.jsontext import plain
        >>> plain({"grand_total": Decimal("19.90"), "lines": ({"quantity": 2},)})
        {'grand_total': '19.90', 'lines': [{'quantity': 2}]}
    """
    # There and back, so that it cannot differ from the wire, and no slower than a walk in Python.
    return orjson.loads(to_json(value, root))


def rfc3339(moment: datetime) -> str:
    """Return a datetime as RFC 3339 text; a naive one is taken as UTC, an offset is kept.

    Example:
        >>> from datetime import datetime
        >>> from vectis.core.jsontext import rfc3339
        >>> rfc3339(datetime(2026, 1, 31, 12, 30))
        '2026-01-31T12:30:00+00:00'
    """
    text = moment.isoformat()
    if text[-6] in "+-":
        return text
    if moment.utcoffset() is None:
        return text + "+00:00"
    # An offset with seconds (local mean time before 1900 or so), which RFC 3339 cannot say.
    return moment.astimezone(UTC).isoformat()


def _plain(value: Any) -> Any:
    """Turn what orjson does not know into what it does, or raise TypeError; orjson calls this."""
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, float):  # a subclass, such as NumPy's float64
        return float(value)
    if (fields := getattr(type(value), "__attrs_attrs__", None)) is not None:
        return {field.name: getattr(value, field.name) for field in fields}
    raise TypeError


def _may_hold_nan(value: Any) -> bool:
    """Tell whether a closer look is needed: a NaN, or a type that this quick one does not know."""
    kind = type(value)
    if kind is dict:
        value = value.values()
    elif kind is not list and kind is not tuple:
        value = (value,)
    try:
        for member in value:
            kind = type(member)
            if kind in _NEVER_NAN:
                continue
            if kind is float:
                if not isfinite(member):
                    return True
            elif (kind is not dict and kind is not list) or _may_hold_nan(member):
                return True
    except RecursionError:  # the caller itself stands deep in the stack
        return True
    return False


def _refusal(value: Any, root: str) -> EncodeError | None:
    try:
        fault = _find_fault(value, [])
    except RecursionError:  # the caller itself stands deep in the stack
        fault = "", _TOO_DEEP
    if fault is None:
        return None
    path, reason = fault
    return EncodeError(f"{one_line(root + path)}: {reason}")


def _find_fault(value: Any, inside: list[int]) -> tuple[str, str] | None:
    """Return the path below `value` and the reason of the first thing that is not JSON.

    Args:
        value: Where to look.
        inside: The ids of the containers around it: their number is the depth, and meeting one of
            them again is a circle.
    """
    if isinstance(value, Enum):
        return _find_fault(value.value, inside)
    members: Iterable[tuple[Any, Any]]
    if isinstance(value, dict):
        for key in value:
            if reason := _key_fault(key):
                return "", reason
        members = value.items()
    elif isinstance(value, (list, tuple)):
        members = enumerate(value)
    elif (names := _field_names(type(value))) is not None:
        members = [(name, getattr(value, name, None)) for name in names]
    else:
        reason = _leaf_fault(value)
        return ("", reason) if reason else None
    if id(value) in inside:
        return "", f"this {_kind(value)} contains itself; send a copy without the circle"
    if len(inside) == MAX_DEPTH:
        return "", _TOO_DEEP
    inside.append(id(value))
    for key, member in members:
        if fault := _find_fault(member, inside):
            return path_step(key) + fault[0], fault[1]
    inside.pop()
    return None


def _field_names(kind: type) -> list[str] | None:
    fields = getattr(kind, "__attrs_attrs__", None)
    if fields is not None:
        return [field.name for field in fields]
    named = getattr(kind, "__dataclass_fields__", None)
    return None if named is None else [name for name in named if name[0] != "_"]


def path_step(key: str | int) -> str:
    """Return one step of a path inside a payload: `.name`, `["other name"]` or `[3]`.

    Example:
        >>> from vectis.core.jsontext import path_step
        >>> path_step("lines") + path_step(3) + path_step("net weight")
        '.lines[3]["net weight"]'
    """
    if isinstance(key, int):
        return f"[{key}]"
    if key.isidentifier() and len(key) <= _LONGEST_KEY:
        return f".{key}"
    return f'["{one_line(key, _LONGEST_KEY)}"]'


def _key_fault(key: object) -> str:
    if type(key) is not str:
        return f"a key of type {_kind(key)} is not JSON; use a plain str, such as str(key)"
    return _SURROGATE if _has_surrogate(key) else ""


def _leaf_fault(value: object) -> str:
    """Return why a value without members is not JSON, or an empty string when it is."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, str):
        return _SURROGATE if _has_surrogate(value) else ""
    if isinstance(value, int):
        if -(2**63) <= value < 2**64:
            return ""
        return "an int beyond 64 bits would be rounded by readers; send it as a string"
    if isinstance(value, float):
        if isfinite(value):
            return ""
        return f"{value:f} (float) is not JSON; send None, or leave it out"
    try:
        orjson.dumps(value, _plain, _OPTIONS)
    except orjson.JSONEncodeError:
        for kind, reason in _HINTS:
            if isinstance(value, kind):
                return reason.format(_kind(value))
        return (
            f"a value of type {_kind(value)} is not JSON; send a dict, list, str, number, bool or "
            "None made from it"
        )
    return ""


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)


def _kind(value: object) -> str:
    return one_line(type(value).__qualname__, _LONGEST_KEY)


def _complaint(data: bytes, error: orjson.JSONDecodeError) -> str:
    """Say what is wrong at which byte; orjson counts characters, and none when it is not UTF-8."""
    try:
        text = data.decode()
    except UnicodeDecodeError as flaw:
        return f"not UTF-8 at byte {flaw.start} of {len(data)}"
    if not text:
        return "it is empty"
    position = len(text[: error.pos].encode())
    return f"{error.msg}, at byte {position} of {len(data)}"


_NEVER_NAN = frozenset({str, int, bool, type(None), Decimal, UUID, datetime, date})

_LONGEST_KEY = 40

_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels; flatten it"

_SURROGATE = (
    "text with a lone surrogate cannot be written as UTF-8; "
    "clean it where it comes from, or send it escaped"
)

_HINTS: tuple[tuple[Any, str], ...] = (
    ((bytes, bytearray, memoryview), "{} is not JSON; send a str, or base64 it yourself"),
    ((set, frozenset), "{} is not JSON and has no order; send a list, such as sorted(...)"),
    (Decimal, "a Decimal that is no finite number is not JSON; send None, or leave it out"),
    (timedelta, "{} is not JSON; send its total_seconds()"),
    (Awaitable, "{} is not JSON; its `await` is missing"),
)
