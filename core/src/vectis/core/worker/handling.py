"""What a job needs done: decode it, call its handlers, or set it aside.

Every handler has attempts of its own, so that one which fails does not make the others run again.
Nothing waits in here for a next attempt: whoever runs jobs is told how long to wait.
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import copy_context
from random import Random
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Literal

from vectis.core.codec import decode
from vectis.core.dead_letter import DeadLetter
from vectis.core.exceptions import DecodeError, Reject, RetryLater
from vectis.core.outcome import DeliveryOutcome, HandlerFailure, current
from vectis.core.redact import one_line
from vectis.core.worker import letters
from vectis.core.worker.calling import caller
from vectis.core.worker.errors import stack_of, text_of
from vectis.core.worker.isolation import within
from vectis.core.worker.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from concurrent.futures import Executor

    from vectis.core.codec import Received
    from vectis.core.hub import Hub
    from vectis.core.subscription import Subscription
    from vectis.core.worker.calling import Call
    from vectis.core.worker.job import Job
    from vectis.core.worker.report import Report

__all__ = ["CutOff", "Handling"]

logger = logging.getLogger("vectis.worker")

_KEPT = 100  # failures kept for the outcome of one delivery; `block` may make any number


class CutOff(Exception):
    """The time to finish a job was up. It is not finished, and comes again."""


class Handling:
    """Takes the jobs of one worker as far as they go.

    Args:
        hub: For its hooks, its settings, and its transport, which takes the dead letters.
        handlers: The handlers per event type.
        group: The consumer group, noted in dead letters.
        report: Counts what happens.
        threads: Where plain handlers run.
    """

    def __init__(
        self,
        hub: Hub,
        handlers: Mapping[str, tuple[Subscription, ...]],
        group: str,
        report: Report,
        threads: Executor,
    ) -> None:
        settings = hub.consumer_settings
        self._hub = hub
        self._calls: dict[str, tuple[tuple[Subscription, Call], ...]] = {
            event_type: tuple((s, caller(s.handler, threads)) for s in subscriptions)
            for event_type, subscriptions in handlers.items()
        }
        self._group = group
        self._report = report
        self._max_bytes = hub.hub_settings.max_message_bytes
        self._retry = Retry(settings.max_attempts, settings.retry_initial, settings.retry_max)
        self._block = settings.on_exhausted == "block"
        self._random = Random()
        # Asked once and not per delivery: a hub's plugins do not change.
        self._around = hub.lifecycle.implemented("vectis_around_consume")
        self._after = hub.lifecycle.implemented("vectis_after_consume")
        self._cut_off: set[Job] = set()

    def cut_off(self, jobs: Iterable[Job]) -> None:
        """Let no error of these count any more: they are about to be cancelled."""
        self._cut_off.update(jobs)

    def named(self, job: Job) -> str:
        """Return the handler that runs and the delivery's place, for reports."""
        if job.received is None:
            return job.delivery.place
        calls = self._calls.get(job.received.event.type, ())
        if job.letter is not None or job.handler >= len(calls):
            return job.delivery.place
        return f"{calls[job.handler][0].id} at {job.delivery.place}"

    async def advance(self, job: Job) -> float | None:
        """Take a job as far as it goes now.

        Returns:
            None when it is finished: handled, skipped, or durably set aside. Else the seconds to
            wait before it is advanced again.

        Raises:
            CutOff: It was cancelled by whoever called `cut_off`.
        """
        received = job.received
        if received is None and job.letter is None:
            job.started = perf_counter()
            try:
                received = job.received = decode(job.delivery, max_bytes=self._max_bytes)
            except DecodeError as error:
                job.letter = self._letter(job, None, str(error))
        calls = self._calls.get(received.event.type, ()) if received is not None else ()
        while True:
            if job.letter is not None:
                wait = await self._set_aside(job)
                if wait is not None:
                    return wait
            elif job.handler < len(calls):
                subscription, call = calls[job.handler]
                wait = await self._attempt(job, subscription, call)
                if wait is not None:
                    return wait
            else:
                break
        await self._end(job)
        return None

    async def _attempt(self, job: Job, subscription: Subscription, call: Call) -> float | None:
        """Call a handler; a failure is noted, and the wait returned before it is tried again."""
        received = job.received
        assert received is not None  # the caller decoded it
        if job.attempt > 1:  # the failed attempt may have changed the payload
            received = job.received = decode(job.delivery, max_bytes=self._max_bytes)
        event = received.event
        job.delivery.attempt = job.attempt
        current.set(job)
        try:
            if self._around:
                await within(copy_context(), self._call_around(job, subscription, call, received))
            else:
                await within(copy_context(), call(event.type, received.payload))
        except RetryLater as later:
            self._check_cut_off(job, later)
            return max(0.0, later.seconds)
        except GeneratorExit:
            raise  # the loop is gone
        except BaseException as error:  # a handler's SystemExit must not end the worker
            self._check_cut_off(job, error)
            if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                raise  # not the handler's: the loop ends
            return await self._failed(job, subscription, error)
        job.handler += 1
        job.attempt = 1
        job.done = (*job.done, subscription)
        return None

    async def _call_around(
        self, job: Job, subscription: Subscription, call: Call, received: Received
    ) -> None:
        await self._hub.lifecycle.within(
            "vectis_around_consume",
            {"delivery": job.delivery, "subscription": subscription, "hub": self._hub},
            lambda: call(received.event.type, received.payload),
        )

    def _check_cut_off(self, job: Job, error: BaseException) -> None:
        if job in self._cut_off:
            self._cut_off.discard(job)
            raise CutOff from error

    async def _failed(
        self, job: Job, subscription: Subscription, error: BaseException
    ) -> float | None:
        again = not isinstance(error, Reject) and (self._block or self._retry.again(job.attempt))
        logger.warning(
            "handler %s failed at %s, attempt %d%s: %s: %s%s",
            subscription.id,
            job.delivery.place,
            job.attempt,
            ", will retry" if again else "",
            type(error).__name__,
            one_line(text_of(error)),
            stack_of(error) if job.attempt == 1 else "",
        )
        assert job.event is not None
        failure = HandlerFailure(
            event=job.event,
            subscription=subscription,
            error=error,
            attempt=job.attempt,
            will_retry=again,
            delivery=job.delivery,
        )
        job.failures = (*job.failures, failure)[-_KEPT:]
        await self._hub.handler_failed(failure)
        if not again:
            job.letter = self._letter(
                job, subscription, f"{type(error).__name__}: {text_of(error)}"
            )
            return None
        self._report.retried += 1
        wait = self._retry.wait(job.attempt, self._random)
        job.attempt += 1
        return wait

    def _letter(self, job: Job, subscription: Subscription | None, error: str) -> DeadLetter:
        return DeadLetter(
            delivery=job.delivery,
            group=self._group,
            handler=subscription.id if subscription else "",
            plugin=subscription.plugin if subscription else "",
            error=error,
            attempts=job.attempt if subscription else 0,
        )

    async def _set_aside(self, job: Job) -> float | None:
        """Write the job's letter; the seconds to wait when it cannot be written now."""
        letter, partition = job.letter, job.partition
        assert letter is not None  # the caller looked
        wait = partition.letters.take(monotonic())
        if wait:
            if not partition.quiet_until:
                logger.error(
                    "%s: too many dead letters, more than [consumer] dead_letters_per_minute: the "
                    "partition pauses, since an outage must not become a flood. The last: %s",
                    partition.where,
                    letter.error,
                )
            partition.quiet_until = monotonic() + wait
            return wait
        try:
            written = await letters.write(letter, self._hub)
        except asyncio.CancelledError as error:
            self._check_cut_off(job, error)
            raise
        if not written:
            job.tries += 1
            return self._retry.wait(job.tries, self._random)
        job.letter = None
        job.set_aside = True
        job.handler += 1
        job.attempt = 1
        return None

    async def _end(self, job: Job) -> None:
        status: Literal["handled", "skipped", "dead_lettered"]
        if job.set_aside:
            status = "dead_lettered"
            self._report.dead_lettered += 1
        elif job.done:
            status = "handled"
            self._report.handled += 1
        else:
            status = "skipped"
            self._report.skipped += 1
        if self._after:
            outcome = DeliveryOutcome(
                status=status,
                ran=job.done,
                failures=job.failures,
                seconds=perf_counter() - job.started,
            )
            arguments = {"delivery": job.delivery, "outcome": outcome, "hub": self._hub}
            await self._hub.lifecycle.observe("vectis_after_consume", arguments)


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
