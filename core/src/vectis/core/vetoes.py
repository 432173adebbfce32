"""Vetoes: which error stops an event, also out of a task group, and which came from a nested one.

An error object may be raised more than once, and has to veto every time. So it is not enough that
it once cancelled an emit inside of this one: it must have come from there just now.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from vectis.core.exceptions import EmitLoopError, EventCancelled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from vectis.core.outcome import Frame

__all__ = ["fill_in", "stopped_by"]


def stopped_by(error: Exception, frame: Frame | None) -> EventCancelled | EmitLoopError | None:
    """Return what stops the event in an error, which may be a group of errors.

    Args:
        error: What a handler or a hook raised, as it was caught by whoever called that.
        frame: The frame of the event: what emits inside of it have as their `parent`. None when
            there is none: then an error that has cancelled an emit is not a veto again.

    Returns:
        A veto of this event, or a circle of emits; None for every other error, and for the veto of
        a nested event.
    """
    for one in _leaves(error):
        if isinstance(one, EmitLoopError):
            return one
        if isinstance(one, EventCancelled) and not _nested(one, error, frame):
            return one
    return None


def fill_in(veto: EventCancelled, **what: Any) -> None:
    """Set attributes of a veto on its way out of the emit, also of a class that is frozen."""
    for name, value in what.items():
        object.__setattr__(veto, name, value)
    object.__setattr__(veto, "_left_at", _lines())


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for one in error.exceptions:
        yield from _leaves(one)


def _nested(veto: EventCancelled, caught: Exception, frame: Frame | None) -> bool:
    if veto.outcome is None or frame is None:
        return veto.outcome is not None
    outer = veto.outcome.parent
    while outer is not None and outer is not frame:
        outer = outer.parent
    if outer is not frame:
        return False
    # It did cancel an emit in here. When another handler of this event ran then, that one caught
    # it, and it is raised anew. From another task the line is not known: then it came from there.
    where = caught.__traceback__
    line = None if where is None else veto._left_at.get(id(where.tb_frame))
    return where is None or line is None or line == where.tb_lineno


def _lines() -> dict[int, int]:
    """Return the lines at which all callers are; numbers, since frames would be kept alive."""
    lines: dict[int, int] = {}
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        lines[id(frame)] = frame.f_lineno
        frame = frame.f_back
    return lines
