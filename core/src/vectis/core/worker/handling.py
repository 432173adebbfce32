"""What a job needs done: decode it and call its handlers; `judge` sees to those that fail.

Every handler has attempts of its own, so that one which fails does not make the others run again.
Nothing waits in here for a next attempt: whoever runs jobs is told how long to wait.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Literal

from vectis.core._usual import take_apart
from vectis.core.closing import closes
from vectis.core.codec import decode
from vectis.core.dead_letter import DeadLetter
from vectis.core.exceptions import DecodeError
from vectis.core.outcome import DeliveryOutcome, current
from vectis.core.worker.attempt import Attempts
from vectis.core.worker.batching import Batching
from vectis.core.worker.calling import Callee, callees_of
from vectis.core.worker.clock import RealClock
from vectis.core.worker.isolation import FINISHED, first_steps, within
from vectis.core.worker.job import Trouble
from vectis.core.worker.judge import NEVER, Judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
    from concurrent.futures import Executor
    from contextvars import Context

    from vectis.core.blame import Blame
    from vectis.core.hub import Hub
    from vectis.core.settings import ConsumerSettings
    from vectis.core.subscription import Subscription
    from vectis.core.worker.batches import Batches
    from vectis.core.worker.clock import Clock
    from vectis.core.worker.job import Job
    from vectis.core.worker.report import Report

__all__ = ["Handling"]

Status = Literal["handled", "skipped", "dead_lettered"]


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
        batching: Runs the batches that are made of those.
        judge: Decides what becomes of those that fail.
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
        self.callees: dict[str, tuple[Callee, ...]] = {
            event_type: callees_of(subscriptions, threads, hub.catalogue)
            for event_type, subscriptions in handlers.items()
        }
        self._report = report
        self.judge = Judge(hub, group, report, settings, letter, clock or RealClock())
        self._max_bytes = hub.hub_settings.max_message_bytes
        self._attempts = Attempts(hub)
        self.batching = Batching(self.callees, self._attempts, self.judge, self._advance)
        # Asked once and not per delivery: a hub's plugins do not change.
        self._around = hub.lifecycle.implemented("vectis_around_consume")
        self._after = hub.lifecycle.implemented("vectis_after_consume")
        # Those of types whose handlers all take one delivery at a time.
        self._singly = {
            event_type: callees
            for event_type, callees in self.callees.items()
            if not any(callee.batch for callee in callees)
        }
        self._steps = _ready_to_step()
        self._spare_steps: list[Generator[Any, Any, None]] = []

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
            if job.handler and _is_cancelled():  # by the handler before, which has passed
                return self._advance(job)
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
        except BaseException as error:  # a handler's SystemExit must not end the worker
            if closes(error):
                raise  # the loop is gone
            return await self._advance(job, _failing(error))
        self._spare_steps.append(steps)
        callees[job.handler].handled += 1
        job.handler += 1
        if job.partition.dropped:
            return self._gone(job)
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
        await self.judge.calm()
        if job.received is None and job.trouble is None:
            if self._after:
                job.started = perf_counter()
            try:
                job.received = decode(job.delivery, max_bytes=self._max_bytes)
            except DecodeError as error:
                self.judge.unreadable(job, str(error))
        callees = () if job.received is None else self.callees.get(job.received.type, ())
        running = job.partition.running
        running[job] = 0.0
        while True:
            wait: float | None = None
            trouble = job.trouble
            if trouble is not None and trouble.letter is not None:
                wait = await self.judge.set_aside(job, trouble.letter, callees)
            elif job.handler < len(callees):
                callee = callees[job.handler]
                if callee.batch:
                    misfit = callee.misfit(job)
                    if misfit is None:
                        self.batches.join(job, callee)
                        running.pop(job, None)
                        return NEVER
                    begun = _failing(misfit)
                running[job] = monotonic()
                failure: BaseException | None = None
                try:
                    await (begun or self._attempts.of_one(job, callee))
                except BaseException as error:  # a handler's SystemExit must not end the worker
                    if closes(error):
                        raise  # the loop is gone
                    failure = error
                finally:
                    running[job] = 0.0
                await self.judge.calm()
                if failure is None:
                    callee.passed(job)
                else:
                    wait = await self.judge.after(job, callee, failure)
                    failure = None  # it holds this frame
                begun = None
            else:
                break
            if job.partition.dropped:
                return self._gone(job)
            if wait is not None:
                return wait
        telling = self._ended(job, callees)
        if telling is not None:
            await telling
        return None

    def _gone(self, job: Job) -> float:
        """Leave a job as it is: its partition was given up while its handler ran.

        A handler may have ended in spite of its cancellation. Another member has the delivery by
        now, so that neither the next handler nor a letter may follow here.
        """
        self.judge.was_cut_off(job)
        return NEVER

    # ------------------------------------------------------------ the end

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
        await self.judge.calm()
        trouble = job.trouble or Trouble()
        outcome = DeliveryOutcome(
            status=status,
            ran=tuple(c.subscription for n, c in enumerate(callees) if n not in trouble.set_aside),
            failures=trouble.failures,
            seconds=perf_counter() - job.started,
        )
        arguments = {"delivery": job.delivery, "outcome": outcome, "hub": self._hub}
        await self._hub.lifecycle.tell("vectis_after_consume", arguments)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _ready_to_step() -> Generator[Any, Any, None]:
    steps = first_steps()
    steps.send(None)
    return steps


async def _failing(error: BaseException) -> None:
    raise error
