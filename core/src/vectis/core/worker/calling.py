"""How a consuming handler is called: on the loop when it is async, else in a thread.

What it is given, when it is not the usual pair, is made by `giving`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from vectis.core.outcome import current
from vectis.core.taking import is_async
from vectis.core.worker.batches import Batch
from vectis.core.worker.giving import giver

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from vectis.core.catalogue import Catalogue
    from vectis.core.subscription import Handler, Subscription
    from vectis.core.worker.job import Job

__all__ = ["Call", "Callee", "callees_of", "caller"]

Call = Callable[[str, Any], Coroutine[Any, Any, Any]]


class Callee:
    """A handler as it is called, and what has come of it.

    Args:
        subscription: The handler.
        threads: Where a plain one runs.
        catalogue: Knows the versions of its event class.
        shared: Whether another handler of the event takes the same class.

    Attributes:
        call: Awaits it, given the event type and the payload, of a batch handler the payloads.
        batch: How many deliveries it takes at once; None when it takes one by one.
        give: Makes what it is given of a job; None when that is event type and payload.
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
        "give",
        "handled",
        "retried",
        "subscription",
    )

    def __init__(
        self,
        subscription: Subscription,
        threads: Executor,
        catalogue: Catalogue,
        *,
        shared: bool = False,
    ) -> None:
        self.subscription = subscription
        self.batch = subscription.batch
        kept = shared or self.batch is not None
        self.give = give = giver(subscription, catalogue, kept=kept)
        given: Callable[[Any], Any] | None = give
        if give is not None and self.batch:
            given = partial(_all_of, give)
        self.call = caller(subscription.handler, threads, given)
        self.handled = 0
        self.failed = 0
        self.retried = 0
        self.dead_lettered = 0

    def passed(self, job: Job) -> None:
        """Note that an attempt passed: the job's next handler is next, with attempts of its own."""
        self.handled += 1
        job.handler += 1
        if job.delivery.attempt > 1:
            job.delivery = attrs.evolve(job.delivery, attempt=1)

    def misfit(self, job: Job) -> BaseException | None:
        """Return why a job's payload does not fit what the handler takes; None when it does.

        A batch handler is asked before a job joins others: one that does not fit must not fail
        them. It is a `PayloadError`, or whatever the class of the application raises beside one.
        """
        try:
            if self.give is not None:
                self.give(job)
        except BaseException as error:
            return error
        return None


def callees_of(
    subscriptions: Sequence[Subscription], threads: Executor, catalogue: Catalogue
) -> tuple[Callee, ...]:
    """Return the callees of an event type's handlers.

    Args:
        subscriptions: The handlers, in their order.
        threads: Where plain ones run.
        catalogue: Knows the versions of their event classes.
    """
    classes = Counter(s.event_class for s in subscriptions if s.takes == "class")
    return tuple(
        Callee(s, threads, catalogue, shared=classes[s.event_class] > 1) for s in subscriptions
    )


def _all_of(give: Callable[[Job], Any], batch: Any) -> list[Any]:
    return [give(job) for job in batch.jobs]


def caller(handler: Handler, threads: Executor, give: Callable[[Any], Any] | None = None) -> Call:
    """Return what awaits a handler, given the event type and the payload.

    A plain function runs in a thread, so that one which blocks does not stop the worker. Its
    context variables are those of the caller, so that what it emits or publishes has its cause.

    Args:
        handler: An `async def`, or anything else that can be called.
        threads: Where a plain one runs.
        give: Makes what it is given of the job or batch that runs; None for the usual pair, which
            costs nothing here.

    Example:
        >>> import asyncio
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> from vectis.core.worker.calling import caller
        >>> with ThreadPoolExecutor() as threads:
        ...     asyncio.run(caller(print, threads)("order.created", {"order_id": 7}))
        order.created {'order_id': 7}
    """
    if is_async(handler):
        if give is None:
            return handler

        def on_loop(event_type: str, payload: Any) -> Coroutine[Any, Any, Any]:
            made: Coroutine[Any, Any, Any] = handler(give(current.get()))
            return made

        return on_loop

    async def in_thread(event_type: str, payload: Any) -> None:
        frame = current.get(None)
        arguments = (event_type, payload) if give is None else (give(frame),)

        def run() -> tuple[Any, BaseException | None]:
            running = frame  # noqa: F841 - by this name the watchdog finds who runs in which thread
            # As a value: a future refuses StopIteration, and would never be done.
            try:
                return handler(*arguments), None
            except BaseException as error:
                return None, error

        # What `run_in_executor` does, with the thread's own future at hand.
        begun = threads.submit(copy_context().run, run)
        if isinstance(frame, Batch):
            frame.thread = begun
        result, error = await asyncio.wrap_future(begun)
        if error is not None:
            raise error
        if inspect.isawaitable(result):
            await result

    return in_thread
