"""What becomes of a job whose handler failed: again later, set aside, or left to others."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from math import inf
from random import Random
from typing import TYPE_CHECKING

import attrs

from vectis.core.exceptions import HookError, Reject, RetryLater
from vectis.core.outcome import HandlerFailure
from vectis.core.redact import one_line
from vectis.core.worker import letters
from vectis.core.worker.errors import fields_of, stack_of, text_of, wait_of
from vectis.core.worker.job import Trouble
from vectis.core.worker.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vectis.core.dead_letter import DeadLetter
    from vectis.core.hub import Hub
    from vectis.core.settings import ConsumerSettings
    from vectis.core.subscription import Subscription
    from vectis.core.worker.calling import Callee
    from vectis.core.worker.clock import Clock
    from vectis.core.worker.job import Job
    from vectis.core.worker.report import Report

__all__ = ["NEVER", "Judge"]

logger = logging.getLogger("vectis.worker")

NEVER = inf
"""Seconds to wait for a job that is not run again here: it was cut off, or a batch has it."""

_QUIET = 60.0  # seconds after which too many dead letters are reported again

_KEPT = 100  # failures kept for the outcome of one delivery; `block` may make any number


class Judge:
    """Decides about the failed jobs of one worker, and writes their letters.

    Args:
        hub: For its hooks, and its transport, which takes the letters.
        group: The consumer group, noted in them.
        report: Counts what happens.
        settings: The `[consumer]` settings.
        letter: Makes a dead letter of what is known of it, as `DeadLetter` does.
        clock: What the bound on dead letters goes by.

    Attributes:
        closing: Whether a cancellation means the end, and not that a handler cancelled itself.
    """

    def __init__(
        self,
        hub: Hub,
        group: str,
        report: Report,
        settings: ConsumerSettings,
        letter: Callable[..., DeadLetter],
        clock: Clock,
    ) -> None:
        self._hub = hub
        self._group = group
        self._report = report
        self._retry = Retry(settings.max_attempts, settings.retry_initial, settings.retry_max)
        self._block = settings.on_exhausted == "block"
        self._letter_of = letter
        self._clock = clock
        self._random = Random()
        self._cut_off: set[Job] = set()
        self.closing = False

    def cut_off(self, jobs: Iterable[Job]) -> None:
        """Let no error of these count any more: they are about to be cancelled."""
        self._cut_off.update(jobs)

    async def after(self, job: Job, callee: Callee, error: BaseException) -> float | None:
        """Return what becomes of a job whose handler raised.

        None when its letter is to be written next; else the seconds until it is begun again.
        """
        if self.was_cut_off(job):
            return NEVER
        if isinstance(error, RetryLater):
            try:
                return wait_of(error)
            except ValueError as mistaken:
                error = mistaken
        if isinstance(error, asyncio.CancelledError) and self.closing:
            raise error  # not the handler's: the runners end
        return await self._failed(job, callee, error)

    def was_cut_off(self, job: Job) -> bool:
        """Tell, once, whether the handler of a job was cancelled here."""
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
        await self._hub.lifecycle.tell(
            "vectis_handler_error", {"failure": failure, "hub": self._hub}
        )
        if not again:
            reason = f"{type(error).__name__}: {text_of(error)}"
            trouble.letter = self._letter(job, subscription, reason)
            return None
        callee.retried += 1
        self._report.retried += 1
        # Another one, since hooks may have kept the one of the attempt that has failed.
        job.delivery = attrs.evolve(job.delivery, attempt=attempt + 1)
        return self._retry.wait(attempt, self._random)

    async def calm(self) -> None:
        """Let a cancellation that a handler asked of its own task hit nothing that comes after it.

        One of the worker's own has been noted before, where it cuts a job off.
        """
        task = asyncio.current_task()
        if task is None or not task.cancelling() or self.closing:
            return
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)  # if the task has not felt it yet, it does now
        while task.cancelling():
            task.uncancel()

    def unreadable(self, job: Job, error: str) -> None:
        """Let a job be set aside that says nothing anybody can read."""
        job.trouble = Trouble(self._letter(job, None, error))

    def _letter(self, job: Job, subscription: Subscription | None, error: str) -> DeadLetter:
        return self._letter_of(
            delivery=job.delivery,
            group=self._group,
            handler=subscription.id if subscription else "",
            plugin=subscription.plugin if subscription else "",
            error=error,
            attempts=job.delivery.attempt if subscription else 0,
        )

    async def set_aside(
        self, job: Job, letter: DeadLetter, callees: Sequence[Callee]
    ) -> float | None:
        """Write a job's letter; return the seconds to wait when it cannot be written now.

        Args:
            job: Its handler is passed over once the letter is there for good.
            letter: The letter.
            callees: The job's handlers.
        """
        partition, trouble = job.partition, job.trouble
        assert trouble is not None  # the letter came from there
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
            if self.was_cut_off(job):
                return NEVER
            raise
        if not written:
            trouble.tries += 1
            return self._retry.wait(trouble.tries, self._random)
        if callees:
            callees[job.handler].dead_lettered += 1
        trouble.letter = None
        trouble.set_aside.add(job.handler)
        job.handler += 1
        job.delivery = attrs.evolve(job.delivery, attempt=1)
        return None


def _guard(error: BaseException) -> str:
    """Return the plugin whose hook kept the handler from being called.

    No handler can raise this: the hook is called here alone, and fails on entry alone.
    """
    if isinstance(error, HookError) and error.hook == "vectis_around_consume":
        return error.plugin
    return ""
