"""Awaiting a coroutine in a context of its own, without a task of its own.

`within` does it for anything. `first_steps` is for the many handlers that never wait: it calls one
after another, and none of them costs an exception to find out that it has finished.
"""

from __future__ import annotations

from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from contextvars import Context

__all__ = ["FINISHED", "first_steps", "within"]

T = TypeVar("T")

FINISHED: Any = object()
"""What `first_steps` yields when a call has finished; anything else is what it waits for."""

# None would not do: it is what `asyncio.sleep(0)` waits for.
_NOT_BEGUN: Any = object()


@coroutine
def first_steps() -> Generator[Any, Any, None]:
    """Take a coroutine function and its two arguments, call it, yield `FINISHED`; again and again.

    A coroutine that is sent to by hand raises StopIteration at its end, which costs as much again
    as a short handler. Awaited, it ends without one.

    To begin with, send None. Whenever it has yielded `FINISHED` it takes the next call; when a call
    raises, so does this, and it is of no use any more. While a call waits this is a coroutine like
    any other, for `within` to go on with.

    Example:
        >>> from vectis.core.worker.isolation import FINISHED, first_steps
        >>> async def handler(event_type, payload):
        ...     print(event_type, payload)
        >>> steps = first_steps()
        >>> steps.send(None) is FINISHED
        True
        >>> steps.send((handler, "order.created", {})) is FINISHED
        order.created {}
        True
    """
    while True:
        call, first, second = yield FINISHED
        yield from call(first, second)


@coroutine
def within(
    context: Context,
    awaited: Coroutine[Any, Any, T] | Generator[Any, Any, T],
    future: Any = _NOT_BEGUN,
) -> Generator[Any, Any, T]:
    """Await a coroutine whose context variables are those of `context`.

    A task would do the same and cost a turn of the event loop, which a handler that finishes
    without waiting need not pay.

    Args:
        context: A copy that is used for nothing else.
        awaited: The coroutine of a handler, or `first_steps` during a call.
        future: What it waits for, when its first step was already made in this context and this
            task.

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
        if future is _NOT_BEGUN:
            future = run(send, None)
        while future is not FINISHED:
            try:
                value = yield future
            except BaseException as raised:  # also the task's cancellation: it is the coroutine's
                error = raised
            future = run(send, value) if error is None else run(throw, error)
            value = error = None
    except StopIteration as finished:
        value = finished.value
    result: T = value
    return result
