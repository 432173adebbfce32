"""A letter comes home after its handler was mended: real processes, a real file, real signals."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.core.cli_world import VECTIS, World
from vectis.core import Hub
from vectis.core.dead_letter import DeadLetter
from vectis.core.message import Delivery
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEADLINE = 60.0

CONFIG = """
[plugins]
enable = ["bus", "sqlite"]

[sqlite]
path = "events.db"
lease = 0.5

[topics]
"orders" = ["order.created"]

[consumer]
group = "shop"
modules = ["shop"]
max_attempts = 2
retry_initial = 0.01
commit_interval = 0.01
"""

# The ledger is a file to which one write is one line, whole or not at all.
HANDLERS = """
import asyncio, os, pathlib
from vectis.core.events.consumer import on_event

ledger = os.open("ledger", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

def note(*words):
    os.write(ledger, (" ".join(map(str, words)) + "\\n").encode())

@on_event("order.created")
async def sync(event_type, payload):
    n = payload["n"]
    FAULT
    note("synced", n)

@on_event("order.created")
async def count(event_type, payload):
    note("counted", payload["n"])
"""

FAILING = 'if n % 3 == 0: raise ValueError("three")'
WAITING = """
    note("began", n)
    while n == 3 and not pathlib.Path("go").exists():
        await asyncio.sleep(0.01)
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.config(CONFIG)
    return world


def handlers(world: World, fault: str) -> None:
    world.module("shop", HANDLERS.replace("    FAULT", f"    {fault.strip()}"))


def publish(world: World, *numbers: int) -> None:
    hub = Hub({"sqlite": {"path": str(world.here / "events.db")}})

    async def main() -> None:
        async with hub:
            for n in numbers:
                await hub.publish("orders", "order.created", {"n": n}, key=str(n))

    asyncio.run(main())


def put_letters(world: World, *numbers: int) -> None:
    """Write letters of one key, as a worker would have."""

    async def main() -> None:
        transport = SqliteTransport(SqliteSettings(path=str(world.here / "events.db")))
        for n in numbers:
            value = b'{"event_type": "order.created", "payload": {"n": %d}}' % n
            letter = DeadLetter(
                delivery=Delivery("orders", 0, n, b"7", value),
                group="shop",
                handler="app:sync",
                plugin="app",
                error="ValueError: three",
                attempts=2,
            )
            await transport.carrier("orders.dlq").send(letter.message())
        await transport.close()

    asyncio.run(main())


def ledger(world: World) -> list[str]:
    path = world.here / "ledger"
    return path.read_text().splitlines() if path.exists() else []


def records(world: World, topic: str) -> int:
    transport = SqliteTransport(SqliteSettings(path=str(world.here / "events.db")))
    return sum(state.records for state in transport.describe_topics() if state.name == topic)


def start(world: World, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [VECTIS, *arguments],
        cwd=world.here,
        env=world.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def end(process: subprocess.Popen[bytes], number: int) -> tuple[int, str]:
    """Send a signal, and return the exit code with what was written."""
    process.send_signal(number)
    out, err = process.communicate(timeout=DEADLINE)
    return process.returncode, (out + err).decode()


def waiting(world: World) -> list[str]:
    return [one["id"] for one in world.vectis("dlq", "list", "--json").json["waiting"]]


def test_a_letter_comes_home_after_its_handler_was_mended(world: World) -> None:
    handlers(world, FAILING)
    publish(world, 1, 2, 3, 4, 5, 6)
    worker = start(world, "consume")
    try:
        until(lambda: len(ledger(world)) == 10 and records(world, "orders.dlq") == 2, worker)
        assert len(waiting(world)) == 2
        handlers(world, "")  # mended, while the worker goes on with what it has imported
        answer = world.vectis("dlq", "replay")
        assert answer.code == 0, answer
        assert "2 replayed" in answer.out
        assert waiting(world) == []
        publish(world, 7)
        until(lambda: "synced 7" in ledger(world) and "counted 7" in ledger(world), worker)
        code, said = end(worker, signal.SIGTERM)
        assert code == 0, said
    finally:
        worker.kill()
        worker.communicate()
    everything = [f"{what} {n}" for what in ("synced", "counted") for n in range(1, 8)]
    assert Counter(ledger(world)) == Counter(everything), "each once, for each handler"
    assert records(world, "orders") == 7, "nothing was published to the original topic"


def test_a_replay_that_was_killed_goes_on_and_loses_nothing(world: World) -> None:
    handlers(world, WAITING)
    put_letters(world, 1, 2, 3, 4, 5)
    replay = start(world, "dlq", "replay", "--rate", "0")
    try:
        until(lambda: "began 3" in ledger(world), replay)
    finally:
        replay.kill()
        replay.communicate()
    assert len(waiting(world)) == 3
    (world.here / "go").touch()
    answer = world.vectis("dlq", "replay", "--rate", "0")
    assert answer.code == 0, answer
    assert "3 replayed" in answer.out
    assert waiting(world) == []
    assert Counter(ledger(world)) == Counter(
        {**{f"synced {n}": 1 for n in range(1, 6)}, **{f"began {n}": 1 for n in range(1, 6)}}
    ) + Counter(["began 3"])


def test_a_signal_ends_it_with_the_letter_in_hand(world: World) -> None:
    handlers(world, WAITING)
    put_letters(world, 1, 2, 3, 4, 5)
    replay = start(world, "dlq", "replay", "--rate", "0")
    try:
        until(lambda: "began 3" in ledger(world), replay)
        replay.send_signal(signal.SIGTERM)
        assert replay.stderr is not None
        while b"finishing the letter in hand" not in (said := replay.stderr.readline()):
            assert said, "it ended without a word"
        (world.here / "go").touch()
        out, _ = replay.communicate(timeout=DEADLINE)
        assert replay.returncode == 0
        assert b"3 replayed, 2 not begun" in out
    finally:
        replay.kill()
        replay.communicate()
    assert len(waiting(world)) == 2
    assert [line for line in ledger(world) if line.startswith("synced")] == [
        "synced 1",
        "synced 2",
        "synced 3",
    ]
