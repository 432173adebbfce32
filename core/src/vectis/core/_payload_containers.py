"""Hooks for what holds other values: objects of a class, arrays and mappings.

A hook is made for one type, and asks the converter for those of its members.
"""

from __future__ import annotations

from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Mapping,
    MutableMapping,
    Sequence,
)
from typing import TYPE_CHECKING, Any, get_args, get_origin

from cattrs.gen import make_dict_structure_fn

from vectis.core._payload_misfit import Misfit, inside

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["array_hook", "is_array", "is_mapping", "mapping_hook", "object_hook"]

_ARRAYS: dict[Any, Callable[[Iterable[Any]], Any]] = {
    list: list,
    tuple: tuple,
    Collection: tuple,
    Iterable: tuple,
    Sequence: tuple,
}
_MAPPINGS = (dict, Mapping, MutableMapping)


def is_array(wanted: Any) -> bool:
    """Tell whether a type is written as an array."""
    return (get_origin(wanted) or wanted) in _ARRAYS


def is_mapping(wanted: Any) -> bool:
    """Tell whether a type is written as an object with keys of its own."""
    return (get_origin(wanted) or wanted) in _MAPPINGS


def object_hook(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    """Return what reads an instance of an attrs class or dataclass."""
    read = make_dict_structure_fn(cls, converter)

    def hook(value: Any, wanted: Any) -> Any:
        if type(value) is dict:
            return read(value, wanted)
        raise Misfit("an object", value)

    return hook


def array_hook(wanted: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    """Return what reads a list, a tuple, or what is annotated as any sequence."""
    origin, arguments = get_origin(wanted) or wanted, get_args(wanted)
    make = _ARRAYS[origin]
    if origin is tuple and arguments and arguments[-1] is not ...:
        hooks = [(converter.get_structure_hook(kind), kind) for kind in arguments]

        def fixed(value: Any, _: Any) -> Any:
            if type(value) is not list or len(value) != len(hooks):
                raise Misfit(f"an array of exactly {len(hooks)}", value)
            pairs = enumerate(zip(value, hooks, strict=True))
            return tuple(inside(n, item, *hook) for n, (item, hook) in pairs)

        return fixed
    kind = arguments[0] if arguments else Any
    read = converter.get_structure_hook(kind)
    tells = converter.detailed_validation

    def hook(value: Any, _: Any) -> Any:
        if type(value) is not list:
            raise Misfit("an array", value)
        if tells:
            return make([inside(n, item, read, kind) for n, item in enumerate(value)])
        return make([read(item, kind) for item in value])

    return hook


def mapping_hook(wanted: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    """Return what reads a dict."""
    of_key, of_value = get_args(wanted) or (str, Any)
    read_key = converter.get_structure_hook(of_key)
    read = converter.get_structure_hook(of_value)

    def hook(value: Any, _: Any) -> Any:
        if type(value) is not dict:
            raise Misfit("an object", value)
        return {
            inside(key, key, read_key, of_key): inside(key, item, read, of_value)
            for key, item in value.items()
        }

    return hook
