"""Emit and publish from code without an event loop, such as a Django view.

Handlers of an emit run in the calling thread, because database connections belong to threads.
Publishing uses one background loop, because producers belong to loops.
"""

from __future__ import annotations

import asyncio
import inspect
from contextvars import ContextVar
from threading import Lock, Thread, get_ident
from typing import TYPE_CHECKING, Any, TypeVar

from vectis.core.forks import after_fork

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

__all__ = [
    "background",
    "finish",
    "refuse_inside_loop",
    "run_alone",
    "run_here",
    "within_run_here",
]

T = TypeVar("T")

_here: ContextVar[int | None] = ContextVar("vectis_run_here", default=None)  # in which thread


def within_run_here() -> bool:
    """Tell whether the caller was called by `run_here`: whatever loop runs ends with that call.

    What the call hands to a loop of another thread takes its context along, and is not within.
    """
    return _here.get() == get_ident()


def refuse_inside_loop(name: str) -> None:
    """Raise when the calling thread runs an event loop, which a blocking call would stop.

    Raises:
        RuntimeError: It does; the message names what to await instead.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"{name}_sync would block the running event loop: use `await {name}(...)`")


def run_here(
    call: Callable[[], Awaitable[T]],
    functions: Iterable[Callable[..., Any]],
    *,
    needs_loop: bool = False,
) -> T:
    """Run an awaitable call to its end in this thread.

    Args:
        call: What is run.
        functions: What it is going to call. When all of them are plain functions no event loop is
            made, which is faster and lets a handler emit from inside again.
        needs_loop: Make one all the same.
    """

    async def main() -> T:
        token = _here.set(get_ident())
        try:
            return await call()
        finally:
            _here.reset(token)

    if not needs_loop and all(_is_plain(function) for function in functions):
        coroutine = main()
        try:
            coroutine.send(None)
        except StopIteration as finished:
            result: T = finished.value
            return result
        finally:
            coroutine.close()
        raise RuntimeError("a plain function returned something to wait for: make it `async def`")
    return run_alone(main())


def run_alone(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in this thread, on a loop made for it.

    Unlike `asyncio.run`, the event loop that is set for the thread stays what it was.
    """
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(coroutine)


async def finish(awaitable: Awaitable[T]) -> T:
    """Await what a plain function returned; when no loop runs here, on a loop made for it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run_alone(_await(awaitable))
    return await awaitable


async def _await(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _is_plain(function: Callable[..., Any]) -> bool:
    return (
        (inspect.isfunction(function) or inspect.ismethod(function))
        and not inspect.iscoroutinefunction(function)
        and function.__name__ != "<lambda>"  # often a call of something async
    )


class _Background:
    """One daemon thread with an event loop, started on first use and made anew after a fork."""

    def __init__(self) -> None:
        self._forget()
        after_fork(self._forget)

    def _forget(self) -> None:
        # In the child of a fork the thread has stayed in the parent.
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the background loop and wait for its result."""
        with self._lock:
            if self._loop is None:
                try:
                    self._loop = _running_loop()
                except BaseException:
                    coroutine.close()
                    raise
        return asyncio.run_coroutine_threadsafe(_outside(coroutine), self._loop).result()

    async def also(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a call on the running loop, and on the background loop as well if there is one."""
        loop = self._loop
        if loop is None or loop is asyncio.get_running_loop():
            await call()
            return
        there = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_outside(call()), loop))
        try:
            await call()
        finally:
            await there

    @property
    def started(self) -> bool:
        """Whether anything was ever run in the background."""
        return self._loop is not None


def _running_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    try:
        Thread(target=loop.run_forever, name="vectis-background", daemon=True).start()
    except BaseException as error:  # the machine has no more threads: the next call tries again
        loop.close()
        if "interpreter shutdown" in str(error):
            raise RuntimeError(
                "nothing can be published from here: Python is ending, and starts no thread any "
                "more. Publish before it ends. From an atexit function it works as well, but for "
                "Python 3.12.0 to 3.12.2: there only if something was published before"
            ) from error
        raise
    return loop


async def _outside(coroutine: Coroutine[Any, Any, T]) -> T:
    _here.set(None)  # the task has a context of its own: this loop stays
    return await coroutine


background = _Background()
