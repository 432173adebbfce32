"""One member of a supervised group: a worker as a process, life after life.

Its standard input is one end of a pair of sockets. It says there that it runs; and when the
supervisor lets go of the other end, or is gone, it drains as after SIGTERM. That is not a signal,
because a signal may reach the whole process group as well, and the second one leaves at once.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from vectis.core.worker.leash import RUNS

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence

__all__ = ["CANNOT_START", "Member"]

logger = logging.getLogger("vectis.supervisor")

CANNOT_START = 2
"""The exit code of a worker whose command or config is wrong."""

# How a process ends by a signal to the whole group that comes before it heeds any.
_UNHEEDED = (-signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGINT)


class Member:
    """One worker process, and another one after it has died.

    Args:
        number: Its place in the group, from 1.
        arguments: What `vectis consume` is called with.

    Attributes:
        has_run: Set once it has consumed, in this life or an earlier one.
        code: How its last life ended: an exit code, a signal as a negative number, or None.
    """

    def __init__(self, number: int, arguments: Sequence[str]) -> None:
        self._number = number
        self._command = (
            sys.executable,
            # The options of this interpreter, such as -X, -W and -P; multiprocessing does the same.
            *subprocess._args_from_interpreter_flags(),  # type: ignore[attr-defined]
            "-m",
            "vectis.core.events.consumer",
            f"--member={number}",
            *arguments,
        )
        self._process: Process | None = None
        self._leash: asyncio.StreamWriter | None = None
        self._released = False
        self._runs = False
        self._unborn = ""
        self.has_run = asyncio.Event()
        self.code: int | None = None

    def __str__(self) -> str:
        if self._process is None:
            return f"member {self._number}"
        return f"member {self._number} (process {self._process.pid})"

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def clean(self) -> bool:
        """Whether it ended well, or had nothing in hand when it ended."""
        if self._process is None:
            return not self._unborn
        return self.code == 0 or (self.code in _UNHEEDED and not self._runs)

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        if self._unborn or self.code is None:
            return f"could not be started: {self._unborn}"
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        try:
            name = signal.Signals(-self.code).name
        except ValueError:
            name = f"signal {-self.code}"
        return f"was killed by {name}"

    async def live(self) -> None:
        """Start a process, and return when it has ended."""
        self._runs, self.code, self._unborn = False, None, ""
        ours, theirs = socket.socketpair()
        try:
            # A process group of its own: Ctrl-C is for the supervisor, which lets its members
            # finish. One that has only just begun would end amid an import, with a traceback.
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=theirs.fileno(), process_group=0
            )
        except OSError as error:
            ours.close()
            self._process, self._unborn = None, error.strerror or str(error)
            return
        finally:
            theirs.close()
        logger.info("member %d started as process %d", self._number, self._process.pid)
        told, self._leash = await asyncio.open_connection(sock=ours)
        if self._released:
            self._leash.close()
        listening = asyncio.create_task(self._listen(told))
        try:
            self.code = await self._process.wait()
        finally:
            listening.cancel()
            self._leash.close()

    def release(self) -> None:
        """Let it come to an end: it finishes what it has in hand, and a later life nothing."""
        self._released = True
        if self._leash is not None:
            self._leash.close()

    def kill(self) -> None:
        """End it with SIGKILL if it runs."""
        if self._process is not None and self.alive:
            self._process.kill()

    async def _listen(self, told: asyncio.StreamReader) -> None:
        try:
            said = (await told.readline()).decode().strip()
        except OSError:
            return  # it ended in the middle of a word
        if said == RUNS:
            self._runs = True
            self.has_run.set()
