"""Giving one letter to its handlers, by the worker's own engine, and telling what became of it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import attrs

from vectis.core.dead_letter import HISTORY, DeadLetter, Round
from vectis.core.worker.engine import Engine
from vectis.core.worker.handling import Handling
from vectis.core.worker.report import Report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vectis.core.hub import Hub
    from vectis.core.letters.wire import StoredLetter
    from vectis.core.message import TopicPartition
    from vectis.core.subscription import Subscription

__all__ = ["Attempts", "Became", "first_of"]

Became = Literal["replayed", "failed_again", "stays", "unfinished", "gone"]
"""What became of a letter: its handler passed; it failed and a newer letter took its place; nobody
could be called; it was begun and not finished, so it stays too; or retention had deleted it.
"""

_LISTEN = 0.5  # seconds between looks at a handler that takes its time


class Attempts:
    """Calls handlers for one letter after another.

    Args:
        hub: For its hooks, its settings, and its transport, which takes letters that fail again.
        group: The group whose letters they are.
        stopping: Set when it is time to end: what runs is finished, and tried no more.

    Attributes:
        abandoned: Handlers cut off when it was time to end; a plain one may still run in its
            thread.
    """

    def __init__(self, hub: Hub, group: str, stopping: asyncio.Event) -> None:
        self._hub = hub
        self._group = group
        self._stopping = stopping
        # One letter at a time, which gives up rather than wait for ever.
        self._settings = attrs.evolve(
            hub.consumer_settings,
            on_exhausted="dead_letter",
            dead_letters_per_minute=0,
            concurrency=1,
        )
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="vectis-handler")
        self._handling: tuple[Engine, Handling] | None = None
        self._patient_until = 0.0  # monotonic seconds
        self.abandoned: list[str] = []

    @property
    def in_hand(self) -> list[str]:
        """What is handled now, as `plugin:handler at topic/partition@offset`."""
        if self._handling is None:
            return []
        engine, handling = self._handling
        return [handling.named(job) for job in engine.running]

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def call(
        self, stored: StoredLetter, handlers: Mapping[str, tuple[Subscription, ...]]
    ) -> tuple[Became, str]:
        """Call the handlers, with all the attempts they have.

        Args:
            stored: The letter, whole.
            handlers: Who is to be called, per event type.

        Returns:
            What became of it, `replayed`, `failed_again` or `unfinished`, and a word about it. When
            it failed again, the letter that takes its place is there.
        """
        report, errors, something = Report(), list[str](), asyncio.Event()
        handling = Handling(
            self._hub,
            handlers,
            self._group,
            report,
            self._threads,
            settings=self._settings,
            letter=partial(_again, stored, errors),
        )
        engine = Engine(handling, self._settings, lambda partition: something.set(), _nothing)
        self._handling = engine, handling
        self._patient_until = monotonic() + self._settings.retry_max + _LISTEN
        broken = asyncio.ensure_future(engine.broken())
        try:
            delivery = stored.letter.delivery
            engine.assign([delivery.topic_partition])
            engine.receive([delivery])
            while not (_is_finished(report) or await self._is_over(something, broken)):
                something.clear()
                for partition in engine.partitions.values():
                    partition.moved = partition.calm = False  # so that the engine calls again
        finally:
            broken.cancel()
            self.abandoned += await engine.stop(self._settings.shutdown_timeout)
            self._handling = None
        names = ", ".join(s.id for found in handlers.values() for s in found)
        if not _is_finished(report):
            if self._stopping.is_set():
                return "unfinished", f"{names} was not finished when it was time to end"
            return "unfinished", f"{names} asked to come back later"
        if report.dead_lettered:
            return "failed_again", "; ".join(errors)
        return "replayed", names

    async def _is_over(self, something: asyncio.Event, broken: asyncio.Future[None]) -> bool:
        """Wait until something may have happened; True when it is time to end, or too long a wait.

        Too long is longer than between two attempts: its handler asked to come back later.
        """
        assert self._handling is not None, "a letter is in hand"
        engine, _ = self._handling
        await first_of(something.wait(), self._stopping.wait(), broken, timeout=_LISTEN)
        if broken.done():
            broken.result()
        if engine.running or something.is_set():
            self._patient_until = monotonic() + self._settings.retry_max + _LISTEN
        return self._stopping.is_set() or monotonic() > self._patient_until


def _is_finished(report: Report) -> bool:
    return bool(report.handled or report.skipped or report.dead_lettered)


def _again(stored: StoredLetter, errors: list[str], **said: Any) -> DeadLetter:
    """Make the letter that takes the place of one that failed again."""
    before = stored.letter
    earlier = Round(timestamp=stored.timestamp, error=before.error, attempts=before.attempts)
    letter = DeadLetter(
        **said,
        replays=before.replays + 1,
        history=(*before.history, earlier)[-HISTORY:],
    )
    errors.append(letter.error)
    return letter


def _nothing(where: TopicPartition) -> None:
    """One letter fills no partition, so none is resumed."""


async def first_of(*awaited: Any, timeout: float) -> None:
    """Return when the first of these is done, or after so many seconds; futures given stay."""
    waiting = [asyncio.ensure_future(one) for one in awaited]
    try:
        await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one, given in zip(waiting, awaited, strict=True):
            if one is not given:
                one.cancel()
