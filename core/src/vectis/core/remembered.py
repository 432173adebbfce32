"""What was worked out once, for as long as there is room: a dict that fills itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Remembered"]

K = TypeVar("K")
V = TypeVar("V")


class Remembered(dict[K, V]):
    """What was found for a key before; of too many keys, all are forgotten. Errors never stay.

    A look-up costs what a dict's does: `functools.lru_cache` takes twice as long for several
    arguments.

    Args:
        find: Works out the value of a key that is not remembered.
        most: How many are.

    Example:
        >>> from vectis.core.remembered import Remembered
        >>> lengths = Remembered(len, most=1_000)
        >>> lengths["order.created"], list(lengths)
        (13, ['order.created'])
    """

    def __init__(self, find: Callable[[K], V], most: int) -> None:
        super().__init__()
        self._find = find
        self._most = most

    def __missing__(self, key: K) -> V:
        value = self._find(key)
        if len(self) >= self._most:
            self.clear()
        self[key] = value
        return value
