"""The types a setting may have: how to take them apart, and what people call them and their values.

Only words and shapes; what is accepted is decided in `vectis.core._structure`.
"""

from __future__ import annotations

import collections.abc
import enum
import json
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Union

import attrs

from vectis.core._masking import masked

__all__ = [
    "array_of",
    "describe",
    "enum_members",
    "hint",
    "is_table",
    "item_types",
    "members",
    "name_of",
    "plain",
]

_ARRAYS: dict[Any, Callable[[Iterable[Any]], Any]] = {
    tuple: tuple,
    list: list,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: tuple,
    collections.abc.Iterable: tuple,
    collections.abc.Set: frozenset,
}
_TABLES = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_NAMES: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a string",
    Path: "a path in quotes",
}
_LONGEST = 60  # characters of a value that a message quotes


def members(wanted: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the type itself alone."""
    if typing.get_origin(wanted) in (Union, types.UnionType):
        return typing.get_args(wanted)
    return (wanted,)


def plain(wanted: Any) -> Any:
    """Return `X` for `X | None`, and every other type as it is."""
    rest = tuple(member for member in members(wanted) if member is not type(None))
    return rest[0] if len(rest) == 1 else wanted


def array_of(wanted: Any) -> Callable[[Iterable[Any]], Any] | None:
    """Return what makes the value of a list-like type from its items, or None for another type."""
    origin = typing.get_origin(wanted) or wanted
    return _ARRAYS.get(origin) if isinstance(origin, type) else None


def item_types(wanted: Any, count: int) -> list[Any] | None:
    """Return the types of a list's items, or None when it cannot have this many."""
    arguments = typing.get_args(wanted)
    if typing.get_origin(wanted) is tuple and arguments[-1:] != (Ellipsis,):
        return list(arguments) if len(arguments) == count else None
    return [arguments[0] if arguments else Any] * count


def is_table(wanted: Any) -> bool:
    """Tell whether a type is a mapping."""
    return (typing.get_origin(wanted) or wanted) in _TABLES


def enum_members(wanted: enum.EnumMeta) -> list[enum.Enum]:
    """Return the members of an enum, in order."""
    return list(wanted.__members__.values())


def name_of(wanted: Any) -> str:
    """Return what messages call a type.

    Example:
        >>> name_of(tuple[str, ...]), name_of(int | None)
        ('a list of strings', 'a whole number')
    """
    wanted = plain(wanted)
    if wanted in _NAMES:
        return _NAMES[wanted]
    if len(members(wanted)) > 1:
        return " or ".join(name_of(one) for one in members(wanted) if one is not type(None))
    if typing.get_origin(wanted) is Literal:
        return "one of " + ", ".join(_quoted(choice) for choice in typing.get_args(wanted))
    if array_of(wanted):
        return _array_name(wanted)
    if is_table(wanted) or attrs.has(wanted):
        return "a table"
    if isinstance(wanted, enum.EnumMeta):
        return "one of " + ", ".join(_quoted(member.value) for member in enum_members(wanted))
    return str(getattr(wanted, "__name__", wanted))


def _array_name(wanted: Any) -> str:
    arguments = typing.get_args(wanted)
    if arguments in ((str,), (str, Ellipsis)):
        return "a list of strings"
    if typing.get_origin(wanted) is tuple and arguments[-1:] != (Ellipsis,):
        return f"a list of exactly {len(arguments)}"
    return "a list"


def describe(value: object, shown: bool) -> str:
    """Return what messages call a value; a secret one is called by its type only."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, (list, tuple, set, frozenset)):
        return "a list"
    if isinstance(value, str):
        return f"the string {_quoted(masked(value))}" if shown else "this string"
    if not shown:
        return f"this {type(value).__name__}"
    return _quoted(value)


def hint(wanted: Any, value: object, shown: bool) -> str:
    """Return how to write a value that came as a string and should not have."""
    wanted = plain(wanted)
    if not isinstance(value, str):
        return ""
    if array_of(wanted):
        return f": write [{_quoted(masked(value)) if shown else '...'}], with brackets"
    return ": write it without quotes" if _reads_as(wanted, value) else ""


def _reads_as(wanted: Any, text: str) -> bool:
    """Tell whether a text is a value of a type once the quotes around it are gone."""
    if wanted is bool:
        return text in ("true", "false")
    if wanted not in (int, float):
        return False
    try:
        return math.isfinite(wanted(text))
    except (ValueError, OverflowError):
        return False


def _quoted(value: object) -> str:
    """Return a value as TOML writes it, on one line and not too long."""
    if not isinstance(value, (str, bool, int, float)):
        return repr(value)[:_LONGEST]
    text = json.dumps(value) if isinstance(value, (str, bool)) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
