"""Child processes that cannot outlive this one, whatever ends it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Leashed"]

# Reads a line that only `released` writes. When this process ends, be it by SIGKILL, the kernel
# closes its end instead, and the child is killed; one that was stopped by SIGSTOP as well.
HOLD = 'read -r released || kill -KILL "$0"'


class Leashed:
    """A process on a leash.

    Args:
        command: What to run.
        folder: Where it runs.
        output: What both of its outputs are written to.
    """

    def __init__(self, command: list[str], folder: Path, output: BinaryIO) -> None:
        self.popen = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a Ctrl-C is for the tests, which end it in order
        )
        self._leash = subprocess.Popen(
            ["sh", "-c", HOLD, str(self.popen.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def wait(self, patience: float) -> int:
        """Return its exit code when it has ended; raise `TimeoutExpired` when it does not."""
        code = self.popen.wait(patience)
        self._leash.communicate(b"released\n")
        return code
