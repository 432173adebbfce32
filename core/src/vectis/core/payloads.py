"""Payloads as instances of event classes: what arrives as JSON is checked and given its types.

cattrs does the work, strictly: a number is no string, `true` is no int, and what a type is written
as is the only form it is read from. Keys that a class does not know are left alone, so that a
sender may add some. Imported only when somebody wants a class: cattrs costs 40 ms.

The way out, from an instance to JSON, is `vectis.core.jsontext`; which version of a payload a class
can take is decided by the catalogue.
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
from typing import Any, Literal, TypeVar, Union, get_args, get_origin
from uuid import UUID

import attrs
from cattrs import ClassValidationError, Converter
from cattrs.gen import make_dict_structure_fn

from vectis.core._cloudevents import read_time
from vectis.core.exceptions import DecodeError, PayloadError, SubscriptionError
from vectis.core.jsontext import path_step
from vectis.core.redact import one_line
from vectis.core.schemas import DECIMAL

__all__ = ["reader_of", "structure"]

T = TypeVar("T")

Read = Callable[[Any], Any]

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


class _Misfit(Exception):
    """A value that is not what its type is written as; never quotes it."""

    def __init__(self, wanted: str, value: object) -> None:
        came = _KINDS.get(type(value), type(value).__name__)
        if wanted.startswith(came):  # a string, but none of those
            came = came.replace("an ", "this ").replace("a ", "this ")
        super().__init__(f"must be {wanted}, not {came}")


class _At(Exception):
    """What is wrong with a member of an array or object; the cause says what."""

    def __init__(self, step: str | int) -> None:
        super().__init__(step)
        self.step = step


def structure(payload: Any, cls: type[T]) -> T:
    """Return the instance of an attrs class that a payload describes.

    Decimals, UUIDs, datetimes (RFC 3339, with an offset), dates and times are read from strings,
    enums from their values. Keys that the class does not have are ignored.

    Args:
        payload: What was decoded from JSON.
        cls: An attrs class, with types that JSON can hold.

    Raises:
        PayloadError: It does not fit; the message names the first place that does not.
        SubscriptionError: The class itself has a type that cannot be read from JSON.

    Example:
        >>> from decimal import Decimal
        >>> import attrs
        >>> from vectis.core.payloads import structure
        >>> @attrs.frozen
        ... class Line:
        ...     product_id: str
        ...     amount: Decimal
        >>> structure({"product_id": "milk", "amount": "1.20"}, Line)
        Line(product_id='milk', amount=Decimal('1.20'))
        >>> structure({"product_id": "milk", "amount": 1.2}, Line)
        Traceback (most recent call last):
        ...
        vectis.core.exceptions.PayloadError: payload.amount must be a string with a decimal \
number, not a number with a point
    """
    instance: T = reader_of(cls)(payload)
    return instance


def reader_of(cls: type) -> Read:
    """Return what makes instances of a class from payloads, as `structure` does.

    Args:
        cls: An attrs class.

    Raises:
        SubscriptionError: It has a type that cannot be read from JSON.
    """
    try:
        read = _quick.get_structure_hook(cls)
    except Exception as error:
        raise SubscriptionError(
            f"payloads cannot be read as {cls.__module__}.{cls.__qualname__}: "
            f"{one_line(str(error))} ({type(error).__name__}). Its fields must have types that "
            "JSON can hold, imported at run time"
        ) from error

    def structured(payload: Any) -> Any:
        try:
            return read(payload, cls)
        except Exception:
            refusal = _refusal(payload, cls)
        raise refusal  # here, so that it carries no traceback through cattrs

    return structured


def _refusal(payload: Any, cls: type) -> PayloadError:
    """Read it again, slowly, to find out where it does not fit."""
    try:
        _telling.structure(payload, cls)
    except Exception as error:
        path, problem = _first_fault(error, "payload")
        return PayloadError(f"{path} {problem}")
    return PayloadError(f"payload does not fit {cls.__qualname__} every time")


def _first_fault(error: BaseException, path: str) -> tuple[str, str]:
    """Return the path of the first thing that does not fit, and what is wrong with it."""
    if isinstance(error, ClassValidationError):
        noted, others = error.group_exceptions()
        for inner, note in noted:
            where = path + path_step(note.name)
            if isinstance(inner, KeyError) and inner.args == (note.name,):
                return where, "is missing"
            return _first_fault(inner, where)
        return _complaint(others[0], error.cl, path)
    if isinstance(error, _At) and error.__cause__ is not None:
        return _first_fault(error.__cause__, path + path_step(error.step))
    if isinstance(error, _Misfit):
        return path, str(error)
    return path, f"is refused: {_words(error)}"


def _complaint(error: BaseException, cls: type, path: str) -> tuple[str, str]:
    """Return what a class's own validators or converters complain about, in their words."""
    words = _words(error)
    for field in attrs.fields(cls) if attrs.has(cls) else ():
        if field in error.args or re.search(rf"\b{re.escape(field.name)}\b", words):
            return path + path_step(field.name), f"is refused by {cls.__qualname__}: {words}"
    return path, f"is refused by {cls.__qualname__}: {words}"


def _words(error: BaseException) -> str:
    # attrs' validators add their own workings to the arguments; the first one is the sentence.
    text = str(error.args[0]) if error.args else ""
    return one_line(text, 200) or type(error).__name__


# ---------------------------------------------------------------- one hook for every kind of value


def _exactly(kind: type, wanted: str) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is kind:
            return value
        raise _Misfit(wanted, value)

    return hook


def _number(value: Any, _: Any) -> float:
    if type(value) is float or type(value) is int:
        return float(value)
    raise _Misfit("a number", value)


def _decimal(value: Any, _: Any) -> Decimal:
    if type(value) is str and _DECIMAL.fullmatch(value):
        return Decimal(value)
    raise _Misfit("a string with a decimal number", value)


def _from_text(
    wanted: str, read: Callable[[str], Any], shape: re.Pattern[str] | None = None
) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is str and (shape is None or shape.fullmatch(value)):
            try:
                return read(value)
            except (ValueError, DecodeError):
                pass
        raise _Misfit(wanted, value)

    return hook


def _moment(value: Any, _: Any) -> datetime:
    if type(value) is str:
        try:
            return read_time(value)
        except DecodeError:
            pass
    raise _Misfit("a string with an RFC 3339 time and offset", value)


def _member(kind: Any) -> Callable[[Any, Any], Any]:
    values = {(type(member.value), member.value): member for member in kind.__members__.values()}
    wanted = f"one of {', '.join(repr(value) for _, value in values)}"

    def hook(value: Any, _: Any) -> Any:
        try:
            return values[type(value), value]
        except (KeyError, TypeError):
            raise _Misfit(wanted, value) from None

    return hook


def _choice(wanted: Any) -> Callable[[Any, Any], Any]:
    choices = {(type(choice), choice) for choice in get_args(wanted)}
    words = f"one of {', '.join(map(repr, get_args(wanted)))}"

    def hook(value: Any, _: Any) -> Any:
        if isinstance(value, (str, int, bool, type(None))) and (type(value), value) in choices:
            return value
        raise _Misfit(words, value)

    return hook


def _object(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    read = make_dict_structure_fn(cls, converter)

    def hook(value: Any, wanted: Any) -> Any:
        if type(value) is dict:
            return read(value, wanted)
        raise _Misfit("an object", value)

    return hook


def _array(wanted: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    origin, arguments = get_origin(wanted) or wanted, get_args(wanted)
    make = _ARRAYS[origin]
    if origin is tuple and arguments and arguments[-1] is not ...:
        hooks = [(converter.get_structure_hook(kind), kind) for kind in arguments]

        def fixed(value: Any, _: Any) -> Any:
            if type(value) is not list or len(value) != len(hooks):
                raise _Misfit(f"an array of exactly {len(hooks)}", value)
            pairs = enumerate(zip(value, hooks, strict=True))
            return tuple(_inside(n, item, *hook) for n, (item, hook) in pairs)

        return fixed
    kind = arguments[0] if arguments else Any
    read = converter.get_structure_hook(kind)
    telling = converter.detailed_validation

    def hook(value: Any, _: Any) -> Any:
        if type(value) is not list:
            raise _Misfit("an array", value)
        if telling:
            return make([_inside(n, item, read, kind) for n, item in enumerate(value)])
        return make([read(item, kind) for item in value])

    return hook


def _mapping(wanted: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    of_key, of_value = get_args(wanted) or (str, Any)
    read_key = converter.get_structure_hook(of_key)
    read = converter.get_structure_hook(of_value)

    def hook(value: Any, _: Any) -> Any:
        if type(value) is not dict:
            raise _Misfit("an object", value)
        return {
            _inside(key, key, read_key, of_key): _inside(key, item, read, of_value)
            for key, item in value.items()
        }

    return hook


def _inside(step: str | int, value: Any, read: Callable[[Any, Any], Any], kind: Any) -> Any:
    try:
        return read(value, kind)
    except Exception as error:
        raise _At(step) from error


def _any_of(wanted: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    """Take the first that fits: strict as all of them are, at most one does as a rule."""
    kinds = [kind for kind in get_args(wanted) if kind is not type(None)]
    hooks = [(converter.get_structure_hook(kind), kind) for kind in kinds]
    nullable = len(kinds) < len(get_args(wanted))

    def hook(value: Any, _: Any) -> Any:
        if value is None and nullable:
            return None
        if len(hooks) == 1:  # `X | None`: X's own refusal says more, such as which item is wrong
            return hooks[0][0](value, hooks[0][1])
        for read, kind in hooks:
            try:
                return read(value, kind)
            except Exception:
                continue
        raise _Misfit("of one of its types", value)

    return hook


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


_quick = _converter(telling=False)
_telling = _converter(telling=True)
