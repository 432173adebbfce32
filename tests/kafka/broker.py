"""A real broker as a process: started, stopped, killed, paused and restarted on the same data."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack, contextmanager
from subprocess import TimeoutExpired, run
from typing import TYPE_CHECKING

from tests.kafka.jars import java
from tests.kafka.leash import Leashed
from tests.kafka.node import PLAIN, nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.kafka.node import Listener, Node

__all__ = ["Broker", "NotStarted", "brokers"]

CLUSTER = "dmVjdGlzLW9uLWthZmthIQ"  # an id has to be 16 bytes in base64
PATIENCE = 60.0  # seconds for a start or an end, on a busy machine
TRIES = 5  # with other ports each
STARTED = b"Kafka Server started"  # said when a broker takes requests, and not before
TAKEN = b"Address already in use"
SHOWN = 4_000  # characters of the log, for whoever has to find out what was wrong

JAVA = (
    "-Xmx512m",
    # What starts fastest, and leaves the other core to the tests.
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)


class NotStarted(Exception):
    """A broker did not start; the text has the end of its log."""


class PortTaken(NotStarted):
    """Somebody else listens on one of its ports."""


class Broker:
    """One node of Kafka, formatted anew in an empty folder.

    Args:
        node: What it is told.
        folder: Where its records and its log are.
        jars: The folder of Kafka's jars.
        passwords: Of users that identify themselves by SCRAM.
        options: More options of Java's.
    """

    def __init__(
        self,
        node: Node,
        folder: Path,
        jars: Path,
        passwords: Mapping[str, str] | None = None,
        *,
        options: Sequence[str] = (),
    ) -> None:
        self.node = node
        self.log = folder / "broker.log"
        self._folder = folder
        self._java = [java(), *JAVA, *options, "-cp", f"{jars}/*"]
        self._process: Leashed | None = None
        self._start = 0  # where in the log this life of it begins
        folder.mkdir(parents=True)
        (folder / "server.properties").write_text(node.properties(folder / "data"))
        self._format(passwords or {})

    @property
    def servers(self) -> str:
        """The bootstrap servers of the plain listener."""
        return self.node.address(PLAIN.name)

    @property
    def pid(self) -> int:
        """The process; it must have been started."""
        assert self._process is not None, "it runs"
        return self._process.popen.pid

    def begin(self) -> None:
        """Start it without waiting until it is ready."""
        assert self._process is None, "it does not run yet"
        with self.log.open("ab") as log:
            self._start = log.tell()
            command = [*self._java, "kafka.Kafka", "server.properties"]
            self._process = Leashed(command, self._folder, log)

    def until_ready(self) -> None:
        """Return when it takes requests; raise `NotStarted` when it ends instead."""
        assert self._process is not None, "it was begun"
        end = time.monotonic() + PATIENCE
        while STARTED not in self._said():
            code = self._process.popen.poll()
            if code is not None or time.monotonic() > end:
                self.kill()
                what = "is not ready" if code is None else f"ended with {code}"
                error = PortTaken if TAKEN in self._said() else NotStarted
                raise error(f"node {self.node.id} {what}:\n{self.said()}")
            time.sleep(0.02)

    def start(self) -> None:
        """Start it, also again on what it has kept; it has the same port."""
        self.begin()
        self.until_ready()

    def stop(self) -> None:
        """End it in order, with SIGTERM."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop it in its tracks with SIGSTOP: connections stay open, and nobody answers."""
        assert self._process is not None, "it runs"
        self._process.popen.send_signal(signal.SIGSTOP)
        # Its threads stop one after another, and until the last one has it may still answer.
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "it ran"

    def resume(self) -> None:
        """Let it go on after `pause`."""
        assert self._process is not None, "it runs"
        self._process.popen.send_signal(signal.SIGCONT)

    def restore(self) -> None:
        """Have it run and answer, whatever was done to it."""
        if self._process is None:
            self.start()
        else:
            self.resume()

    def said(self) -> str:
        """Return the end of its log."""
        return self._said().decode(errors="replace")[-SHOWN:]

    def _said(self) -> bytes:
        with self.log.open("rb") as log:
            log.seek(self._start)
            return log.read()

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.popen.send_signal(signal.SIGCONT)  # a paused one hears nothing else but SIGKILL
        process.popen.send_signal(number)
        try:
            process.wait(PATIENCE)
        except TimeoutExpired:
            process.popen.kill()
            process.wait(PATIENCE)
            raise

    def _format(self, passwords: Mapping[str, str]) -> None:
        scram = [
            word
            for name, password in passwords.items()
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for word in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
        ]
        tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", "server.properties"]
        done = run(
            [*self._java, *tool, *scram],
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise NotStarted(f"formatting: {done.stdout}{done.stderr}"[:SHOWN])


@contextmanager
def brokers(
    folder: Path,
    jars: Path,
    *,
    count: int = 1,
    listeners: Sequence[Listener] = (PLAIN,),
    settings: Mapping[str, str] | None = None,
    passwords: Mapping[str, str] | None = None,
) -> Iterator[list[Broker]]:
    """Start the nodes of a cluster, and end them afterwards.

    Args:
        folder: Where their folders are made.
        jars: The folder of Kafka's jars.
        count: How many nodes.
        listeners: Of each of them.
        settings: Kafka's settings that differ from ours.
        passwords: Of users that identify themselves by SCRAM.
    """
    from tests.kafka.classes import options  # which starts a broker itself, to be made from

    for attempt in range(1, TRIES + 1):
        with ExitStack() as ending:
            started = []
            for node in nodes(count, listeners, settings or {}):
                place = folder / f"attempt-{attempt}" / f"node-{node.id}"
                started.append(Broker(node, place, jars, passwords, options=options(jars)))
                ending.callback(started[-1].kill)
            try:
                for broker in started:
                    broker.begin()  # all of them: none is ready without a quorum
                for broker in started:
                    broker.until_ready()
            except PortTaken:
                if attempt < TRIES:
                    continue  # somebody was quicker; the next ones are other ports
                raise
            yield started
            return
