"""`vectis tail`: what arrives on topics, live and without a trace."""

from __future__ import annotations

import asyncio
import json
import select
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, contextmanager
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests.core.cli_world import VECTIS, World
from vectis.core.message import Message
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE = 60.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.config('[sqlite]\npath = "events.db"\npartitions = 1\n')
    return world


def put(world: World, *messages: Message) -> None:
    """Write messages as some foreign producer would."""

    async def main() -> None:
        path = str(world.here / "events.db")
        transport = SqliteTransport(SqliteSettings(path=path, partitions=1))
        for message in messages:
            await transport.carrier(message.topic).send(message)
        await transport.close()

    asyncio.run(main())


def event(number: int, *, key: str = "7", type: str = "order.created") -> Message:
    value = json.dumps({"event_type": type, "payload": {"n": number}}).encode()
    return Message("orders", key.encode(), value)


@contextmanager
def tailing(world: World, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [VECTIS, "tail", *arguments],
        cwd=world.here,
        env=world.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(stream: IO[bytes] | None) -> str:
    assert stream is not None
    ready, _, _ = select.select([stream], [], [], DEADLINE)
    assert ready, "nothing was written"
    return stream.readline().decode()


def next_record(world: World, process: subprocess.Popen[bytes]) -> Any:
    """Publish until the command shows a record: it says nothing when it begins to listen."""
    deadline = time.monotonic() + DEADLINE
    number = 100
    assert process.stdout is not None
    while time.monotonic() < deadline:
        put(world, event(number))
        number += 1
        if select.select([process.stdout], [], [], 0.2)[0]:
            return json.loads(process.stdout.readline())
    raise AssertionError("nothing was shown")


def test_it_shows_what_arrives_and_ends_with_ctrl_c(world: World) -> None:
    put(world, event(1), event(2))
    with tailing(world, "orders", "--json") as process:
        first = next_record(world, process)
        assert first["payload"]["n"] >= 100, "what was there before is left out"
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    with closing(sqlite3.connect(world.here / "events.db")) as connection:
        assert connection.execute("SELECT * FROM groups").fetchall() == []


def test_a_topic_that_does_not_exist_yet_is_named_and_waited_for(world: World) -> None:
    with tailing(world, "orders", "--limit", "1") as process:
        assert line_of(process.stderr) == "not there yet, waiting for it: orders\n"
        put(world, event(1))
        assert process.wait(DEADLINE) == 0
        assert 'order.created  key 7  {"n":1}' in line_of(process.stdout)


def test_a_line_tells_when_where_what_and_the_key(world: World) -> None:
    put(world, event(1))
    answer = world.vectis("tail", "orders", "--from-beginning", "--limit", "1")
    assert (answer.code, answer.err) == (0, "")
    when, rest = answer.out.split("  ", 1)
    assert when.startswith("20")
    assert when.endswith("Z")
    assert rest == 'orders/0@0  order.created  key 7  {"n":1}\n'


def test_json_has_everything(world: World) -> None:
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"e-1"),
        ("ce_source", b"shop"),
        ("ce_type", b"order.created"),
        ("trace", b"1"),
        ("trace", b"\xff"),
    )
    put(world, Message("orders", b"\xff", b'{"n": 1}', headers))
    answer = world.vectis("tail", "orders", "--from-beginning", "--limit", "1", "--json")
    record = answer.json
    assert record.pop("timestamp").startswith("20")
    assert record.pop("time").startswith("20")
    assert record == {
        "topic": "orders",
        "partition": 0,
        "offset": 0,
        "key": None,
        "key_base64": "/w==",
        "headers": [[name, value.decode("utf-8", "backslashreplace")] for name, value in headers],
        "type": "order.created",
        "id": "e-1",
        "source": "shop",
        "user_id": None,
        "correlation_id": "e-1",
        "causation_id": None,
        "payload": {"n": 1},
    }


def test_what_cannot_be_decoded_is_shown_with_the_reason(world: World) -> None:
    put(world, Message("orders", None, b"\x1b[2J\xff{"), Message("orders", b"7", None))
    text = world.vectis("tail", "orders", "--from-beginning", "--limit", "2").out
    assert text.count("cannot be read") == 2
    assert "not JSON" in text
    assert "\x1b" not in text
    lines = world.vectis("tail", "orders", "--from-beginning", "--limit", "2", "--json").out
    first, second = map(json.loads, lines.splitlines())
    assert (first["key"], first["value"]) == (None, None)
    assert first["value_base64"] == "G1sySv97"
    assert "not JSON" in first["error"]
    assert (second["key"], second["value"]) == ("7", None)


def test_only_a_type_or_a_key(world: World) -> None:
    put(
        world,
        Message("orders", b"8", b"broken"),
        event(1),
        event(2, type="order.cancelled", key="8"),
        event(3, type="inventory.adjusted"),
        event(4, key="8"),
    )

    def shown(*options: str, limit: int) -> list[int]:
        answer = world.vectis(
            "tail", "orders", "--from-beginning", "--json", "--limit", str(limit), *options
        )
        return [json.loads(line)["payload"]["n"] for line in answer.out.splitlines()]

    assert shown("--type", "order.*", limit=3) == [1, 2, 4]
    assert shown("--type", "inventory.adjusted", limit=1) == [3]
    assert shown("--type", "*", "--key", "8", limit=2) == [2, 4]


def test_whoever_reads_may_leave(world: World) -> None:
    put(world, *(event(number) for number in range(50)))
    with tailing(world, "orders", "--from-beginning") as process:
        line_of(process.stdout)
        assert process.stdout is not None
        process.stdout.close()
        put(world, event(50))
        assert process.wait(DEADLINE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_it_goes_on_when_the_file_is_healed(world: World) -> None:
    put(world, event(1))
    file = world.here / "events.db"
    with tailing(world, "orders", "--from-beginning", "--json") as process:
        assert json.loads(line_of(process.stdout))["payload"] == {"n": 1}
        for beside in world.here.glob("events.db*"):
            beside.unlink()
        file.write_bytes(b"no database at all, and long enough to be looked at" * 20)
        assert "cannot read, trying again" in line_of(process.stderr)
        file.unlink()
        put(world, event(1), event(2))
        assert line_of(process.stderr) == "reading again\n"
        assert json.loads(line_of(process.stdout))["payload"] == {"n": 2}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["orders", "--type", "ord*"], "segments are separated by dots"),
        (["orders", "--limit", "0"], "--limit"),
        ([], "Missing argument 'TOPIC...'"),
    ],
)
def test_a_wrong_option_is_exit_code_2(world: World, arguments: list[str], said: str) -> None:
    answer = world.vectis("tail", *arguments)
    assert answer.code == 2
    assert said in answer.err


def test_without_a_transport_or_with_a_broken_one_it_cannot_start(world: World) -> None:
    (world.here / "events.db").write_bytes(b"no database at all, and long enough to be one" * 20)
    answer = world.vectis("tail", "orders")
    assert answer.code == 2
    assert "not a SQLite database" in answer.err
    world.config("")
    answer = world.vectis("tail", "orders")
    assert answer.code == 2
    assert "no transport offers to consume orders" in answer.err
