"""The trace of a process: what it did, one line a write, so that a SIGKILL loses nothing before it.

Every process writes a file of its own; `steps_of` reads all of a folder in the order of time.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import attrs
import orjson

from tests.faults.steps import Step

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Sent", "Trace", "sent_in", "steps_of"]

WORKER = "FAULT_WORKER"
"""The variable that tells a process what it is called; without it, it is no part of a scenario."""


@attrs.frozen
class Sent:
    """One message on its way to the transport, or its acknowledgement."""

    what: str  # sending, acknowledged
    topic: str
    key: str | None
    id: str


class Trace:
    """Appends to the trace of this process.

    Args:
        folder: Where the traces are.
        worker: What the process is called.
    """

    def __init__(self, folder: Path, worker: str) -> None:
        self.worker = worker
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY
        self._file = os.open(folder / f"{worker}.trace", flags)

    @staticmethod
    def gone(folder: Path, worker: str) -> None:
        """Write that another process has ended, beside what it wrote itself."""
        line = orjson.dumps(("gone", time.monotonic(), worker))
        (folder / f"{worker}.gone.trace").write_bytes(line + b"\n")

    def step(self, what: str, *where: Any, at: float | None = None) -> None:
        """Write a step: the fields of `Step` after the worker, in their order."""
        self._write((what, time.monotonic() if at is None else at, self.worker, *where))

    def sent(self, what: str, topic: str, key: str | None, id: str) -> None:
        """Write that a message was sent or acknowledged."""
        self._write((what, topic, key, id))

    def _write(self, words: tuple[Any, ...]) -> None:
        os.write(self._file, orjson.dumps(words, option=orjson.OPT_APPEND_NEWLINE))


def steps_of(folder: Path) -> list[Step]:
    """Return what all workers did, in the order of time."""
    steps = [
        Step(*words)
        for file in sorted(folder.glob("*.trace"))
        for words in _lines(file)
        if words[0] not in ("sending", "acknowledged")
    ]
    return sorted(steps, key=lambda step: step.at)


def sent_in(folder: Path) -> list[Sent]:
    """Return what was sent, process by process in the order of their names."""
    return [
        Sent(*words)
        for file in sorted(folder.glob("*.trace"))
        for words in _lines(file)
        if words[0] in ("sending", "acknowledged")
    ]


def _lines(file: Path) -> list[list[Any]]:
    whole, _, _ = file.read_bytes().rpartition(b"\n")  # a SIGKILL may tear the last line
    return [orjson.loads(line) for line in whole.splitlines()]
