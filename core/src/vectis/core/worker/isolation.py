"""Awaiting a coroutine in a context of its own, without a task of its own."""

from __future__ import annotations

from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from contextvars import Context

__all__ = ["within"]

T = TypeVar("T")


@coroutine
def within(
    context: Context, awaited: Coroutine[Any, Any, T], future: Any = None
) -> Generator[Any, Any, T]:
    """Await a coroutine whose context variables are those of `context`.

    A task would do the same and cost a turn of the event loop, which a handler that finishes
    without waiting need not pay.

    Args:
        context: A copy that is used for nothing else.
        awaited: The coroutine of a handler.
        future: What the coroutine waits for, when its first step was already made in this context
            and this task.

    Example:
        >>> import asyncio
        >>> from contextvars import ContextVar, copy_context
        >>> from vectis.core.worker.isolation import within
        >>> name = ContextVar("name", default="nobody")
        >>> async def handler():
        ...     name.set("Ada")
        >>> async def main():
        ...     await within(copy_context(), handler())
        ...     return name.get()
        >>> asyncio.run(main())
        'nobody'
    """
    run, send, throw = context.run, awaited.send, awaited.throw
    value: Any = None
    error: BaseException | None = None
    try:
        if future is None:
            future = run(send, None)
        while True:
            try:
                value = yield future
            except BaseException as raised:  # also the task's cancellation: it is the coroutine's
                error = raised
            future = run(send, value) if error is None else run(throw, error)
            value = error = None
    except StopIteration as finished:
        result: T = finished.value
        return result
