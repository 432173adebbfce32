"""What every scenario has: a folder with a config, the real processes that work in it, a history.

Where events are kept, a file or a broker, is for those that derive from it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from tests.faults.history import check
from tests.faults.steps import History, Publication, Record
from tests.faults.trace import WORKER, Trace, steps_of

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence

    from tests.faults.steps import Findings, Step

__all__ = ["GROUP", "TOPIC", "TYPE", "Process", "Stage"]

ROOT = Path(__file__).parent.parent.parent
GROUP = "shop"
TOPIC = "faults.work"
TYPE = "work.asked"
PATIENCE = 60.0  # seconds in which something has to move, on a busy machine

HANDLERS = """
import asyncio, os, pathlib, sys, time
from vectis.core.events.consumer import on_event

here = pathlib.Path.cwd()
"""


class Stage(ABC):
    """A folder, its config, and what was published into it.

    Args:
        folder: An empty one.
        tables: The config, by the names of its tables.
        bare: Variables of a worker that does without the recorder.
    """

    def __init__(
        self, folder: Path, tables: dict[str, dict[str, Any]], bare: dict[str, str]
    ) -> None:
        self._tables = tables
        self._bare = bare
        self.folder = folder
        self.processes: list[Process] = []
        self.published: list[Publication] = []
        self.configure()
        _install_recorder(folder / "site")

    def configure(self, **tables: dict[str, Any]) -> None:
        """Write the config, with other values in some tables."""
        lines = []
        for name, table in self._tables.items():
            lines.append(f"[{name}]")
            for key, value in {**table, **tables.get(name, {})}.items():
                lines.append(f'"{key}" = {value!r}')
        (self.folder / "vectis.toml").write_text("\n".join(lines), encoding="utf-8")

    def handlers(self, source: str, name: str = "work") -> None:
        """Write the module that workers import."""
        (self.folder / f"{name}.py").write_text(HANDLERS + dedent(source), encoding="utf-8")

    # ------------------------------------------------------------ processes

    def worker(self, module: str = "work", *options: str, bare: bool = False) -> Process:
        """Start a worker; a bare one without the recorder, and so without any hook."""
        changes = self._bare if bare else {}
        return self._start("worker", "vectis.core.events.consumer", module, *options, **changes)

    def publisher(self, file: Path) -> Process:
        """Start a publisher of the orders of a file."""
        return self._start("publisher", "tests.faults.publisher", str(file))

    def _start(self, kind: str, *arguments: str, **environment: str) -> Process:
        name = f"{kind}-{len(self.processes)}"
        process = Process(self.folder, name, arguments, environment)
        self.processes.append(process)
        return process

    def until(self, condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
        """Return when the condition holds; fail when a process has died or time is up."""
        end = time.monotonic() + patience
        while not condition():
            for process in self.processes:
                code = process.popen.poll()
                assert code is None or process.may_end or (code == 0 and process.ends), (
                    f"{process.name} ended with {code}: {process.said()}"
                )
            assert time.monotonic() < end, f"gave up waiting {what}: {self.said()}"
            time.sleep(0.005)

    def until_at_work(self, *workers: Process) -> None:
        """Return when each of these was assigned something; before that SIGTERM just ends it."""
        self.until(lambda: all("assigned " in w.said() for w in workers), "for their partitions")

    def said(self) -> str:
        """What the processes that run have said last."""
        running = [process for process in self.processes if process.popen.poll() is None]
        return "".join(f"\n{process.name}: {process.said()[-1500:]}" for process in running)

    @abstractmethod
    def log(self) -> list[Record]:
        """Everything that is kept but dead letters, read as any other group would."""

    def clear(self) -> None:
        """End whatever is left."""
        for process in self.processes:
            process.popen.kill()
            process.popen.wait()

    # ------------------------------------------------------------ the history

    def steps(self) -> list[Step]:
        """What the workers did so far."""
        return steps_of(self.folder)

    def did(self, what: str) -> list[str]:
        """The ids of the events that workers did this to, in the order of time."""
        return [step.id for step in self.steps() if step.what == what]

    def findings(
        self, publications: Sequence[Publication] | None = None, *, complete: bool = True
    ) -> Findings:
        """Check the history as it stands."""
        published = self.published if publications is None else publications
        findings = check(History(published, self.log(), self.steps(), complete))
        print(f"{self.folder.name}: {findings}")
        return findings


class Process:
    """One process of a scenario.

    Args:
        folder: Where it works.
        name: What it is called in the history.
        arguments: A module that Python runs, and its arguments.
        environment: Variables that it gets beside ours.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        arguments: tuple[str, ...],
        environment: dict[str, str],
    ) -> None:
        self.name = name
        self.may_end = False
        self.ends = name.startswith("publisher")
        self._folder = folder
        self._output = folder / f"{name}.log"
        # Without the coverage of this run: it would slow down what ends with SIGKILL anyway, and
        # other tests run the same code.
        unwanted = ("COVERAGE", "VECTIS_")
        kept = {name: v for name, v in os.environ.items() if not name.startswith(unwanted)}
        path = [str(folder / "site"), str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
        with self._output.open("wb") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=folder,
                env={**kept, "PYTHONPATH": os.pathsep.join(path), WORKER: name, **environment},
                stdout=output,
                stderr=output,
            )

    def said(self) -> str:
        """What it wrote to its terminal."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal that it survives."""
        self.popen.send_signal(number)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.may_end = True
        self.popen.kill()
        self.end()

    def stop(self) -> int:
        """End it with SIGTERM, and return its exit code."""
        self.may_end = True
        self.popen.terminate()
        return self.end()

    def end(self) -> int:
        """Wait for its end, and return its exit code."""
        code = self.popen.wait(PATIENCE)
        Trace.gone(self._folder, self.name)
        return code

    def resident(self) -> float:
        """Return how much memory it holds, in MB."""
        status = Path(f"/proc/{self.popen.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024


def _install_recorder(site: Path) -> None:
    """Make the recorder a plugin of the workers: an entry point is all that it takes."""
    installed = site / "fault_recorder-1.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: fault-recorder\nVersion: 1\n")
    entry = "[vectis.plugins]\nrecorder = tests.faults.recorder\n"
    (installed / "entry_points.txt").write_text(entry)
