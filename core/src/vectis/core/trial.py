"""Takes back what modules registered that then failed to import.

A module that breaks in its tenth line has its first nine behind it: handlers that it marked are
subscribed, while their module is gone. A second import would subscribe them twice. What was
imported whole on the way stays, since Python would not run it again.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

__all__ = ["note", "trial"]

_Noted = tuple[str, dict[str, Any] | None, "Callable[[], object]"]

_noted: list[_Noted] | None = None


@contextmanager
def trial() -> Iterator[None]:
    """Undo what is noted inside by modules that are gone when the block fails."""
    global _noted
    before = _noted
    noted = _noted = []
    try:
        yield
    except BaseException:
        for name, body, undo in reversed(noted):
            if body is not None and getattr(sys.modules.get(name), "__dict__", None) is not body:
                undo()
        raise
    finally:
        _noted = before


def note(undo: Callable[[], object]) -> None:
    """Remember how to undo a registration that was just made, on behalf of whose import runs.

    Args:
        undo: Takes it back; it may be gone already.
    """
    if _noted is not None:
        _noted.append((*_importing(), undo))


def _importing() -> tuple[str, dict[str, Any] | None]:
    """Return the name and the names of the module whose body runs; None for no module's."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            return frame.f_globals.get("__name__", ""), frame.f_globals
        frame = frame.f_back
    return "", None
