"""A folder in which real workers run: a config, modules of handlers, a SQLite file."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from vectis.core import Hub
from vectis.core.message import Message
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vectis.core.message import Receipt

__all__ = ["NEEDS_UVLOOP", "ORDERS", "Place", "Started", "refused"]

DEADLINE = 45.0

NEEDS_UVLOOP = pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not for Windows")

CONFIG = """
[plugins]
enable = ["acme", "bus", "redpanda", "sqlite"]

[sqlite]
path = "events.db"
lease = 5.0
busy_timeout = 0.3

[topics]
"vectis.orders" = ["order.created"]
"vectis.inventory" = ["inventory.adjusted"]

[consumer]
group = "shop"
retry_initial = 0.01
retry_max = 0.05
commit_interval = 0.01
"""

# Every handler module writes what it handled to a file; one write is one line, whole or not at all.
RECORD = """
import asyncio, os, pathlib, time
from vectis.core.events.consumer import on_event

_log = os.open("handled.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

def record(*words):
    os.write(_log, (" ".join(map(str, words)) + "\\n").encode())
"""


class Place:
    """A folder with a config, a module of handlers, and the workers that run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[Started] = []
        self.config()

    def config(self, *, lease: float | None = None, **consumer: Any) -> None:
        """Write the config, with other values under `[consumer]`.

        The lease is long: a machine that stalls must not take partitions from the living. A short
        one is for tests in which a worker dies and another one takes its partitions.
        """
        kept = [line for line in CONFIG.splitlines() if line.partition(" ")[0] not in consumer]
        changed = [f"{key} = {value}" for key, value in consumer.items()]
        text = "\n".join([*kept, *changed])
        if lease is not None:
            text = text.replace("lease = 5.0", f"lease = {lease}")
        (self.folder / "vectis.toml").write_text(text)

    def module(self, source: str, name: str = "shop_handlers") -> None:
        (self.folder / f"{name}.py").write_text(RECORD + dedent(source))

    def environment(self) -> dict[str, str]:
        """The environment of workers: no settings of ours, and distributions in `site`."""
        kept = {name: v for name, v in os.environ.items() if not name.startswith("VECTIS_")}
        path = [str(self.folder / "site"), *filter(None, [kept.get("PYTHONPATH")])]
        return {**kept, "PYTHONPATH": os.pathsep.join(path)}

    def start(
        self, *arguments: str, python: tuple[str, ...] = (), stdin: int | None = None
    ) -> Started:
        """Start a worker; `python` stands before the module that the interpreter runs."""
        given = (*python, "-m", "vectis.core.events.consumer", *(arguments or ("shop_handlers",)))
        started = Started(self, len(self.workers), given, stdin)
        self.workers.append(started)
        return started

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a worker that is expected to end by itself."""
        return subprocess.run(
            [sys.executable, "-m", "vectis.core.events.consumer", *arguments],
            cwd=self.folder,
            env={**self.environment(), **environment},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def publish(
        self, *events: dict[str, Any], topic: str = "vectis.orders", type: str = "order.created"
    ) -> list[Receipt]:
        """Publish payloads from this process, each with its `key`."""
        hub = Hub({"sqlite": {"path": str(self.folder / "events.db")}})

        async def main() -> list[Receipt]:
            receipts = await hub.publish_many(
                topic,
                [
                    {"event_type": type, "payload": event, "key": str(event.get("key", "7"))}
                    for event in events
                ],
            )
            await hub.shutdown()
            assert receipts is not None
            return receipts

        return asyncio.run(main())

    def put(self, value: bytes, topic: str = "vectis.orders") -> None:
        """Write a message as some foreign producer would."""

        async def main() -> None:
            carrier = self.transport().carrier(topic)
            await carrier.send(Message(topic, b"7", value))
            assert carrier.close is not None
            await carrier.close()

        asyncio.run(main())

    def transport(self) -> SqliteTransport:
        return SqliteTransport(SqliteSettings(path=str(self.folder / "events.db")))

    def committed(self, topic: str = "vectis.orders") -> dict[int, int]:
        """What the group has committed, by partition."""
        for state in self.transport().describe_topics():
            if state.name == topic:
                return {
                    number: partition.committed["shop"]
                    for number, partition in enumerate(state.partitions)
                    if "shop" in partition.committed
                }
        return {}

    def handled(self) -> list[str]:
        """What the handlers wrote, line by line."""
        log = self.folder / "handled.log"
        return log.read_text().splitlines() if log.exists() else []

    def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Return as soon as the condition holds; fail when a worker has died or time is up."""
        end = time.monotonic() + DEADLINE
        while not condition():
            said = "\n".join(worker.said() for worker in self.workers)
            dead = [w for w in self.workers if not w.may_end and w.process.poll() is not None]
            assert not dead, f"a worker ended with {dead[0].process.returncode}:\n{said}"
            assert time.monotonic() < end, f"gave up waiting {what}:\n{said}"
            time.sleep(0.01)

    def until_handled(self, count: int) -> None:
        self.until(lambda: len(self.handled()) >= count, f"for {count} lines")


class Started:
    """One worker process, or one that supervises several."""

    def __init__(
        self, place: Place, number: int, arguments: tuple[str, ...], stdin: int | None
    ) -> None:
        self.place = place
        self._errors = place.folder / f"worker-{number}.err"
        self.may_end = False
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=place.folder,
                env=place.environment(),
                stdin=stdin,
                stdout=subprocess.PIPE,  # closed when no process of this worker is left
                stderr=errors,
                start_new_session=True,  # so that all of them can be ended together
            )

    def said(self) -> str:
        return self._errors.read_text()

    def until_said(self, text: str) -> None:
        self.place.until(lambda: text in self.said(), f"for {text!r}")

    def signal(self, number: signal.Signals) -> None:
        self.may_end = True
        self.process.send_signal(number)

    def end(self) -> int:
        """Return the exit code once it has ended."""
        return self.process.wait(DEADLINE)

    def until_nobody_is_left(self) -> None:
        """Return when every process that it has started is gone, too."""
        assert self.process.stdout is not None
        with self.process.stdout as output:
            assert output.read() == b""

    def clear(self) -> None:
        """End it and every process that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.end()

    @property
    def report(self) -> str:
        """Its last words: `3 handled, 0 skipped, ...`."""
        found = re.search(r"group shop stopped: (.*)", self.said())
        return found[1] if found else ""


ORDERS = """
@on_event("order.created")
async def handle_order_created(event_type: str, payload: dict) -> None:
    record(payload["n"])
"""


def refused(answer: subprocess.CompletedProcess[str], *words: str) -> None:
    assert answer.returncode == 2, answer.stderr
    assert "Traceback" not in answer.stderr
    for word in words:
        assert word in answer.stderr
