"""How a consuming handler is called: on the loop when it is async, else in a thread."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from vectis.core.outcome import current

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from vectis.core.subscription import Handler, Subscription

__all__ = ["Call", "Callee", "caller"]

Call = Callable[[str, Any], Coroutine[Any, Any, Any]]


class Callee:
    """A handler as it is called, and what has come of it.

    Args:
        subscription: The handler.
        threads: Where a plain one runs.

    Attributes:
        call: Awaits it, given the event type and the payload, of a batch handler the payloads.
        batch: How many deliveries it takes at once; None when it takes one by one.
        handled: Attempts that passed.
        failed: Attempts that did not.
        retried: Of those, how many were to be repeated.
        dead_lettered: Deliveries set aside because of it.
    """

    __slots__ = (
        "batch",
        "call",
        "dead_lettered",
        "failed",
        "handled",
        "retried",
        "subscription",
    )

    def __init__(self, subscription: Subscription, threads: Executor) -> None:
        self.subscription = subscription
        self.call = caller(subscription.handler, threads)
        self.batch = subscription.batch
        self.handled = 0
        self.failed = 0
        self.retried = 0
        self.dead_lettered = 0


def caller(handler: Handler, threads: Executor) -> Call:
    """Return what awaits a handler, given the event type and the payload.

    A plain function runs in a thread, so that one which blocks does not stop the worker. Its
    context variables are those of the caller, so that what it emits or publishes has its cause.

    Args:
        handler: An `async def`, or anything else that can be called.
        threads: Where a plain one runs.

    Example:
        >>> import asyncio
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> from vectis.core.worker.calling import caller
        >>> with ThreadPoolExecutor() as threads:
        ...     asyncio.run(caller(print, threads)("order.created", {"order_id": 7}))
        order.created {'order_id': 7}
    """
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - it is looked at, not tested for
    ):
        return handler

    async def in_thread(event_type: str, payload: Any) -> None:
        frame = current.get(None)

        def run() -> tuple[Any, BaseException | None]:
            running = frame  # noqa: F841 - by this name the watchdog finds who runs in which thread
            # As a value: a future refuses StopIteration, and would never be done.
            try:
                return handler(event_type, payload), None
            except BaseException as error:
                return None, error

        loop = asyncio.get_running_loop()
        result, error = await loop.run_in_executor(threads, copy_context().run, run)
        if error is not None:
            raise error
        if inspect.isawaitable(result):
            await result

    return in_thread
