"""`kill -9` of anybody at any moment: while publishing, consuming, deleting, checkpointing."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from tests.sqlite.processes import child, line
from vectis.core.testing.contract import Member, close, publish
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from pathlib import Path

SEED = 20_240_131
KILLS = 12

# Each of them deletes and checkpoints as well, from its writing thread.
PUBLISHER = """
import asyncio, sys
from vectis.core.message import Message
from vectis_sqlite import SqliteSettings, SqliteTransport

async def main():
    settings = SqliteSettings(path=sys.argv[1], lease=0.5, retention_bytes=100_000)
    transport = SqliteTransport(settings)
    carrier = transport.carrier("orders")
    await carrier.send(Message("orders", b"7", b"first"))
    print("running", flush=True)
    while True:
        await carrier.send_many([Message("orders", b"%d" % n, bytes(150)) for n in range(200)])
        await asyncio.sleep(0.3)  # a rest, in which there is time for a checkpoint

asyncio.run(main())
"""

CONSUMER = """
import asyncio, sys
from vectis.core.exceptions import LeaseLost
from vectis.core.testing.contract import Member
from vectis_sqlite import SqliteSettings, SqliteTransport

async def main():
    settings = SqliteSettings(path=sys.argv[1], lease=0.5, retention_bytes=100_000)
    async with Member(SqliteTransport(settings), "orders", "shop") as member:
        print("running", flush=True)
        while True:
            await member.fetch(timeout=0.2)
            try:
                await member.commit()
            except LeaseLost:
                pass

asyncio.run(main())
"""


def check(file: Path) -> None:
    """Fail when the file is not whole, or when what it says of itself is not so."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("BEGIN")  # all of it as of one moment: the others write and delete on
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for id, end, size in connection.execute("SELECT id, next_offset, bytes FROM partitions"):
            count, first, last, real = connection.execute(
                "SELECT count(*), min(place), max(place), ifnull(sum(32 + length(headers)"
                " + ifnull(length(key), 0) + ifnull(length(value), 0)), 0)"
                " FROM log WHERE place >> 40 = ?",
                (id,),
            ).fetchone()
            assert size == real
            if count:
                assert last - first + 1 == count, "only the oldest were deleted"
                assert last & (1 << 40) - 1 == end - 1
        for committed, end in connection.execute(
            "SELECT committed, next_offset FROM leases JOIN partitions ON partition_id = id"
        ):
            assert committed is None or committed <= end


@pytest.mark.parametrize("victim", [PUBLISHER, CONSUMER], ids=["publisher", "consumer"])
def test_the_file_stays_whole_whoever_is_killed(tmp_path: Path, victim: str) -> None:
    file = tmp_path / "events.db"
    chance = random.Random(SEED)
    other = CONSUMER if victim is PUBLISHER else PUBLISHER
    with child(other, file) as lives_on:
        assert line(lives_on) == "running"
        for _ in range(KILLS):
            with child(victim, file) as killed:
                assert line(killed) == "running"
                time.sleep(chance.random() * 0.4)  # a moment, any one
                killed.send_signal(signal.SIGKILL)
                killed.wait()
            check(file)
        assert lives_on.poll() is None, "the others go on"
    goes_on(file)


def test_the_file_stays_whole_when_all_are_killed_at_once(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    chance = random.Random(SEED)
    for _ in range(4):
        with ExitStack() as stack:
            everybody = [
                stack.enter_context(child(script, file))
                for script in (PUBLISHER, PUBLISHER, CONSUMER, CONSUMER)
            ]
            for process in everybody:
                assert line(process) == "running"
            time.sleep(chance.random() * 0.6)  # a moment, any one
            for process in everybody:
                process.send_signal(signal.SIGKILL)
            for process in everybody:
                process.wait()
        check(file)
    goes_on(file)


def goes_on(file: Path) -> None:
    async def main() -> None:
        transport = SqliteTransport(SqliteSettings(path=str(file), lease=0.5))
        await publish(transport, "orders", count=20)
        async with Member(transport, "orders", "shop") as member:
            async with asyncio.timeout(30):
                seen: set[bytes | None] = set()
                while not seen >= {b"%d" % n for n in range(20)}:
                    seen |= {delivery.value for delivery in await member.fetch()}
            await member.commit()
        await close(transport, "orders")

    asyncio.run(main())
    check(file)
    assert not file.with_name("events.db-bells").exists(), "the bells of the dead are gone too"
