"""Hypothesis strategies for event classes: instances, payloads, and events of a catalogue.

They are made from the types of a class's fields, and make whatever can cross a transport and come
back as it was. What the class's own validators refuse is left out. Needs hypothesis, and is
imported by its own name.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import attrs
from hypothesis import reject
from hypothesis import strategies as st

from vectis.core.catalogue import event_of
from vectis.core.jsontext import plain

if TYPE_CHECKING:
    from vectis.core.catalogue import Catalogue
    from vectis.core.events import Event

__all__ = ["events", "instances", "payloads"]

T = TypeVar("T")

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)  # JSON has no surrogates
_LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    str: _TEXT,
    int: st.integers(-(2**63), 2**63 - 1),  # what JSON readers agree on
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    None: st.none(),
    NoneType: st.none(),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    datetime: st.datetimes(timezones=st.just(UTC)),
    date: st.dates(),
    time: st.times(),
    UUID: st.uuids(),
    Any: st.none() | st.booleans() | st.integers(-1000, 1000) | _TEXT,
}
_ARRAYS: dict[Any, Callable[[Iterable[Any]], Any]] = {
    list: list,
    tuple: tuple,
    Collection: tuple,
    Iterable: tuple,
    Sequence: tuple,
}
_MAPPINGS = (dict, Mapping, MutableMapping)
_MOST = 4  # members of an array or object


def instances(cls: type[T], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[T]:
    """Return a strategy for instances of an event class.

    Args:
        cls: An attrs class or dataclass, with types that JSON can hold.
        fields: Strategies for fields that its types say too little of, such as a status that is
            one of five words.

    Raises:
        TypeError: A field has a type that JSON cannot hold, or there is no such field.

    Example:
        >>> import attrs
        >>> from hypothesis import given
        >>> from hypothesis import strategies as st
        >>> from vectis.core.payloads import structure
        >>> from vectis.core.testing.strategies import instances
        >>> from vectis.core.jsontext import plain
        >>> @attrs.frozen
        ... class Counted:
        ...     sku: str
        ...     pieces: int
        >>> @given(instances(Counted, pieces=st.integers(0, 9)))
        ... def test_it_arrives_as_it_was(counted):
        ...     assert structure(plain(counted), Counted) == counted
        >>> test_it_arrives_as_it_was()
    """
    hints = get_type_hints(cls)
    names = _arguments(cls)
    unknown = fields.keys() - names.keys()
    if unknown:
        raise TypeError(f"{cls.__qualname__} has no field {', '.join(sorted(unknown))}")
    strategies = {
        argument: fields[name] if name in fields else _of(hints.get(name, Any))
        for name, argument in names.items()
    }

    @st.composite
    def made(draw: st.DrawFn) -> T:
        values = {name: draw(strategy) for name, strategy in strategies.items()}
        try:
            return cls(**values)
        except (TypeError, ValueError):  # its validators
            return reject()

    return made()


def payloads(cls: type, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for payloads of an event class, as a consumer gets them.

    Args:
        cls: An attrs class or dataclass.
        fields: As for `instances`.

    Example:
        >>> from hypothesis import find
        >>> import attrs
        >>> from vectis.core.testing.strategies import payloads
        >>> @attrs.frozen
        ... class Paid:
        ...     order_id: int
        >>> find(payloads(Paid), lambda payload: True)
        {'order_id': 0}
    """
    return instances(cls, **fields).map(plain)


def events(catalogue: Catalogue, *names: str) -> st.SearchStrategy[Event]:
    """Return a strategy for events of a catalogue, in their newest version.

    Args:
        catalogue: That of a hub, such as `hub.catalogue`.
        names: Of these types; default: of all.

    Raises:
        KeyError: The catalogue has no such type.
    """
    known = {entry.name: entry for entry in catalogue}
    wanted = [known[name] for name in names or known]
    return st.one_of(*(instances(entry.cls).map(event_of) for entry in wanted))


def _arguments(cls: type) -> dict[str, str]:
    """Return the fields of a class that it is made of, and what its `__init__` calls them."""
    if attrs.has(cls):
        return {field.name: field.alias for field in attrs.fields(cls) if field.init}
    if is_dataclass(cls):
        return {one.name: one.name for one in fields(cls) if one.init}
    raise TypeError(f"{cls.__qualname__} is no attrs class and no dataclass")


def _of(kind: Any) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, UnionType):
        return st.one_of(*map(_of, arguments))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in _MAPPINGS:
        of_key, of_value = arguments or (str, Any)
        return st.dictionaries(_of(of_key), _of(of_value), max_size=_MOST)
    if origin in _ARRAYS:
        return _array(origin, arguments)
    if kind in _LEAVES:
        return _LEAVES[kind]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    if isinstance(kind, type) and (attrs.has(kind) or is_dataclass(kind)):
        return st.deferred(lambda: instances(kind))  # a class may hold itself
    if supertype := getattr(kind, "__supertype__", None):  # of a NewType
        return _of(supertype)
    raise TypeError(f"{getattr(kind, '__qualname__', kind)} is no type that JSON can hold")


def _array(origin: Any, arguments: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    if origin is tuple and arguments and arguments[-1] is not ...:
        return st.tuples(*map(_of, arguments))
    return st.lists(_of(arguments[0] if arguments else Any), max_size=_MOST).map(_ARRAYS[origin])
