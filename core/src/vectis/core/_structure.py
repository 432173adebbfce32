"""Turn what a file or a variable says into a settings class, strictly, through cattrs.

cattrs alone would take `true` and `1.7` for the int 1 and a string for a list of letters, so every
kind of value has a hook here. Imported only when something is set: cattrs costs 40 ms. Where the
value came from, and therefore the message as a whole, is `vectis.core.settings`'s part.
"""

from __future__ import annotations

import difflib
import enum
import math
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import attrs
import cattrs

from vectis.core._environment import keys_of
from vectis.core._masking import is_secret, seal
from vectis.core._setting_types import (
    array_of,
    describe,
    enum_members,
    hint,
    is_table,
    item_types,
    members,
    name_of,
)

__all__ = ["Refused", "build", "nearest", "structure", "types_of"]

T = TypeVar("T")

_LISTS = (list, tuple, set, frozenset)


class Refused(Exception):
    """A value that a settings class does not take.

    Args:
        problem: What is wrong, as the end of a sentence that begins with the key.
        path: The key in the table, then keys or indexes inside its value.
    """

    def __init__(self, problem: str = "", *path: str | int) -> None:
        super().__init__()  # without arguments: a traceback must not quote a secret either
        self._problem = problem
        self.path: tuple[str | int, ...] = path

    def problem(self, in_file: bool) -> str:
        """Return what is wrong; with how to write it, when a file is where it was written."""
        return self._problem

    def inside(self, step: str | int, secret: bool = False) -> Refused:
        """Return the same refusal as it is seen from one level further out."""
        self.path = (step, *self.path)
        return self


class WrongType(Refused):
    """A value that is not of the wanted type; quoted, unless any level around it is secret."""

    def __init__(self, wanted: Any, value: object) -> None:
        super().__init__()
        self._wanted = wanted
        self._value = value
        self._shown = True

    def problem(self, in_file: bool) -> str:
        """Return what was wanted, what came instead, and how to write it in a file."""
        wanted, value, shown = self._wanted, self._value, self._shown
        advice = hint(wanted, value, shown) if in_file else ""
        return f"must be {name_of(wanted)}, not {describe(value, shown)}{advice}"

    def inside(self, step: str | int, secret: bool = False) -> Refused:
        """Return the same refusal from further out, without the value when that is secret."""
        self._shown = self._shown and not secret
        return super().inside(step)


def build(cls: type[T], raw: object) -> T:
    """Return an instance of an attrs class made from a table.

    Raises:
        Refused: An unknown or missing key, a wrong type, or the class's own validators.
    """
    if not isinstance(raw, Mapping):
        raise WrongType(cls, raw)
    keys = keys_of(cls)
    types = types_of(cls)
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in keys:
            raise Refused(f"is not a key of this table{nearest(key, keys)}", str(key))
        field = keys[key]
        hidden = is_secret(field.name, field.metadata)
        try:
            value = structure(value, types.get(key, field.type))
        except Refused as refused:
            raise refused.inside(key, hidden) from None
        values[key] = seal(value) if hidden else value
    for key, field in keys.items():
        if key not in values and field.default is attrs.NOTHING:
            raise Refused("is missing and has no default: set it", key)
    try:
        return cls(**values)
    except Exception as error:
        complaint = _complaint(error, keys, values)
    raise complaint


def types_of(cls: type[Any]) -> dict[str, Any]:
    """Return the type of each key of a settings class.

    Raises:
        Refused: The class names a type that its module does not have at run time.
    """
    try:
        hints = typing.get_type_hints(cls)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    else:
        return {key: hints.get(field.name, field.type) for key, field in keys_of(cls).items()}
    raise Refused(
        f"cannot be read: the types of its settings class {cls.__qualname__} cannot be resolved "
        f"({reason}); its module must import them at run time"
    )


def structure(value: object, wanted: Any) -> Any:
    """Return the value as the wanted type, or refuse it.

    Raises:
        Refused: It is of another type, or the type is one that Vectis cannot read.
    """
    if wanted is None or wanted is Any:
        return value
    if isinstance(wanted, enum.EnumMeta):  # not by a hook: cattrs would take an IntEnum for an int
        return _member(value, wanted)
    try:
        return _converter.structure(value, wanted)
    except Refused:
        raise
    except Exception:  # whatever cattrs raises; it may quote the value
        refused = WrongType(wanted, value)
    raise refused


def nearest(word: object, known: Iterable[str]) -> str:
    """Return a question after the known word that is spelled most like this one, or the list.

    Example:
        >>> nearest("budget", ["budget_ms", "ticks"]), nearest("x", ["a", "b"])
        ("; did you mean 'budget_ms'?", '; it may have: a, b')
    """
    known = list(known)
    close = difflib.get_close_matches(str(word).replace("-", "_"), known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; it may have: {', '.join(known)}" if known else "; it has none"


def _complaint(
    error: Exception, keys: Mapping[str, attrs.Attribute[Any]], values: Mapping[str, Any]
) -> Refused:
    """Find the key that the class's own validators or converters complain about; hide secrets."""
    # Validators of attrs add their own workings to the arguments; the first one is the sentence.
    workings = any(isinstance(argument, attrs.Attribute) for argument in error.args)
    message = str(error.args[0]) if workings else str(error)
    culprit = [
        key
        for key, field in keys.items()
        if field in error.args or f"'{field.name}'" in message or f"'{key}'" in message
    ][:1]
    for key, field in keys.items():
        if is_secret(field.name, field.metadata) and values.get(key) not in (None, ""):
            text = str(values[key])
            if [key] == culprit or text in message or repr(text)[1:-1] in message:
                return Refused("is not valid (why is hidden: it may show a secret)", *culprit)
    return Refused(f"is not valid: {message or type(error).__name__}", *culprit)


def _exactly(kind: type) -> Callable[[Any, Any], Any]:
    def hook(value: Any, wanted: Any) -> Any:
        if type(value) is kind:
            return value
        raise WrongType(wanted, value)

    return hook


def _number(value: Any, wanted: Any) -> float:
    if type(value) in (int, float) and not math.isnan(value):
        return float(value)
    raise WrongType(wanted, value)


def _path(value: Any, wanted: Any) -> Path:
    if isinstance(value, (str, Path)) and str(value) and "\0" not in str(value):
        return Path(value)
    raise WrongType(wanted, value)


def _member(value: Any, wanted: enum.EnumMeta) -> Any:
    for member in enum_members(wanted):
        if value is member or (type(value) is type(member.value) and value == member.value):
            return member
    raise WrongType(wanted, value)


def _choice(value: Any, wanted: Any) -> Any:
    for choice in typing.get_args(wanted):
        if type(choice) is type(value) and choice == value:
            return choice
    raise WrongType(wanted, value)


def _any_of(value: Any, wanted: Any) -> Any:
    kinds = members(wanted)
    if value is None and type(None) in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    if len(kinds) == 1:  # `X | None`: X's own refusal says more, such as which item is wrong
        return structure(value, kinds[0])
    for kind in kinds:
        try:
            return structure(value, kind)
        except Refused:
            continue
    raise WrongType(wanted, value)


def _items(value: Any, wanted: Any) -> Any:
    make = array_of(wanted)
    kinds = item_types(wanted, len(value)) if isinstance(value, _LISTS) else None
    if make is None or kinds is None:
        raise WrongType(wanted, value)
    return make(_inside(index, *pair) for index, pair in enumerate(zip(value, kinds, strict=True)))


def _table(value: Any, wanted: Any) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise WrongType(wanted, value)
    of_key, of_item = typing.get_args(wanted) or (Any, Any)
    return {
        _inside(key, key, of_key): _inside(key, item, of_item, is_secret(str(key)))
        for key, item in value.items()
    }


def _inside(step: str | int, value: Any, wanted: Any, secret: bool = False) -> Any:
    try:
        return structure(value, wanted)
    except Refused as refused:
        raise refused.inside(step, secret) from None


def _strict_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    hooks: list[tuple[Callable[[Any], bool], Callable[[Any, Any], Any]]] = [
        (attrs.has, lambda value, wanted: build(wanted, value)),
        (is_table, _table),
        (lambda wanted: array_of(wanted) is not None, _items),
        (lambda wanted: len(members(wanted)) > 1, _any_of),
        (lambda wanted: typing.get_origin(wanted) is Literal, _choice),
    ]
    for applies, hook in hooks:
        converter.register_structure_hook_func(applies, hook)
    # By class, since cattrs prefers its own hooks for these to any that asks a question first.
    converter.register_structure_hook(Path, _path)
    converter.register_structure_hook(float, _number)
    for kind in (int, bool, str):
        converter.register_structure_hook(kind, _exactly(kind))
    return converter


_converter = _strict_converter()
