"""Where the code of a delivery is now: its coroutine, its thread, or what blocks the event loop.

For a watchdog in another thread: what it sees may be over a moment later, and it must not mind.
"""

from __future__ import annotations

import inspect
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vectis.core.heartbeat import frames_of
from vectis.core.worker import calling
from vectis.core.worker.batches import Batch
from vectis.core.worker.isolation import within
from vectis.core.worker.job import Job

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator, Sequence
    from types import FrameType

__all__ = [
    "blocking",
    "frames_in_threads",
    "frames_of_task",
    "jobs_in_threads",
    "line_of",
    "place_in",
]

_OURS = str(Path(__file__).parent)
_CORE = str(Path(__file__).parents[1])
_STANDARD = sysconfig.get_path("stdlib")
_DEEPEST = 200  # coroutines awaiting one another


def line_of(frame: FrameType) -> str:
    """Return where a frame is: `file:line in function`."""
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def place_in(frames: Sequence[FrameType]) -> str:
    """Return where the handler is: the innermost line outside the standard library.

    Args:
        frames: The innermost first; without any, nothing is returned.
    """
    theirs = [frame for frame in frames if not _is_standard(frame.f_code.co_filename)]
    return line_of((theirs or frames)[0]) if frames else ""


def blocking(thread: int) -> tuple[tuple[Job, ...], list[FrameType]]:
    """Return the jobs that an event loop's thread runs just now, and their handler's frames.

    Args:
        thread: The identity of the thread.

    Returns:
        One job, or all of a batch, none when it runs something else; the frames, the innermost
        first.
    """
    frames = frames_of(thread)
    for place, frame in enumerate(frames):
        if _is_ours(frame):
            names = frame.f_locals
            batch = names.get("batch")
            if isinstance(batch, Batch) and batch.jobs:
                return tuple(batch.jobs), _of_handler(frames[:place])
            if isinstance(job := names.get("job"), Job):
                return (job,), _of_handler(frames[:place])
    return (), frames


def frames_in_threads() -> dict[int, list[FrameType]]:
    """Return the frames of all plain handlers that run in threads, by the `id` of job or batch."""
    return {id(running): frames for running, frames in _in_threads()}


def jobs_in_threads() -> list[Job]:
    """Return the jobs whose plain handlers run in threads, of a batch the first."""
    found = [running for running, _ in _in_threads()]
    return [job for one in found for job in (one.jobs[:1] if isinstance(one, Batch) else (one,))]


def _in_threads() -> Iterator[tuple[Job | Batch, list[FrameType]]]:
    for top in list(sys._current_frames().values()):
        frames: list[FrameType] = []
        frame: FrameType | None = top
        while frame is not None:
            if frame.f_code.co_filename == calling.__file__ and "running" in frame.f_locals:
                yield frame.f_locals["running"], _of_handler(frames)
                break
            frames.append(frame)
            frame = frame.f_back


def frames_of_task(task: asyncio.Task[Any]) -> list[FrameType]:
    """Return what the handler that a runner's task awaits is doing, the innermost frame first."""
    coroutine: Any = task.get_coro()
    if inspect.iscoroutine(coroutine) and coroutine.cr_running and coroutine.cr_frame:
        return _frames_inside(coroutine.cr_frame)  # it waits for nothing: it blocks the loop
    return _of_handler(list(_awaited(coroutine))[::-1])


def _frames_inside(outer: FrameType) -> list[FrameType]:
    for thread in sys._current_frames():
        frames = frames_of(thread)
        if outer in frames:
            return _of_handler(frames[: frames.index(outer)])
    return []


def _of_handler(frames: Sequence[FrameType]) -> list[FrameType]:
    """Leave out what calls a handler, times it or reads its payload; not what it calls itself."""
    theirs = [frame for frame in frames if not _is_ours(frame)]
    while theirs and theirs[-1].f_code.co_filename.startswith(_CORE):
        theirs.pop()
    return theirs


def _awaited(awaited: Any) -> Iterator[FrameType]:
    for _ in range(_DEEPEST):
        if inspect.iscoroutine(awaited):
            frame, awaited = awaited.cr_frame, awaited.cr_await
        elif inspect.isgenerator(awaited):
            frame, awaited = awaited.gi_frame, awaited.gi_yieldfrom
        elif inspect.isasyncgen(awaited):
            frame, awaited = awaited.ag_frame, awaited.ag_await
        else:
            return
        if frame is None:
            return
        yield frame
        if frame.f_code is within.__code__:
            awaited = frame.f_locals.get("awaited")  # it is driven by hand, not awaited


def _is_standard(file: str) -> bool:
    return file.startswith(("<", _STANDARD)) and "site-packages" not in file


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OURS)
