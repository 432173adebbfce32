"""Replaying dead letters: each goes to the handler that failed, in this process and nowhere else.

One letter after another, in the order of the dead-letter topic. What the worker does with a
delivery is done by the worker's own parts: attempts, batches, threads, hooks, and the letter when
it fails again. At least once: what was not committed when a replay ends comes again in the next.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

import attrs

from vectis.core.exceptions import LeaseLost
from vectis.core.letters.attempt import Attempts, first_of
from vectis.core.letters.handlers import Stays, handlers_of
from vectis.core.letters.hold import Hold, group_of
from vectis.core.letters.scan import load, scan
from vectis.core.letters.settling import progress, settle
from vectis.core.letters.wire import StoredLetter, read_record
from vectis.core.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vectis.core.hub import Hub
    from vectis.core.letters.attempt import Became
    from vectis.core.letters.choice import Choice
    from vectis.core.letters.shelf import Shelf, Waiting

__all__ = ["Replay", "Replayed"]


@attrs.define
class Replayed:
    """What a replay did.

    Args:
        became: What became of each letter, by its id, with a word about it.
        left: How many of those chosen were not begun.
        gave_up: Why it ended before its time; empty when it did not.
    """

    became: dict[str, tuple[Became, str]] = attrs.Factory(dict)
    left: int = 0
    gave_up: str = ""

    def count(self, became: Became) -> int:
        """Return how many letters became that."""
        return sum(1 for what, _ in self.became.values() if what == became)

    @property
    def clean(self) -> bool:
        """Whether every letter that was begun came home, and none was refused."""
        bad = self.count("failed_again") + self.count("stays") + self.count("unfinished")
        return not bad and not self.gave_up


class Replay:
    """Replays letters of one group.

    Args:
        hub: Its handlers are called, its settings and transport used. The application's modules
            must have been imported.
        group: The group whose letters they are.
        topics: The dead-letter topics.
        choice: Which letters.
        rate: Letters a second, at most; 0 for no bound.
        max_failures: Letters in a row that fail again before it gives up; 0 for any number.
        tell: Called with each letter and what became of it.
        note: Called with a sentence when there is something to wait for.

    Example:
        >>> import asyncio
        >>> from vectis.core import Hub
        >>> from vectis.core.dead_letter import DeadLetter
        >>> from vectis.core.letters.choice import Choice
        >>> from vectis.core.letters.replay import Replay
        >>> from vectis.core.message import Delivery
        >>> from vectis.core.testing import MemoryTransport
        >>> transport = MemoryTransport()
        >>> hub = Hub({}, plugins={"memory": transport}, discover=False)
        >>> handler = hub.on_event("order.created", lambda type, payload: print(payload))
        >>> broken = Delivery("t", 0, 7, value=b'{"event_type": "order.created", "payload": 7}')
        >>> letter = DeadLetter(delivery=broken, group="shop", handler=handler.id, error="away")
        >>> async def main():
        ...     await transport.carrier("t.dlq").send(letter.message())
        ...     return await Replay(hub, "shop", ["t.dlq"], Choice()).run()
        >>> asyncio.run(main()).count("replayed")
        7
        1
    """

    def __init__(
        self,
        hub: Hub,
        group: str,
        topics: Sequence[str],
        choice: Choice,
        *,
        rate: float = 0,
        max_failures: int = 0,
        tell: Callable[[Waiting, Became, str], None] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self._hub = hub
        self._group = group
        self._topics = tuple(topics)
        self._choice = choice
        self._pace = 1 / rate if rate else 0.0
        self._max_failures = max_failures
        self._tell = tell or (lambda record, became, why: None)
        self._note = note or (lambda text: None)
        self._stopping = asyncio.Event()
        self._attempts = Attempts(hub, group, self._stopping)
        self._next = 0.0
        self._in_a_row = 0
        self.report = Replayed()

    @property
    def in_hand(self) -> list[str]:
        """What is handled now, as `plugin:handler at topic/partition@offset`."""
        return self._attempts.in_hand

    @property
    def abandoned(self) -> list[str]:
        """Handlers cut off when it was stopped; a plain one may still run in its thread."""
        return self._attempts.abandoned

    def stop(self) -> None:
        """Ask it to end with the letter in hand; to be called on its event loop."""
        self._stopping.set()

    async def run(self) -> Replayed:
        """Replay until all letters chosen were tried, or `stop`.

        Returns:
            What became of them.

        Raises:
            Busy: Another replay or purge of the group is at work.
            TransportError: The transport failed; what was not committed comes again.
            HookError: A `vectis_startup` guard failed.
        """
        try:
            await self._hub.startup()
            async with self._reader(self._topics) as reader:
                shelf = await scan(reader, self._group)
            chosen = {
                record.id: record for record in shelf.waiting if self._choice.to_replay(record)
            }
            topics = {record.where.topic for record in chosen.values()}
            wanted = frozenset(where for where in shelf.positions if where.topic in topics)
            if chosen and not self._stopping.is_set():
                hold = Hold(self._hub, self._group, wanted, self._stopping, self._note)
                async with hold:
                    await self._replay(hold, tuple(sorted(topics)), set(chosen))
            self.report.left = len(chosen.keys() - self.report.became.keys())
            return self.report
        finally:
            self._attempts.close()

    def _reader(self, topics: Sequence[str]) -> Reader:
        return Reader(self._hub, topics, behind=group_of(self._group))

    # ------------------------------------------------------------ all letters

    async def _replay(self, hold: Hold, topics: Sequence[str], chosen: set[str]) -> None:
        finished = False
        while not finished and not self._has_ended():
            await hold.until_complete()
            try:
                finished = await self._pass(hold, topics, chosen)
            except LeaseLost as error:  # asleep for too long; what is known is old now
                self._note(str(error))

    async def _pass(self, hold: Hold, topics: Sequence[str], chosen: set[str]) -> bool:
        """Replay as long as what is known of the topics holds; True when nothing is left to do."""
        assignments = hold.assignments
        async with self._reader(topics) as reader:
            shelf = await scan(reader, self._group)
            await progress(hold, shelf)  # in the last pass over the notes of the others
            todo = [record for record in shelf.waiting if record.id in chosen]
            todo = [record for record in todo if record.id not in self.report.became]
            for record in todo:
                await self._wait_for_its_turn()
                async with hold.busy:
                    if self._has_ended() or not hold.complete or hold.assignments != assignments:
                        return False
                    await self._one(reader, shelf, hold, record)
            return not todo

    def _has_ended(self) -> bool:
        return self._stopping.is_set() or bool(self.report.gave_up)

    async def _wait_for_its_turn(self) -> None:
        wait = self._next - monotonic()
        if wait > 0:
            await first_of(self._stopping.wait(), timeout=wait)
        self._next = max(self._next, monotonic()) + self._pace

    async def _one(self, reader: Reader, shelf: Shelf, hold: Hold, record: Waiting) -> None:
        became, why = await self._try(reader, record)
        if became in ("replayed", "failed_again"):
            await settle(self._hub, hold, shelf, [record], became)
        elif became == "gone":
            shelf.settle(record)
            await progress(hold, shelf)
        self.report.became[record.id] = (became, why)
        self._tell(record, became, why)
        self._in_a_row = self._in_a_row + 1 if became == "failed_again" else 0
        if self._max_failures and self._in_a_row >= self._max_failures:
            self.report.gave_up = f"{self._in_a_row} letters in a row failed again"

    # ------------------------------------------------------------ one letter

    async def _try(self, reader: Reader, record: Waiting) -> tuple[Became, str]:
        delivery = await load(reader, record)
        if delivery is None:
            return "gone", "retention has deleted it"
        stored = read_record(delivery)
        if not isinstance(stored, StoredLetter):
            return "stays", getattr(stored, "reason", "it is no letter")
        try:
            handlers = handlers_of(stored, self._hub)
        except Stays as stays:
            return "stays", str(stays)
        return await self._attempts.call(stored, handlers)
