"""Several workers of the demo: `--processes` with its supervisor, whose log tells of them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from itertools import cycle
from typing import TYPE_CHECKING, Any

from vectis_commerce.demo.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectis_commerce.demo.folder import Folder
    from vectis_commerce.demo.transport import Transport

__all__ = ["Workers"]

_PATIENCE = 30.0  # seconds for the supervisor to do what is waited for
_END_WITHIN = 5.0  # seconds for the members to end when nobody wants their work any more
_LOOK_EVERY = 0.02  # seconds between looks into the log


class Workers(WorkerProcess):
    """Starts the supervisor, kills one of its members after the other, and ends all.

    Args:
        folder: Where they work.
        transport: What they consume from.
        count: How many members.
    """

    def __init__(self, folder: Folder, transport: Transport, count: int) -> None:
        super().__init__(folder, transport, "--processes", str(count))
        self._count = count
        self._victims = cycle(range(1, count + 1))
        self._killed = (0, 0)

    async def start(self) -> None:
        """Start them, and return when all of them consume."""
        await super().start()
        everybody = set(range(1, self._count + 1))
        await self._until(lambda: self._consuming() == everybody, "start to consume")

    def assigned(self) -> int:
        """Return how many members hold partitions, or did before others joined."""
        told = r"^(?:\[(\d+)\] .* vectis\.worker: assigned |.* member (\d+) started as process )"
        holds = {int(held or begun): bool(held) for held, begun in _all(told, self.said())}
        return sum(holds.values())

    async def kill_one(self) -> str:
        """Kill a member with SIGKILL, another one each time, and return its name."""
        number = next(self._victims)
        pid = self._pids()[number]
        os.kill(pid, signal.SIGKILL)
        self._killed = number, pid
        death = f"member {number} (process {pid}) was killed by SIGKILL"
        await self._until(lambda: death in self.said(), f"note that {death}")
        return f"worker {number} of {self._count}"

    async def replace(self) -> str:
        """Wait for the supervisor to start it again."""
        number, pid = self._killed
        await self._until(lambda: self._pids()[number] != pid, f"start member {number} again")
        return f"the supervisor started worker {number} again, as process {self._pids()[number]}"

    async def end(self) -> None:
        """Make sure that all are gone: a supervisor that is killed would leave them to finish."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            try:
                async with asyncio.timeout(_END_WITHIN):
                    await self.process.wait()
            except TimeoutError:
                self.process.terminate()  # the second one leaves at once, with all members
                await self.process.wait()

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                while not condition():
                    self.check()
                    await asyncio.sleep(_LOOK_EVERY)
        except TimeoutError:
            raise self.died(f"did not {what} within {_PATIENCE:g} s") from None

    def _pids(self) -> dict[int, int]:
        """Return the process of each member, as it was told last."""
        told = _all(r"member (\d+) started as process (\d+)", self.said())
        return {int(number): int(pid) for number, pid in told}

    def _consuming(self) -> set[int]:
        return {int(number) for number in _all(r"^\[(\d+)\] .* consuming ", self.said())}


def _all(pattern: str, text: str) -> list[Any]:
    return re.findall(pattern, text, re.MULTILINE)
