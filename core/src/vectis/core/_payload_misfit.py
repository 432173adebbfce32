"""How a value does not fit its type, told from the inside out: what was wanted, and on which way.

`vectis.core.payloads` makes one sentence with a path of it. No value is ever quoted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Inside", "Misfit", "inside"]

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


def inside(step: str | int, value: Any, read: Callable[[Any, Any], Any], kind: Any) -> Any:
    """Read a member of an array or object; whatever is wrong with it is told with where it is."""
    try:
        return read(value, kind)
    except Exception as error:
        raise Inside(step) from error
