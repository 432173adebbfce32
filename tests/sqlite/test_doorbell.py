"""Waking up: by a bell from another process, at once, and without one a little later."""

# ruff: noqa: ASYNC110, ASYNC240 - another process or thread is waited for, nothing else runs

from __future__ import annotations

import asyncio
import signal
import socket
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.sqlite.processes import child, line, say
from vectis.core.testing.contract import Member, close, publish
from vectis_sqlite import SqliteSettings, SqliteTransport

DEADLINE = 30.0

pytestmark = pytest.mark.skipif(
    not hasattr(socket, "AF_UNIX"), reason="this system has no unix sockets"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wakes up then was woken by a bell."""
    monkeypatch.setattr("vectis_sqlite._watch.WITH_BELL", 10 * DEADLINE)


def transport_for(file: Path) -> SqliteTransport:
    # A long lease, so that signs of life do not wake anybody up either.
    return SqliteTransport(SqliteSettings(path=str(file), lease=60.0))


def bells(file: Path) -> list[Path]:
    folder = file.with_name("events.db-bells")
    return [*folder.iterdir()] if folder.exists() else []


PUBLISHER = """
import asyncio, sys
from vectis.core.message import Message
from vectis_sqlite import SqliteSettings, SqliteTransport

async def main():
    transport = SqliteTransport(SqliteSettings(path=sys.argv[1], lease=60.0))
    print("ready", flush=True)
    for text in sys.stdin:
        await transport.carrier("orders").send(Message("orders", b"7", b"1"))
    await transport.close()

asyncio.run(main())
"""


@pytest.mark.usefixtures("no_polling")
@pytest.mark.parametrize("folder", ["", "long" * 30], ids=["short", "too-long-for-a-socket"])
def test_another_process_rings_for_a_new_message(tmp_path: Path, folder: str) -> None:
    if folder and not Path("/proc/self/fd").is_dir():
        pytest.skip("a path this long needs /proc, and is looked at now and then without it")
    file = tmp_path / folder / "events.db"
    file.parent.mkdir(exist_ok=True)

    async def main() -> None:
        transport = transport_for(file)
        with child(PUBLISHER, file) as publisher:
            line(publisher)
            async with Member(transport, "orders", "shop") as member:
                await member.fetch()
                for _ in range(20):
                    waiting = asyncio.ensure_future(member.fetch(timeout=10 * DEADLINE))
                    await asyncio.sleep(0.01)  # so that it is asleep, at least mostly
                    say(publisher)
                    assert len(await asyncio.wait_for(waiting, DEADLINE)) == 1
        await close(transport, "orders")

    asyncio.run(main())


JOINER = """
import asyncio, sys
from vectis.core.testing.contract import Member
from vectis_sqlite import SqliteSettings, SqliteTransport

async def main():
    transport = SqliteTransport(SqliteSettings(path=sys.argv[1], lease=60.0))
    async with Member(transport, "orders", "shop") as member:
        print("joined", flush=True)
        waiting = asyncio.ensure_future(member.fetch(timeout=300))
        while len(member.consumer.assignment()) < 4:
            await asyncio.sleep(0.01)
        print("shared", flush=True)
        sys.stdin.readline()
    print("left", flush=True)

asyncio.run(main())
"""


@pytest.mark.usefixtures("no_polling")
def test_members_ring_for_each_other_when_one_joins_and_when_one_leaves(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        async with Member(transport, "orders", "shop") as member:
            await member.fetch()
            waiting = asyncio.ensure_future(member.fetch(timeout=10 * DEADLINE))
            with child(JOINER, file) as other:
                assert await asyncio.to_thread(line, other) == "joined"
                assert await asyncio.to_thread(line, other) == "shared"
                assert len(member.consumer.assignment()) == 4
                say(other)
                assert await asyncio.to_thread(line, other) == "left"
                async with asyncio.timeout(DEADLINE):
                    while len(member.consumer.assignment()) != 8:
                        await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.wait([waiting])
        await close(transport, "orders")

    asyncio.run(main())


def test_a_lost_ring_only_costs_a_moment(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        with child(PUBLISHER, file) as publisher:
            line(publisher)
            async with Member(transport, "orders", "shop") as member:
                await member.fetch()
                for bell in bells(file):
                    bell.unlink()
                waiting = asyncio.ensure_future(member.fetch(timeout=10 * DEADLINE))
                say(publisher)
                assert len(await asyncio.wait_for(waiting, DEADLINE)) == 1
        await close(transport, "orders")

    asyncio.run(main())


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux tells of threads")
def test_a_member_that_waits_sleeps(file: Path) -> None:
    def wake_ups() -> int:
        (reader,) = [one for one in threading.enumerate() if "reader idle" in one.name]
        told = Path(f"/proc/self/task/{reader.native_id}/status").read_text()
        return int(told.partition("voluntary_ctxt_switches:")[2].split()[0])

    async def main() -> int:
        transport = transport_for(file)
        async with Member(transport, "orders", "idle") as member:
            await publish(transport, "orders", count=1)
            await member.read(1)
            before = wake_ups()
            assert await member.fetch(timeout=2) == []
            slept = wake_ups() - before
        await close(transport, "orders")
        return slept

    assert asyncio.run(main()) < 50  # a look each millisecond would be many hundreds


def test_a_system_without_unix_sockets_looks_at_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectis_sqlite._doorbell._FAMILY", None)

    async def main() -> None:
        transport = transport_for(file)
        with child(PUBLISHER, file) as publisher:
            line(publisher)
            async with Member(transport, "orders", "shop") as member:
                await member.fetch()
                assert bells(file) == []
                waiting = asyncio.ensure_future(member.fetch(timeout=10 * DEADLINE))
                say(publisher)
                assert len(await asyncio.wait_for(waiting, DEADLINE)) == 1
        await close(transport, "orders")

    asyncio.run(main())


MEMBER = """
import asyncio, sys
from vectis.core.testing.contract import Member
from vectis_sqlite import SqliteSettings, SqliteTransport

async def main():
    transport = SqliteTransport(SqliteSettings(path=sys.argv[1], lease=60.0))
    async with Member(transport, "orders", "other") as member:
        await member.fetch()
        print("running", flush=True)
        sys.stdin.readline()

asyncio.run(main())
"""


def test_the_bells_of_killed_processes_are_cleared_away(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        with child(MEMBER, file) as killed:
            line(killed)
            assert len(bells(file)) == 1
            killed.send_signal(signal.SIGKILL)
            killed.wait()
        assert len(bells(file)) == 1
        await publish(transport, "orders", count=1)
        await close(transport, "orders")
        assert bells(file) == [], "the first ring that nobody hears"
        with child(MEMBER, file) as killed:
            line(killed)
            killed.send_signal(signal.SIGKILL)
            killed.wait()
        async with Member(transport, "accounts", "shop"):
            assert len(bells(file)) == 1, "the new member's own"
        assert not file.with_name("events.db-bells").exists()

    asyncio.run(main())


def test_a_name_in_the_file_that_is_no_bell_is_left_alone(file: Path) -> None:
    precious = file.with_name("precious")
    precious.write_text("do not delete")
    ordinary = file.with_name("events.db-bells") / ("0" * 16)

    async def main() -> None:
        transport = transport_for(file)
        async with Member(transport, "orders", "shop") as member:
            await member.fetch()
            ordinary.write_text("nor this")
            with closing(sqlite3.connect(file)) as other:
                for name in ("../precious", str(precious), ordinary.name):
                    other.execute(
                        "INSERT INTO members (group_id, topics, process, lease, expires, bell) "
                        "SELECT group_id, topics, process, lease, expires, ? FROM members LIMIT 1",
                        (name,),
                    )
                other.commit()
            await publish(transport, "orders", count=1)
            await close(transport, "orders")

    asyncio.run(main())
    assert precious.read_text() == "do not delete"
    assert ordinary.read_text() == "nor this"


@pytest.mark.parametrize(("mode", "folder", "bell"), [(0o600, 0o700, 0o600), (0o660, 0o770, 0o660)])
def test_whoever_may_write_the_file_may_ring(file: Path, mode: int, folder: int, bell: int) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await publish(transport, "orders", count=1)
        file.chmod(mode)
        async with Member(transport, "orders", "shop"):
            (one,) = bells(file)
            assert stat.S_IMODE(one.parent.stat().st_mode) == folder
            assert stat.S_IMODE(one.stat().st_mode) == bell
        await close(transport, "orders")

    asyncio.run(main())
