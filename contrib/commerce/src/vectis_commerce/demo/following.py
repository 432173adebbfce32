"""Between start and end: sending goes on, the ledger fills in another process, workers are killed.

It decides when a worker is killed, and when nothing moves any more.
"""

from __future__ import annotations

import asyncio
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Protocol

from vectis_commerce.demo import ledger
from vectis_commerce.demo.report import Kill

if TYPE_CHECKING:
    from vectis_commerce.demo.commits import Commits
    from vectis_commerce.demo.folder import Folder
    from vectis_commerce.demo.producer import Producer
    from vectis_commerce.demo.run import Plan
    from vectis_commerce.demo.worker import WorkerProcess

__all__ = ["Following", "Stalled", "Watcher"]

_LOOK_EVERY = 0.02  # seconds between looks into the ledger
_PATIENCE = 30.0  # seconds without any progress until it counts as stuck
_KILL_AT = (0.3, 0.45, 0.6, 0.7, 0.8, 0.9)  # parts of all messages; later ones only when needed
_UNCOMMITTED = 20  # entries at least that have to come again when the worker is killed
_SURELY_AT = 0.6  # by then one is killed, whether anything comes again or not
_FEWEST = 200  # entries; before that there is nothing to aim at
_OF_OTHERS = 100  # entries that may be uncommitted because another worker made them


class Stalled(Exception):
    """Nothing happened for too long; the message says what was awaited."""


class Watcher(Protocol):
    """Whoever shows what is going on."""

    def progress(self, *, done: int, published: int, entered: int) -> None:
        """Orders that are through, messages published, and entries in the ledger, so far."""

    def say(self, text: str) -> None:
        """Something happened that is worth a line."""


class Following:
    """Sends, and watches the ledger fill, in another process, until everything is there.

    Args:
        plan: What is to be done.
        folder: Where the ledger is.
        producer: Sends.
        worker: Fills the ledger.
        watcher: Is told how it gets on.
        commits: Know how far the worker has committed.

    Attributes:
        kills: The state in which a worker was killed, each time.
        sent_after: Seconds until everything was sent.
        arrived_after: Seconds until everything had arrived.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Folder,
        producer: Producer,
        worker: WorkerProcess,
        watcher: Watcher,
        commits: Commits,
    ) -> None:
        self._ledger = folder.ledger
        self._producer = producer
        self._worker = worker
        self._watcher = watcher
        self._commits = commits
        self._handover = plan.transport.handover
        lines = sum(len(order.lines) for order in plan.file.orders)
        most = lines + 3 * len(plan.file.orders)
        self._processes = plan.processes
        self._uncommitted = _UNCOMMITTED + _OF_OTHERS * (plan.processes - 1)
        self._kill_at = [int(most * part) for part in _KILL_AT] if plan.kill_worker else []
        self._surely_at = max(int(most * _SURELY_AT), _FEWEST)
        self._entered = 0
        self._redeliveries = 0
        self._redeliveries_before = 0  # the last kill: some may come of members that join
        self._moved = monotonic()
        self.kills: list[Kill] = []
        self.sent_after = 0.0
        self.arrived_after = 0.0

    async def until_everything_arrived(self) -> None:
        """Start the worker, send, and return when all that was sent is in the ledger.

        Raises:
            Stalled: Nothing happened for too long.
            WorkerDied: The worker ended by itself.
            VectisError: Something could not be sent.
        """
        await self._worker.start()
        if self._kill_at:
            await self._commits.count(())  # connects; once work is under way that takes too long
        started = perf_counter()
        sending = asyncio.create_task(self._producer.run())
        sending.add_done_callback(lambda _: self._note_sent(started))
        try:
            while not self._everything_arrived(sending):
                await self._kill_when_due()
                self._complain_when_stuck()
                await asyncio.sleep(_LOOK_EVERY)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        if self._kill_at and not self.kills:
            self._watcher.say("the worker was done before it could be killed: give it more orders")
        self.arrived_after = perf_counter() - started

    def _note_sent(self, started: float) -> None:
        self.sent_after = perf_counter() - started

    def _everything_arrived(self, sending: asyncio.Task[None]) -> bool:
        if sending.done():
            sending.result()  # raises what stopped it
        self._worker.check()
        before = (self._entered, self._redeliveries, self._producer.published)
        self._entered, self._redeliveries = ledger.count(self._ledger)
        producer = self._producer
        if before != (self._entered, self._redeliveries, producer.published):
            self._moved = monotonic()
        self._watcher.progress(
            done=producer.done, published=producer.published, entered=self._entered
        )
        return sending.done() and self._entered >= producer.published

    async def _kill_when_due(self) -> None:
        if not self._kill_at or self._entered < self._kill_at[0]:
            return
        if self.kills and self._redeliveries > self._redeliveries_before:
            return  # it has shown what it was to show
        partitions = self._producer.partitions
        if self._worker.assigned() < min(self._processes, len(partitions)):
            return  # while members join, they finish and commit what they have: nothing to see
        # After a commit and before the next: what was committed stays, what was not comes again.
        state = await self._state()
        before = self.kills[-1].committed if self.kills else 0
        # A slow machine commits before that much has gathered: the first kill does without.
        wanted = 0 if not self.kills and state.entered >= self._surely_at else self._uncommitted
        if state.committed <= before or state.entered - state.committed < wanted:
            return
        victim = await self._worker.kill_one()
        state = await self._state(victim)
        self.kills.append(state)
        self._kill_at = [at for at in self._kill_at if at > state.entered]
        self._redeliveries_before = self._redeliveries
        self._watcher.say(
            f"killed {victim} (SIGKILL) at {state.entered:,} entries, with {state.committed:,} "
            "messages committed"
        )
        if self._handover:
            self._watcher.say(
                f"the broker waits {self._handover:g} s for it, then others get its partitions"
            )
        successor = await self._worker.replace()
        if successor:
            self._watcher.say(successor)

    async def _state(self, victim: str = "nobody") -> Kill:
        entered, _ = ledger.count(self._ledger)  # first: it is not to look like more than it is
        committed = await self._commits.count(self._producer.partitions)
        return Kill(entered, committed, victim)

    def _complain_when_stuck(self) -> None:
        if monotonic() - self._moved < _PATIENCE:
            return
        sent = self._producer
        raise Stalled(
            f"nothing moved for {_PATIENCE:g} s: {sent.published:,} messages are published, and "
            f"{self._entered:,} of them are in the ledger. The worker is running, and last said:\n"
            f"{self._worker.last_lines()}"
        )
