"""What a job needs done: decode it, call its handlers, or set it aside.

Every handler has attempts of its own, so that one which fails does not make the others run again.
Nothing waits in here for a next attempt: whoever runs jobs is told how long to wait.
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import copy_context
from math import inf
from random import Random
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Literal

import attrs

from vectis.core._usual import take_apart
from vectis.core.codec import decode
from vectis.core.dead_letter import DeadLetter
from vectis.core.exceptions import DecodeError, HookError, Reject, RetryLater
from vectis.core.outcome import DeliveryOutcome, HandlerFailure, current
from vectis.core.redact import one_line
from vectis.core.worker import letters
from vectis.core.worker.calling import Callee, callees_of
from vectis.core.worker.clock import RealClock
from vectis.core.worker.errors import failures_of, fields_of, stack_of, text_of
from vectis.core.worker.isolation import FINISHED, first_steps, within
from vectis.core.worker.job import Trouble
from vectis.core.worker.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
    from concurrent.futures import Executor
    from contextvars import Context

    from vectis.core.blame import Blame
    from vectis.core.hub import Hub
    from vectis.core.message import Delivery
    from vectis.core.settings import ConsumerSettings
    from vectis.core.subscription import Subscription
    from vectis.core.worker.batches import Batch, Batches
    from vectis.core.worker.clock import Clock
    from vectis.core.worker.job import Job
    from vectis.core.worker.report import Report

__all__ = ["NEVER", "Handling"]

logger = logging.getLogger("vectis.worker")

NEVER = inf
"""Seconds to wait for a job that is not run again here: it was cut off, or a batch has it."""

Status = Literal["handled", "skipped", "dead_lettered"]

_QUIET = 60.0  # seconds after which too many dead letters are reported again

_KEPT = 100  # failures kept for the outcome of one delivery; `block` may make any number


class Handling:
    """Takes the jobs of one worker as far as they go.

    What is returned for a job is None when it is finished: handled, skipped, or durably set aside;
    else the seconds to wait before it is begun again, which may be `NEVER`.

    Args:
        hub: For its hooks, its settings, and its transport, which takes the dead letters.
        handlers: The handlers per event type.
        group: The consumer group, noted in dead letters.
        report: Counts what happens.
        threads: Where plain handlers run.
        settings: The `[consumer]` settings; default: the hub's.
        letter: Makes a dead letter of what is known of it, as `DeadLetter` does.
        clock: What the bound on dead letters goes by; default: the real one.

    Attributes:
        callees: The handlers per event type, with what has come of them.
        batches: Where jobs wait whose next handler takes several; set by whoever runs them.
        closing: Whether a cancellation means the end, and not that a handler cancelled itself.
    """

    batches: Batches

    def __init__(
        self,
        hub: Hub,
        handlers: Mapping[str, tuple[Subscription, ...]],
        group: str,
        report: Report,
        threads: Executor,
        *,
        settings: ConsumerSettings | None = None,
        letter: Callable[..., DeadLetter] = DeadLetter,
        clock: Clock | None = None,
    ) -> None:
        settings = settings or hub.consumer_settings
        self._hub = hub
        self._letter_of = letter
        self._clock = clock or RealClock()
        self.callees: dict[str, tuple[Callee, ...]] = {
            event_type: callees_of(subscriptions, threads, hub.catalogue)
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
        # Those of types whose handlers all take one delivery at a time.
        self._singly = {
            event_type: callees
            for event_type, callees in self.callees.items()
            if not any(callee.batch for callee in callees)
        }
        self._steps = _ready_to_step()
        self._spare_steps: list[Generator[Any, Any, None]] = []
        self.closing = False

    def measure(self, blame: Blame, budget: float) -> None:
        """Time the handlers from now on.

        What calls them is replaced, so that nothing is asked per delivery while nobody wants to
        know.

        Args:
            blame: Takes the times.
            budget: Seconds that a call may take.
        """
        for callees in self.callees.values():
            for callee in callees:
                callee.call = blame.timed(callee.subscription, callee.call, budget=budget)

    def cut_off(self, jobs: Iterable[Job]) -> None:
        """Let no error of these count any more: they are about to be cancelled."""
        self._cut_off.update(jobs)

    def callee(self, job: Job) -> Callee | None:
        """Return the handler that is next for a job, or runs; None when there is none."""
        if job.received is None or (job.trouble is not None and job.trouble.letter is not None):
            return None
        callees = self.callees.get(job.received.type, ())
        return callees[job.handler] if job.handler < len(callees) else None

    def named(self, job: Job) -> str:
        """Return the handler that runs and the delivery's place, for reports."""
        callee = self.callee(job)
        place = job.delivery.place
        return place if callee is None else f"{callee.subscription.id} at {place}"

    def begin(self, job: Job) -> Awaitable[float | None] | None:
        """Take a job as far as it goes without waiting.

        Returns:
            None when it is finished; else what is to be awaited, with what became of it then.
        """
        if job.read is not None or job.trouble is not None or self._around:
            return self._advance(job)
        if self._after:
            job.started = perf_counter()
        parts = job.read = take_apart(job.delivery, job.size, self._max_bytes)
        if parts is None or (callees := self._singly.get(parts[0])) is None:
            return self._advance(job)
        # What is awaited further down in words, made here in one go: most handlers never wait.
        event_type, payload = parts[0], parts[1]
        steps = self._steps
        for callee in callees:
            current.set(job)
            context = copy_context()
            try:
                future = context.run(steps.send, (callee.call, event_type, payload))
            except BaseException as error:
                self._steps = _ready_to_step()
                return self._advance(job, _failing(error))
            if future is not FINISHED:
                spare = self._spare_steps
                self._steps = spare.pop() if spare else _ready_to_step()
                return self._waited(job, callees, context, steps, future)
            callee.handled += 1
            job.handler += 1
        if self._after:
            return self._ended(job, callees)
        self._report.handled += 1
        return None

    async def _waited(
        self,
        job: Job,
        callees: Sequence[Callee],
        context: Context,
        steps: Generator[Any, Any, None],
        future: Any,
    ) -> float | None:
        """Await a handler whose first step was made; when all is well with the last, that is all.

        Args:
            job: The job.
            callees: Its handlers.
            context: The context of the one that waits.
            steps: What called it.
            future: What it waits for.
        """
        try:
            await within(context, steps, future)
        except GeneratorExit:
            raise  # the loop is gone
        except BaseException as error:  # a handler's SystemExit must not end the worker
            return await self._advance(job, _failing(error))
        self._spare_steps.append(steps)
        callees[job.handler].handled += 1
        job.handler += 1
        if self._after or job.handler < len(callees):
            return await self._advance(job)
        self._report.handled += 1
        return None

    async def _advance(self, job: Job, begun: Awaitable[Any] | None = None) -> float | None:
        """Take a job as far as it goes now, waiting for its handlers.

        Args:
            job: The job.
            begun: What its next handler waits for, when its first step was made already.
        """
        if job.received is None and job.trouble is None:
            if self._after:
                job.started = perf_counter()
            try:
                job.received = decode(job.delivery, max_bytes=self._max_bytes)
            except DecodeError as error:
                job.trouble = Trouble(self._letter(job, None, str(error)))
        callees = () if job.received is None else self.callees.get(job.received.type, ())
        running = job.partition.running
        running[job] = 0.0
        while True:
            wait: float | None = None
            trouble = job.trouble
            if trouble is not None and trouble.letter is not None:
                wait = await self._set_aside(job, trouble, trouble.letter)
            elif job.handler < len(callees):
                callee = callees[job.handler]
                if callee.batch:
                    misfit = callee.misfit(job)
                    if misfit is None:
                        self.batches.join(job, callee)
                        return NEVER
                    begun = _failing(misfit)
                running[job] = monotonic()
                try:
                    await (begun or self._called(job, callee))
                except GeneratorExit:
                    raise  # the loop is gone
                except BaseException as error:  # a handler's SystemExit must not end the worker
                    wait = await self._judge(job, callee, error)
                else:
                    self._passed(job, callee)
                finally:
                    running[job] = 0.0
                begun = None
            else:
                break
            if wait is not None:
                return wait
        telling = self._ended(job, callees)
        if telling is not None:
            await telling
        return None

    # ------------------------------------------------------------ one attempt of one handler

    async def _called(self, job: Job, callee: Callee) -> None:
        received = job.received
        assert received is not None  # whoever advances it decoded it
        if job.delivery.attempt > 1:  # the failed attempt may have changed the payload
            received = job.received = decode(job.delivery, max_bytes=self._max_bytes)
        current.set(job)
        await self._within_around(callee, received.type, received.payload, [job.delivery])

    async def _within_around(
        self, callee: Callee, event_type: str, payload: Any, deliveries: Sequence[Delivery]
    ) -> None:
        if not self._around:
            await within(copy_context(), callee.call(event_type, payload))
            return
        given = [
            {"delivery": delivery, "subscription": callee.subscription, "hub": self._hub}
            for delivery in deliveries
        ]
        around = self._hub.lifecycle.within(
            "vectis_around_consume", lambda: callee.call(event_type, payload), *given
        )
        await within(copy_context(), around)

    def _passed(self, job: Job, callee: Callee) -> None:
        callee.handled += 1
        job.handler += 1
        if job.delivery.attempt > 1:
            job.delivery = attrs.evolve(job.delivery, attempt=1)

    async def _judge(self, job: Job, callee: Callee, error: BaseException) -> float | None:
        """Return what becomes of a job whose handler raised."""
        if self._was_cut_off(job):
            return NEVER
        if isinstance(error, RetryLater):
            return error.seconds
        if isinstance(error, asyncio.CancelledError) and self.closing:
            raise error  # not the handler's: the runners end
        return await self._failed(job, callee, error)

    def _was_cut_off(self, job: Job) -> bool:
        if job not in self._cut_off:
            return False
        self._cut_off.discard(job)
        return True

    async def _failed(self, job: Job, callee: Callee, error: BaseException) -> float | None:
        attempt, subscription = job.delivery.attempt, callee.subscription
        again = not isinstance(error, Reject) and (self._block or self._retry.again(attempt))
        guard = _guard(error)
        logger.warning(
            "handler %s %s at %s, attempt %d%s: %s: %s%s",
            subscription.id,
            "was not called" if guard else "failed",
            job.delivery.place,
            attempt,
            ", will retry" if again else "",
            type(error).__name__,
            one_line(text_of(error)),
            stack_of(error) if attempt == 1 else "",
            extra=fields_of(job.delivery, subscription.id),
        )
        assert job.event is not None
        failure = HandlerFailure(
            event=job.event,
            subscription=subscription,
            error=error,
            attempt=attempt,
            will_retry=again,
            delivery=job.delivery,
            guard=guard,
        )
        callee.failed += 1
        job.trouble = trouble = job.trouble or Trouble()
        trouble.failures = (*trouble.failures, failure)[-_KEPT:]
        await self._hub.handler_failed(failure)
        if not again:
            reason = f"{type(error).__name__}: {text_of(error)}"
            trouble.letter = self._letter(job, subscription, reason)
            return None
        callee.retried += 1
        self._report.retried += 1
        # Another one, since hooks may have kept the one of the attempt that has failed.
        job.delivery = attrs.evolve(job.delivery, attempt=attempt + 1)
        return self._retry.wait(attempt, self._random)

    # ------------------------------------------------------------ batches

    async def run_batch(self, batch: Batch) -> list[tuple[Job, float | None]]:
        """Call a batch handler once; return its jobs with what became of each."""
        callee, jobs = batch.callee, batch.jobs
        if not jobs:
            return []  # they were withdrawn meanwhile
        since = monotonic()
        for job in jobs:
            job.partition.running[job] = since
        failed: Mapping[int, BaseException] = {}
        try:
            await self._called_with_many(batch)
        except GeneratorExit:
            raise  # the loop is gone
        except BaseException as error:
            if cut_off := [job for job in jobs if self._was_cut_off(job)]:
                # Those of other partitions went down with them, and go on at once.
                return [(job, NEVER if job in cut_off else 0.0) for job in jobs]
            if isinstance(error, asyncio.CancelledError) and self.closing:
                raise
            failed = failures_of(error, len(jobs))
        finally:
            batch.finished = True
            for job in jobs:
                job.partition.running[job] = 0.0
        return [(job, await self._settle(job, callee, failed.get(n))) for n, job in enumerate(jobs)]

    async def _settle(self, job: Job, callee: Callee, error: BaseException | None) -> float | None:
        """Return what becomes of one job of a batch."""
        if error is not None:
            wait = await self._judge(job, callee, error)
            return await self._advance(job) if wait is None else wait
        self._passed(job, callee)
        assert job.received is not None  # it was in the batch
        if job.handler < len(self.callees[job.received.type]):
            return 0.0  # its next handler must not hold up the others
        return await self._advance(job)

    async def _called_with_many(self, batch: Batch) -> None:
        callee = batch.callee
        payloads = []
        for job in batch.jobs:
            if job.delivery.attempt > 1:  # the failed attempt may have changed the payload
                job.received = decode(job.delivery, max_bytes=self._max_bytes)
            assert job.received is not None  # whoever let it join decoded it
            payloads.append(job.received.payload)
        current.set(batch)
        await self._within_around(
            callee, callee.subscription.pattern, payloads, [job.delivery for job in batch.jobs]
        )

    # ------------------------------------------------------------ letters and the end

    def _letter(self, job: Job, subscription: Subscription | None, error: str) -> DeadLetter:
        return self._letter_of(
            delivery=job.delivery,
            group=self._group,
            handler=subscription.id if subscription else "",
            plugin=subscription.plugin if subscription else "",
            error=error,
            attempts=job.delivery.attempt if subscription else 0,
        )

    async def _set_aside(self, job: Job, trouble: Trouble, letter: DeadLetter) -> float | None:
        """Write the job's letter; the seconds to wait when it cannot be written now."""
        partition = job.partition
        now = self._clock.now()
        wait = partition.letters.take(now)
        if wait:
            if now - partition.quiet_told >= _QUIET:
                partition.quiet_told = now
                logger.error(
                    "%s: too many dead letters, more than [consumer] dead_letters_per_minute: the "
                    "partition pauses, since an outage must not become a flood. The last: %s",
                    partition.where,
                    letter.error,
                )
            partition.quiet_until = now + wait
            return wait
        try:
            written = await letters.write(letter, self._hub)
        except asyncio.CancelledError:
            if self._was_cut_off(job):
                return NEVER
            raise
        if not written:
            trouble.tries += 1
            return self._retry.wait(trouble.tries, self._random)
        callees = () if job.received is None else self.callees[job.received.type]
        if callees:
            callees[job.handler].dead_lettered += 1
        trouble.letter = None
        trouble.set_aside.add(job.handler)
        job.handler += 1
        job.delivery = attrs.evolve(job.delivery, attempt=1)
        return None

    def _ended(self, job: Job, callees: Sequence[Callee]) -> Awaitable[None] | None:
        """Count a job that is finished; return what is to be awaited when hooks want to know."""
        status: Status
        if job.trouble is not None and job.trouble.set_aside:
            status = "dead_lettered"
            self._report.dead_lettered += 1
        elif callees:
            status = "handled"
            self._report.handled += 1
        else:
            status = "skipped"
            self._report.skipped += 1
        return self._tell(job, callees, status) if self._after else None

    async def _tell(self, job: Job, callees: Sequence[Callee], status: Status) -> None:
        trouble = job.trouble or Trouble()
        outcome = DeliveryOutcome(
            status=status,
            ran=tuple(c.subscription for n, c in enumerate(callees) if n not in trouble.set_aside),
            failures=trouble.failures,
            seconds=perf_counter() - job.started,
        )
        arguments = {"delivery": job.delivery, "outcome": outcome, "hub": self._hub}
        await self._hub.lifecycle.observe("vectis_after_consume", arguments)


def _ready_to_step() -> Generator[Any, Any, None]:
    steps = first_steps()
    steps.send(None)
    return steps


def _guard(error: BaseException) -> str:
    """Return the plugin whose hook kept the handler from being called.

    No handler can raise this: the hook is called here alone, and fails on entry alone.
    """
    if isinstance(error, HookError) and error.hook == "vectis_around_consume":
        return error.plugin
    return ""


async def _failing(error: BaseException) -> None:
    raise error
