"""Read the text of an environment variable into what a config file would have said.

Whether that is right for the setting is decided afterwards, by `vectis.core._structure`.
"""

from __future__ import annotations

import enum
import json
import typing
from typing import TYPE_CHECKING, Any, Literal

import attrs

from vectis.core._environment import BOOLEANS
from vectis.core._setting_types import array_of, enum_members, is_table, item_types, members, plain
from vectis.core._structure import Refused, structure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["read_text"]


def read_text(text: str, wanted: Any) -> Any:
    """Return the value that a variable's text stands for.

    Lists are separated by commas; for a setting that may be None, nothing at all means None.
    Tables, and lists of anything but simple values, are written as JSON.

    Args:
        text: What the variable says.
        wanted: The setting's type.

    Returns:
        The value; the text itself where it cannot be read as the type, for the type to refuse.

    Example:
        >>> read_text("a, b", tuple[str, ...]), read_text("", int | None), read_text("off", bool)
        (['a', 'b'], None, False)
    """
    kinds = members(wanted)
    if text == "" and type(None) in kinds:
        return None
    wanted = plain(wanted)
    if len(members(wanted)) > 1:
        return _first_that_fits(text, members(wanted))
    if typing.get_origin(wanted) is Literal:
        return _choice(text, typing.get_args(wanted))
    if isinstance(wanted, enum.EnumMeta):
        return _choice(text, [member.value for member in enum_members(wanted)])
    if array_of(wanted):
        items = [part.strip() for part in text.split(",") if part.strip()]
        kinds = tuple(item_types(wanted, len(items)) or ())
        if any(_needs_json(kind) for kind in kinds):
            return _try(json.loads, text)
        return [read_text(*pair) for pair in zip(items, kinds, strict=True)] if kinds else items
    if _needs_json(wanted):
        return _try(json.loads, text)
    if wanted is bool:
        return BOOLEANS.get(text.strip().lower(), text)
    return _try(wanted, text) if wanted in (int, float) else text


def _needs_json(wanted: Any) -> bool:
    wanted = plain(wanted)
    return is_table(wanted) or attrs.has(wanted) or array_of(wanted) is not None


def _try(read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text)
    except (ValueError, RecursionError):
        return text


def _choice(text: str, choices: Iterable[Any]) -> Any:
    return next((choice for choice in choices if str(choice) == text), text)


def _first_that_fits(text: str, kinds: tuple[Any, ...]) -> Any:
    for kind in kinds:
        value = read_text(text, kind)
        try:
            structure(value, kind)
        except Refused:
            continue
        return value
    return text
