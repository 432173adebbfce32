"""Several workers on one machine: started, started again when one dies, ended together.

Each member is a process of its own. The supervisor runs no handlers and imports no module of the
application, so that nothing of theirs can stop it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from random import Random
from time import monotonic
from typing import TYPE_CHECKING

from vectis.core.exceptions import ConfigError
from vectis.core.worker.member import CANNOT_START, Member
from vectis.core.worker.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectis.core.worker.leash import Leash

__all__ = ["supervise"]

logger = logging.getLogger("vectis.supervisor")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_RESTART = Retry(attempts=0, initial=0.2, longest=30.0)
_STEADY = 60.0  # seconds that a member has run, after which its earlier deaths are forgotten
_ECHO = 0.2  # seconds in which a second signal is the first one again, as in worker.process

# Seconds in which a member's end is not told yet: Ctrl-C ends an idle one before its own has
# reached the supervisor.
_HEARSAY = 0.1

# After the time to drain: members leave by themselves 4.5 s after it, and name what held them.
_OVERTIME = 4.8


def supervise(
    arguments: Sequence[Sequence[str]], shutdown_timeout: float, leash: Leash | None = None
) -> int:
    """Keep one worker for each of these command lines running until SIGTERM or SIGINT.

    The first signal lets all of them drain at the same time; a second one ends them at once. They
    end by themselves when this process is killed.

    Args:
        arguments: For each member, what `vectis consume` is to be called with.
        shutdown_timeout: Seconds that each of them takes to drain, at most.
        leash: Ends everything, as a signal does, when this process's own parent is gone.

    Returns:
        0 when everything begun was finished and committed, 1 when a member left something
        unfinished, 2 when one could not start, 128 and the signal's number after a second one.

    Raises:
        ConfigError: The platform has no way to hold processes together.
    """
    if sys.platform == "win32":
        raise ConfigError(
            "--processes needs a POSIX system: start each worker by itself, they share the group"
        )
    return asyncio.run(_Supervisor(arguments, shutdown_timeout).run(leash))


class _Supervisor:
    def __init__(self, arguments: Sequence[Sequence[str]], shutdown_timeout: float) -> None:
        self._members = [Member(number, given) for number, given in enumerate(arguments, 1)]
        self._longest = shutdown_timeout + _OVERTIME
        self._stopping = asyncio.Event()
        self._leaving = asyncio.Event()
        self._ended_once = asyncio.Event()
        self._since = 0.0
        self._code = 0
        self._random = Random()

    async def run(self, leash: Leash | None) -> int:
        loop = asyncio.get_running_loop()

        def signalled(number: int, frame: object) -> None:
            loop.call_soon_threadsafe(self._signalled, signal.Signals(number))

        for number in _SIGNALS:
            signal.signal(number, signalled)
        heeding = None if leash is None else asyncio.create_task(self._heed(leash))
        tasks: list[asyncio.Task[None]] = []
        try:
            tasks = await self._start()
            await self._stopping.wait()
            await self._drain(tasks)
        finally:
            if heeding is not None:
                heeding.cancel()
            for member in self._members:
                member.kill()
        await asyncio.gather(*tasks)
        for number in _SIGNALS:
            # From here on one more would only change the exit code: Python puts the defaults back
            # when it ends, but leaves what is ignored.
            signal.signal(number, signal.SIG_IGN)
        return self._code or self._verdict()

    # ------------------------------------------------------------ life

    async def _start(self) -> list[asyncio.Task[None]]:
        """Start one member, and the others when it runs: what is wrong with all is said once."""
        first, *others = self._members
        tasks = [self._task(first)]
        await _either(first.has_run, self._stopping)
        if not self._stopping.is_set():
            tasks += [self._task(member) for member in others]
        return tasks

    def _task(self, member: Member) -> asyncio.Task[None]:
        task = asyncio.create_task(self._keep(member))
        # It ends before that only because of a mistake in here, which must not go unnoticed.
        task.add_done_callback(lambda _: self._stopping.set())
        return task

    async def _keep(self, member: Member) -> None:
        """Keep a member running until everything stops."""
        deaths = 0
        while not self._stopping.is_set():
            began = monotonic()
            await member.live()
            if await self._stopped_within(_HEARSAY):
                return
            if member.code == CANNOT_START and not any(m.has_run.is_set() for m in self._members):
                # It has said why. Where others have started, what keeps it from that will pass.
                self._code = CANNOT_START
                self._stop(f"{member} could not start")
                return
            self._ended_once.set()
            deaths = 1 if monotonic() - began > _STEADY else deaths + 1
            wait = _RESTART.wait(deaths, self._random)
            logger.log(
                logging.ERROR if member.code else logging.WARNING,
                "%s %s%s; starting it again in %.1f s",
                member,
                member.ending,
                f", {deaths} times in a row" if deaths > 1 else "",
                wait,
            )
            if await self._stopped_within(wait):
                return

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._stopping.wait()
        except TimeoutError:
            return False

    # ------------------------------------------------------------ the end

    def _signalled(self, number: signal.Signals) -> None:
        if not self._stopping.is_set():
            self._since = monotonic()
            self._stop(number.name, "; once more leaves at once")
        elif monotonic() - self._since > _ECHO:
            self._code = 128 + number
            self._leaving.set()

    async def _heed(self, leash: Leash) -> None:
        """Heed the leash once a member runs or has ended: until then one may yet say what is wrong.

        Members that are released before they have begun leave without a word.
        """
        await _either(self._members[0].has_run, self._ended_once)
        loop = asyncio.get_running_loop()
        leash.heed(lambda: loop.call_soon_threadsafe(self._let_go, leash.end))

    def _let_go(self, why: str) -> None:
        if not self._stopping.is_set():
            self._stop(why)

    def _stop(self, why: str, hint: str = "") -> None:
        logger.info("%s: stopping %s%s", why, _counted(self._members), hint)
        self._stopping.set()

    async def _drain(self, tasks: list[asyncio.Task[None]]) -> None:
        """Let all members finish what they have in hand, in the same stretch of time."""
        for member in self._members:
            member.release()
        ended = asyncio.gather(*tasks)
        leaving = asyncio.create_task(self._leaving.wait())
        await asyncio.wait(
            (ended, leaving), timeout=self._longest, return_when=asyncio.FIRST_COMPLETED
        )
        leaving.cancel()
        late = [member for member in self._members if member.alive]
        if self._leaving.is_set():
            logger.warning("left at once; what is not committed comes again")
        elif late:
            logger.error("%s did not end in time and is killed", ", ".join(map(str, late)))

    def _verdict(self) -> int:
        bad = [member for member in self._members if not member.clean]
        for member in bad:
            logger.error("%s %s; what it did not commit comes again", member, member.ending)
        if not bad:
            logger.info("%s stopped", _counted(self._members))
        return 1 if bad else 0


async def _either(*events: asyncio.Event) -> None:
    """Wait for the first of several events."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()


def _counted(members: Sequence[Member]) -> str:
    return f"{len(members)} {'member' if len(members) == 1 else 'members'}"
