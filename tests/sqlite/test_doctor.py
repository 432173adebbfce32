"""`vectis doctor` and `[plugins] require` say what is wrong with the file, and store nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.core.cli_world import World
from vectis.core.testing.contract import close, publish
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.config('[sqlite]\npath = "events.db"\n')
    return world


def fill(file: Path) -> None:
    async def main() -> None:
        transport = SqliteTransport(SqliteSettings(path=str(file)))
        await publish(transport, "orders", count=2_000)
        await close(transport, "orders")

    asyncio.run(main())


def failed(world: World) -> list[str]:
    answer = world.vectis("doctor", "--json")
    messages = [check["message"] for check in answer.json["checks"] if check["status"] == "fail"]
    assert answer.code == (1 if messages else 0)
    return messages


def test_a_file_that_nobody_made_yet_is_fine_and_is_not_made(world: World) -> None:
    assert failed(world) == []
    assert not list(world.here.glob("events.db*"))


def test_a_file_in_use_is_fine_and_stays_as_it_was(world: World) -> None:
    file = world.here / "events.db"
    fill(file)
    before = file.read_bytes()
    assert failed(world) == []
    assert file.read_bytes() == before


def damage(file: Path) -> None:
    fill(file)
    size = file.stat().st_size
    with file.open("r+b") as pages:
        pages.seek(size // 2)
        pages.write(b"\xff" * (size // 4))


def another_programs(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")


def newer(file: Path) -> None:
    fill(file)
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (damage, "it is damaged. Move it away"),
        (another_programs, "the database of another program"),
        (newer, "schema 99, this one knows 3"),
        (lambda file: file.write_text("a text\n" * 999), "not a SQLite database"),
        (lambda file: file.mkdir(), "it is a folder"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(
    world: World, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(world.here / "events.db")
    (message,) = failed(world)
    assert str(world.here / "events.db") in message
    assert said in message


def test_a_folder_that_is_not_there_is_named(world: World) -> None:
    world.config('[sqlite]\npath = "data/events.db"\n')
    (message,) = failed(world)
    assert f"the folder {world.here / 'data'} does not exist" in message


def test_a_required_transport_with_a_damaged_file_does_not_start(world: World) -> None:
    world.config('[plugins]\nrequire = ["sqlite"]\n[sqlite]\npath = "events.db"\n')
    damage(world.here / "events.db")
    answer = world.vectis("publish", "orders", "order.created", "{}")
    assert answer.code == 2
    assert "it is damaged" in answer.err
