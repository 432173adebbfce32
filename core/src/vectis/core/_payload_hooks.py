"""The cattrs converters behind `vectis.core.payloads`: one hook for every kind of value.

Two of them with the same hooks: a quick one, and one whose errors tell where. A hook takes the one
form that `vectis.core.jsontext` writes its type in, and refuses every other.
"""

from __future__ import annotations

import enum
import re
import types
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Mapping,
    MutableMapping,
    Sequence,
)
from dataclasses import is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from threading import local
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn

from vectis.core._cloudevents import read_time
from vectis.core.exceptions import DecodeError
from vectis.core.schemas import DECIMAL, needed_fields

__all__ = ["Inside", "Misfit", "quick", "telling"]

_DECIMAL = re.compile(DECIMAL[:-1])  # without `$`, which would let a newline pass
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TIME = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,6})?)?([+-]\d\d:\d\d|Z)?")

_KINDS: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number with a point",
    type(None): "null",
}


class Misfit(Exception):
    """A value that is not what its type is written as; never quotes it."""

    def __init__(self, wanted: str, value: object) -> None:
        came = _KINDS.get(type(value), type(value).__name__)
        if wanted.startswith(came):  # a string, but none of those
            came = came.replace("an ", "this ").replace("a ", "this ")
        super().__init__(f"must be {wanted}, not {came}")


class Inside(Exception):
    """What is wrong with a member of an array or object; the cause says what."""

    def __init__(self, step: str | int) -> None:
        super().__init__(step)
        self.step = step


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


def _object(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    read = make_dict_structure_fn(cls, converter)

    def hook(value: Any, wanted: Any) -> Any:
        if type(value) is dict:
            return read(value, wanted)
        raise Misfit("an object", value)

    return hook


def _array(wanted: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    origin, arguments = get_origin(wanted) or wanted, get_args(wanted)
    make = _ARRAYS[origin]
    if origin is tuple and arguments and arguments[-1] is not ...:
        hooks = [(converter.get_structure_hook(kind), kind) for kind in arguments]

        def fixed(value: Any, _: Any) -> Any:
            if type(value) is not list or len(value) != len(hooks):
                raise Misfit(f"an array of exactly {len(hooks)}", value)
            pairs = enumerate(zip(value, hooks, strict=True))
            return tuple(_inside(n, item, *hook) for n, (item, hook) in pairs)

        return fixed
    kind = arguments[0] if arguments else Any
    read = converter.get_structure_hook(kind)
    tells = converter.detailed_validation

    def hook(value: Any, _: Any) -> Any:
        if type(value) is not list:
            raise Misfit("an array", value)
        if tells:
            return make([_inside(n, item, read, kind) for n, item in enumerate(value)])
        return make([read(item, kind) for item in value])

    return hook


def _mapping(wanted: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    of_key, of_value = get_args(wanted) or (str, Any)
    read_key = converter.get_structure_hook(of_key)
    read = converter.get_structure_hook(of_value)

    def hook(value: Any, _: Any) -> Any:
        if type(value) is not dict:
            raise Misfit("an object", value)
        return {
            _inside(key, key, read_key, of_key): _inside(key, item, read, of_value)
            for key, item in value.items()
        }

    return hook


def _inside(step: str | int, value: Any, read: Callable[[Any, Any], Any], kind: Any) -> Any:
    try:
        return read(value, kind)
    except Exception as error:
        raise Inside(step) from error


class Lost(Exception):
    """Too many ways to read a value were tried."""

    def __init__(self) -> None:
        super().__init__(
            "there are too many ways to read it; a Literal field in each class of the union tells "
            "them apart"
        )


class _Tries(local):
    """How deep tries of unions are nested just now, and how many nested ones have failed.

    A union inside a union can be read in twice as many ways as that, and so on: a payload that is
    nested deep enough, and fits none, would keep a worker busy for years.
    """

    depth = 0
    failed = 0


_WRITTEN_AS: dict[Any, tuple[type, ...]] = {
    int: (int,),
    float: (int, float),
    bool: (bool,),
    **dict.fromkeys((str, Decimal, datetime, date, time, UUID), (str,)),
}

_tries = _Tries()
_MOST_TRIES = 10_000


def _any_of(wanted: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    """Take the first that fits: strict as all of them are, at most one does as a rule."""
    kinds = [kind for kind in get_args(wanted) if kind is not type(None)]
    nullable = len(kinds) < len(get_args(wanted))
    if len(kinds) == 1:  # `X | None`: X's own refusal says more, such as which item is wrong
        return _or_none(converter.get_structure_hook(kinds[0]), kinds[0])
    hooks = [(_may_be(kind), converter.get_structure_hook(kind), kind) for kind in kinds]

    def hook(value: Any, _: Any) -> Any:
        if value is None and nullable:
            return None
        possible = [(read, kind) for may_be, read, kind in hooks if may_be(value)]
        if len(possible) == 1:  # what does not fit about it is then worth telling
            return possible[0][0](value, possible[0][1])
        _tries.depth += 1
        try:
            for read, kind in possible:
                try:
                    return read(value, kind)
                except Lost:
                    raise
                except Exception:
                    _tries.failed += _tries.depth > 1
                    if _tries.failed > _MOST_TRIES:
                        raise Lost from None
        finally:
            _tries.depth -= 1
            if not _tries.depth:
                _tries.failed = 0
        raise Misfit("of one of its types", value)

    return hook


def _or_none(read: Callable[[Any, Any], Any], kind: Any) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        return None if value is None else read(value, kind)

    return hook


def _may_be(kind: Any) -> Callable[[Any], bool]:
    """Return what tells at a glance that a value cannot be of a type; most unions need no more."""
    if attrs.has(kind) or is_dataclass(kind):
        return _may_be_instance(kind)
    if _is_array(kind):
        json: tuple[type, ...] = (list,)
    elif _is_mapping(kind):
        json = (dict,)
    else:
        json = _WRITTEN_AS.get(kind, ())
    return lambda value: not json or type(value) in json


def _may_be_instance(cls: Any) -> Callable[[Any], bool]:
    needed = needed_fields(cls)
    hints = get_type_hints(cls)
    tags = {name: get_args(hints[name]) for name in needed if get_origin(hints[name]) is Literal}

    def may_be(value: Any) -> bool:
        if type(value) is not dict or not needed <= value.keys():
            return False
        return all(value[name] in choices for name, choices in tags.items())

    return may_be


def _is_array(wanted: Any) -> bool:
    return (get_origin(wanted) or wanted) in _ARRAYS


def _is_mapping(wanted: Any) -> bool:
    return (get_origin(wanted) or wanted) in _MAPPINGS


def _is_union(wanted: Any) -> bool:
    return get_origin(wanted) in (Union, types.UnionType)


_ARRAYS: dict[Any, Callable[[Iterable[Any]], Any]] = {
    list: list,
    tuple: tuple,
    Collection: tuple,
    Iterable: tuple,
    Sequence: tuple,
}
_MAPPINGS = (dict, Mapping, MutableMapping)


def _converter(*, telling: bool) -> Converter:
    """Return a converter with our hooks.

    Args:
        telling: Whether its errors say where; one that need not is quicker.
    """
    made = Converter(detailed_validation=telling)
    factories: list[tuple[Callable[[Any], bool], Callable[[Any, Converter], Any]]] = [
        (attrs.has, _object),
        (is_dataclass, _object),
        (_is_mapping, _mapping),
        (_is_array, _array),
        (_is_union, _any_of),
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
