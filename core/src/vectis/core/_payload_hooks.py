"""The cattrs converters behind `vectis.core.payloads`: one hook for every kind of value.

Two of them with the same hooks: a quick one, and one whose errors tell where. A hook takes the one
form that `vectis.core.jsontext` writes its type in, and refuses every other. Those of single
values are here; what holds others, and unions, have modules of their own.
"""

from __future__ import annotations

import enum
import re
from dataclasses import is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin
from uuid import UUID

import attrs
from cattrs import Converter

from vectis.core._cloudevents import read_time
from vectis.core._payload_containers import (
    array_hook,
    is_array,
    is_mapping,
    mapping_hook,
    object_hook,
)
from vectis.core._payload_misfit import Misfit
from vectis.core._payload_unions import is_union, union_hook
from vectis.core.exceptions import DecodeError
from vectis.core.schemas import DECIMAL

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["quick", "telling"]

_DECIMAL = re.compile(DECIMAL[:-1])  # without `$`, which would let a newline pass
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TIME = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,6})?)?([+-]\d\d:\d\d|Z)?")


def _exactly(kind: type, wanted: str) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is kind:
            return value
        raise Misfit(wanted, value)

    return hook


def _number(value: Any, _: Any) -> float:
    if type(value) is float or type(value) is int:
        return float(value)
    raise Misfit("a number", value)


def _decimal(value: Any, _: Any) -> Decimal:
    if type(value) is str and _DECIMAL.fullmatch(value):
        return Decimal(value)
    raise Misfit("a string with a decimal number", value)


def _from_text(
    wanted: str, read: Callable[[str], Any], shape: re.Pattern[str] | None = None
) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is str and (shape is None or shape.fullmatch(value)):
            try:
                return read(value)
            except (ValueError, DecodeError):
                pass
        raise Misfit(wanted, value)

    return hook


def _moment(value: Any, _: Any) -> datetime:
    if type(value) is str:
        try:
            return read_time(value)
        except DecodeError:
            pass
    raise Misfit("a string with an RFC 3339 time and offset", value)


def _member(kind: Any) -> Callable[[Any, Any], Any]:
    values = {(type(member.value), member.value): member for member in kind.__members__.values()}
    wanted = f"one of {', '.join(repr(value) for _, value in values)}"

    def hook(value: Any, _: Any) -> Any:
        try:
            return values[type(value), value]
        except (KeyError, TypeError):
            raise Misfit(wanted, value) from None

    return hook


def _choice(wanted: Any) -> Callable[[Any, Any], Any]:
    choices = {(type(choice), choice) for choice in get_args(wanted)}
    words = f"one of {', '.join(map(repr, get_args(wanted)))}"

    def hook(value: Any, _: Any) -> Any:
        if isinstance(value, (str, int, bool, type(None))) and (type(value), value) in choices:
            return value
        raise Misfit(words, value)

    return hook


def _converter(*, telling: bool) -> Converter:
    """Return a converter with our hooks.

    Args:
        telling: Whether its errors say where; one that need not is quicker.
    """
    made = Converter(detailed_validation=telling)
    factories: list[tuple[Callable[[Any], bool], Callable[[Any, Converter], Any]]] = [
        (attrs.has, object_hook),
        (is_dataclass, object_hook),
        (is_mapping, mapping_hook),
        (is_array, array_hook),
        (is_union, union_hook),
        (lambda kind: get_origin(kind) is Literal, lambda kind, _: _choice(kind)),
        (lambda kind: isinstance(kind, enum.EnumMeta), lambda kind, _: _member(kind)),
    ]
    for applies, factory in factories:
        made.register_structure_hook_factory(applies, partial(_made, factory, made))
    # By class, since cattrs prefers its own hooks for these to any that asks a question first.
    hooks: dict[type, Callable[[Any, Any], Any]] = {
        str: _exactly(str, "a string"),
        int: _exactly(int, "a whole number"),
        bool: _exactly(bool, "true or false"),
        float: _number,
        Decimal: _decimal,
        datetime: _moment,
        date: _from_text("a string with a date", date.fromisoformat, _DATE),
        time: _from_text("a string with a time of day", time.fromisoformat, _TIME),
        UUID: _from_text("a string with a UUID", UUID, _UUID),
    }
    for kind, hook in hooks.items():
        made.register_structure_hook(kind, hook)
    return made


def _made(factory: Callable[[Any, Converter], Any], converter: Converter, kind: Any) -> Any:
    return factory(kind, converter)


quick = _converter(telling=False)
telling = _converter(telling=True)
