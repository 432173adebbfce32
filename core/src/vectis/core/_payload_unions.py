"""The hook for a union: which of its types a value is meant as, and an end to trying.

Most values can be one of them only, which is seen at a glance; the others are tried.
"""

from __future__ import annotations

import types
from dataclasses import is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from threading import local
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import attrs

from vectis.core._payload_containers import is_array, is_mapping
from vectis.core._payload_misfit import Misfit
from vectis.core.schemas import needed_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from cattrs import Converter

__all__ = ["is_union", "union_hook"]


def is_union(wanted: Any) -> bool:
    """Tell whether a type is a union, written in either way."""
    return get_origin(wanted) in (Union, types.UnionType)


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


def union_hook(wanted: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    """Return what takes the first that fits; strict as they all are, as a rule one does at most."""
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
    if is_array(kind):
        json: tuple[type, ...] = (list,)
    elif is_mapping(kind):
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
