"""The worker of the demo: `python -m vectis.core.events.consumer` as a process of its own."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from vectis_commerce.demo.transport import environment_of

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from vectis_commerce.demo.folder import Folder
    from vectis_commerce.demo.transport import Transport

__all__ = ["WorkerDied", "WorkerProcess"]

_END_WITHIN = 40.0  # seconds; the worker's own limit for draining is 25
_LAST_LINES = 15


class WorkerDied(Exception):
    """The worker ended when it should not have; the message has the end of its log."""


class WorkerProcess:
    """Starts, kills and ends the worker.

    Args:
        folder: Where it works.
        transport: What it consumes from.
        options: Further ones for it.
    """

    def __init__(self, folder: Folder, transport: Transport, *options: str) -> None:
        self.folder = folder
        self._transport = transport
        self._options = options
        self.process: Process | None = None

    async def start(self) -> None:
        """Start it; it reads on where the one before had committed."""
        with self.folder.worker_log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "vectis.core.events.consumer",
                "--stop-on-eof",  # we hold the other end: a SIGKILL leaves no time to say so
                *self._options,
                cwd=self.folder.path,
                env=environment_of(self._transport),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    def check(self) -> None:
        """Raise when it is not running any more.

        Raises:
            WorkerDied: It ended by itself.
        """
        if self.process is not None and self.process.returncode is not None:
            raise self.died(f"ended by itself with exit code {self.process.returncode}")

    def assigned(self) -> int:
        """Return how many workers hold partitions, as far as it matters to whom."""
        return 1

    async def kill_one(self) -> str:
        """Kill it with SIGKILL: it gets no chance to commit or to say goodbye. Return its name."""
        await self._kill()
        return "the worker"

    async def replace(self) -> str:
        """See to it that another goes on; return how, if that is worth a line."""
        await self.start()
        return ""

    async def _kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            await _ended(self.process)

    async def stop(self) -> None:
        """Ask it to finish what it began, and wait for its end.

        Raises:
            WorkerDied: It left something unfinished, or did not end in time.
        """
        process = self.process
        if process is None:
            return
        self.check()
        process.terminate()
        try:
            async with asyncio.timeout(_END_WITHIN):
                code = await _ended(process)
        except TimeoutError:
            raise self.died(f"did not end within {_END_WITHIN:g} s of SIGTERM") from None
        if code != 0:
            raise self.died(f"left work unfinished after SIGTERM, exit code {code}")

    async def end(self) -> None:
        """Make sure that it is gone, whatever happened before."""
        if self.process is not None and self.process.returncode is None:
            await self._kill()

    def died(self, how: str) -> WorkerDied:
        """Return what to raise, with the end of the log."""
        log = self.folder.worker_log
        return WorkerDied(f"the worker {how}; the end of {log}:\n{self.last_lines()}")

    def said(self) -> str:
        """Return its log."""
        return self.folder.worker_log.read_text(encoding="utf-8", errors="replace")

    def last_lines(self) -> str:
        """Return the end of what it said."""
        lines = self.said().splitlines()[-_LAST_LINES:]
        return "\n".join(f"  {line}" for line in lines) or "  (it said nothing)"


async def _ended(process: Process) -> int:
    """Wait for the end, and let go of the pipe that held the worker."""
    code = await process.wait()
    if process.stdin is not None:
        process.stdin.close()
    return code
