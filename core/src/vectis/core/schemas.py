"""JSON Schemas of event classes: the forms that `vectis.core.payloads` reads, for other programs.

The dialect is 2020-12; for AsyncAPI, whose schemas are of draft-07, the few words that differ are
written as they were then. What a class's validators check cannot be seen from outside and is not
in its schema.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import attrs

from vectis.core.exceptions import EncodeError, SubscriptionError
from vectis.core.jsontext import plain

__all__ = ["DECIMAL", "DIALECT", "Schema", "Schemas", "needed_fields", "schema_of"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

DECIMAL = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
"""A decimal number as `str(Decimal)` writes it."""

Schema = dict[str, Any]

_TIME = r"^[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?([+-][0-9]{2}:[0-9]{2}|Z)?$"

_LEAVES: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
    None: {"type": "null"},
    Decimal: {"type": "string", "format": "decimal", "pattern": DECIMAL},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    time: {"type": "string", "pattern": _TIME},
    UUID: {"type": "string", "format": "uuid"},
    Any: {},
}
_ARRAYS = (list, tuple, Collection, Iterable, Sequence)
_MAPPINGS = (dict, Mapping, MutableMapping)


def schema_of(cls: type) -> Schema:
    """Return the JSON Schema (2020-12) of an event class, complete in itself.

    Args:
        cls: An attrs class, with types that JSON can hold.

    Raises:
        SubscriptionError: It has a type that JSON cannot hold; class and field are named.

    Example:
        >>> import attrs
        >>> from vectis.core.schemas import schema_of
        >>> @attrs.frozen
        ... class Line:
        ...     '''One product of an order.'''
        ...
        ...     product_id: str
        ...     quantity: int = 1
        >>> schema = schema_of(Line)
        >>> schema["properties"]["quantity"], schema["required"]
        ({'type': 'integer', 'default': 1}, ['product_id'])
    """
    schemas = Schemas("#/$defs/")
    body = schemas.body(cls)
    found = {"$schema": DIALECT, **body}
    return {**found, "$defs": schemas.named} if schemas.named else found


class Schemas:
    """Schemas that refer to one another by name.

    Args:
        prefix: What a reference begins with, such as `#/$defs/`.
        draft_07: Whether to write the words of draft-07 where they differ.

    Attributes:
        named: The schemas that were referred to, by name.
    """

    def __init__(self, prefix: str, *, draft_07: bool = False) -> None:
        self._prefix = prefix
        self._draft_07 = draft_07
        self._names: dict[type, str] = {}
        self.named: dict[str, Schema] = {}

    def reference(self, cls: type) -> Schema:
        """Return a reference to the schema of a class, which is in `named` from then on.

        Raises:
            SubscriptionError: It has a type that JSON cannot hold.
        """
        name = self._names.get(cls)
        if name is None:
            name = cls.__qualname__.rpartition("<locals>.")[2]
            if name in self.named:  # another class of the same name
                name = f"{cls.__module__}.{name}"
            self._names[cls] = name
            self.named[name] = {}  # so that a class may hold itself
            self.named[name] = self.body(cls)
        return {"$ref": f"{self._prefix}{name}"}

    def body(self, cls: type) -> Schema:
        """Return the schema of a class itself; the classes of its fields are referred to.

        Raises:
            SubscriptionError: It has a type that JSON cannot hold.
        """
        try:
            hints = get_type_hints(cls)
        except Exception as error:
            raise SubscriptionError(
                f"the types of {cls.__module__}.{cls.__qualname__} cannot be resolved "
                f"({type(error).__name__}: {error}): its module must import them at run time"
            ) from error
        properties: Schema = {}
        required: list[str] = []
        for name, default, needed in _fields(cls):
            try:
                properties[name] = self._of(hints.get(name, Any))
            except TypeError as error:
                raise SubscriptionError(
                    f"{cls.__module__}.{cls.__qualname__}.{name}: {error}"
                ) from None
            if needed:
                required.append(name)
            elif default is not _UNKNOWN:
                properties[name] = {**properties[name], "default": default}
        schema: Schema = {"title": cls.__name__, "type": "object", "properties": properties}
        if required:
            schema["required"] = required
        about = _first_paragraph(cls)
        return {**schema, "description": about} if about else schema

    def _of(self, kind: Any) -> Schema:
        origin, arguments = get_origin(kind) or kind, get_args(kind)
        if _hashable(kind) and kind in _LEAVES:
            return dict(_LEAVES[kind])
        if origin in (Union, UnionType):
            return {"anyOf": [self._of(one) for one in arguments]}
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin in _MAPPINGS:
            return self._mapping(arguments)
        if origin in _ARRAYS:
            return self._array(origin, arguments)
        if isinstance(kind, enum.EnumMeta):
            members: Iterable[enum.Enum] = kind.__members__.values()
            return {"enum": [plain(member.value) for member in members]}
        if isinstance(kind, type) and (attrs.has(kind) or is_dataclass(kind)):
            return self.reference(kind)
        if inspected := getattr(kind, "__supertype__", None):  # of a NewType
            return self._of(inspected)
        raise TypeError(f"{getattr(kind, '__qualname__', kind)} is no type that JSON can hold")

    def _mapping(self, arguments: tuple[Any, ...]) -> Schema:
        of_key, of_value = arguments or (str, Any)
        schema: Schema = {"type": "object", "additionalProperties": self._of(of_value)}
        keys = self._of(of_key)
        return schema if keys == _LEAVES[str] else {**schema, "propertyNames": keys}

    def _array(self, origin: Any, arguments: tuple[Any, ...]) -> Schema:
        if origin is not tuple or not arguments or arguments[-1] is ...:
            return {"type": "array", "items": self._of(arguments[0] if arguments else Any)}
        items = [self._of(one) for one in arguments]
        count = {"minItems": len(items), "maxItems": len(items)}
        if self._draft_07:
            return {"type": "array", "items": items, "additionalItems": False, **count}
        return {"type": "array", "prefixItems": items, "items": False, **count}


def needed_fields(cls: type) -> frozenset[str]:
    """Return the fields of an attrs class or dataclass that must be there."""
    return frozenset(name for name, _, needed in _fields(cls) if needed)


_UNKNOWN = object()
"""The default of a field that a function makes, or that is no JSON."""


def _fields(cls: type) -> list[tuple[str, Any, bool]]:
    """Return name, default and whether it must be there, of each field of a class."""
    if attrs.has(cls):
        return [
            (
                field.name,
                _plain(field.default),
                field.default is attrs.NOTHING and field.init,
            )
            for field in attrs.fields(cls)
        ]
    return [
        (
            one.name,
            _plain(one.default),
            one.default is MISSING and one.default_factory is MISSING and one.init,
        )
        for one in fields(cls)
    ]


def _plain(value: Any) -> Any:
    # attrs declares the class of factories as a function.
    if value is attrs.NOTHING or value is MISSING or isinstance(value, attrs.Factory):  # type: ignore[arg-type]
        return _UNKNOWN
    try:
        return plain(value)
    except EncodeError:
        return _UNKNOWN


def _first_paragraph(cls: type) -> str:
    """Return what a class's docstring begins with, on one line; nothing for a generated one."""
    text = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
    first = " ".join(text.partition("\n\n")[0].split())
    return "" if first.startswith((f"{cls.__name__}(", "Method generated")) else first


def _hashable(kind: Any) -> bool:
    try:
        hash(kind)
    except TypeError:
        return False
    return True
