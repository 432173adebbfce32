"""The writing thread: the order it keeps, and what it survives."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.core.worker_world import eventually
from tests.sqlite.processes import child, line, say
from vectis.core.exceptions import PublishError
from vectis.core.message import Message
from vectis.core.testing.contract import Member, close
from vectis_sqlite import SqliteSettings, SqliteTransport
from vectis_sqlite._database import Database

if TYPE_CHECKING:
    from pathlib import Path

    from vectis.core.message import Receipt

DEADLINE = 30


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "writing.db"  # its thread has a name of its own


async def send(transport: SqliteTransport, value: bytes) -> int:
    receipt: Receipt = await transport.carrier("orders").send(Message("orders", b"k", value))
    return receipt.offset


def writing_threads(file: Path) -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == f"vectis-sqlite {file.name}"]


def test_what_is_sent_while_the_file_is_being_closed_comes_last(file: Path) -> None:
    transport = SqliteTransport(SqliteSettings(path=str(file)))

    async def main() -> None:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            for start in range(0, 80, 4):
                calls = [asyncio.ensure_future(send(transport, b"")) for _ in range(3)]
                if start:
                    other.execute("BEGIN IMMEDIATE")
                await asyncio.sleep(0)
                closes = asyncio.ensure_future(transport.close())
                await asyncio.sleep(0)
                calls.append(asyncio.ensure_future(send(transport, b"")))
                await asyncio.sleep(0)
                if start:
                    other.execute("ROLLBACK")
                assert await asyncio.gather(*calls) == list(range(start, start + 4))
                await closes
        await transport.close()

    asyncio.run(main())
    for thread in writing_threads(file):
        thread.join(DEADLINE)
    assert writing_threads(file) == []


class Forgetful(asyncio.SelectorEventLoop):
    """Loses what the transport asks for, as a signal's exception may, while it `forgets`."""

    forgets = False

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.Handle:
        handle = super().call_soon(callback, *args, context=context)
        if self.forgets and getattr(callback, "__module__", "").startswith("vectis_sqlite"):
            handle.cancel()
        return handle


def test_a_loop_that_lost_a_call_goes_on_publishing(file: Path) -> None:
    loop = Forgetful()
    transport = SqliteTransport(SqliteSettings(path=str(file)), publish_timeout=60)
    carrier = transport.carrier("orders")

    async def main() -> None:
        await carrier.send(Message("orders", b"k", b"the first"))
        # A thread moves it there, and then sleeps until it is woken.
        await eventually(lambda: b"the first" in file.read_bytes())
        loop.forgets = True
        lost = asyncio.ensure_future(carrier.send(Message("orders", b"k", b"1")))
        await asyncio.sleep(0)
        loop.forgets = False
        later = []
        while not lost.done():
            later.append(asyncio.ensure_future(carrier.send(Message("orders", b"k", b""))))
            await asyncio.sleep(0.01)
        receipts = await asyncio.gather(lost, *later)
        assert [receipt.offset for receipt in receipts] == [*range(1, len(later) + 2)]
        await transport.close()

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_who_publishes_at_the_same_moment_shares_a_transaction(file: Path) -> None:
    transport = SqliteTransport(SqliteSettings(path=str(file)))

    def written() -> int:
        """Return how many pages the transactions have written so far; each writes two at least."""
        return file.with_name(f"{file.name}-wal").stat().st_size // 4096

    async def main() -> tuple[int, int]:
        await send(transport, b"0")
        before = written()
        await asyncio.gather(*(send(transport, b"") for _ in range(100)))
        after = written()
        await transport.close()
        return before, after

    before, after = asyncio.run(main())
    assert after - before < 100


@pytest.mark.parametrize(("synchronous", "level"), [("FULL", 2), ("NORMAL", 1)])
def test_the_level_of_synchronous_is_the_one_that_was_asked_for(
    file: Path, synchronous: Any, level: int
) -> None:
    database = Database(file, SqliteSettings(path=str(file), synchronous=synchronous))
    with database as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
    database.close()


CROWDED = """
import asyncio, os, resource, sys
from vectis.core.message import Message
from vectis_sqlite import SqliteSettings, SqliteTransport

async def main():
    transport = SqliteTransport(SqliteSettings(path=sys.argv[1], partitions=1))
    send = transport.carrier("orders").send
    print((await send(Message("orders", b"k", b"0"))).offset, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    last = os.open("/dev/null", os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1, hard))
    taken = [last]
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        print((await send(Message("orders", b"k", b"1"))).offset, flush=True)
    for number in taken:
        os.close(number)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    print((await send(Message("orders", b"k", b"2"))).offset, flush=True)
    await transport.close()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no limit on descriptors")
def test_a_process_that_has_no_descriptor_left_to_ring_with_goes_on_publishing(file: Path) -> None:
    async def main() -> None:
        transport = SqliteTransport(SqliteSettings(path=str(file), partitions=1))
        with child(CROWDED, file) as publisher:
            assert line(publisher) == "0"
            async with Member(transport, "orders", "shop") as member:
                await member.read(1)
                say(publisher)
                assert line(publisher) == "1"
                assert line(publisher) == "2"
                await member.read(2)
            assert publisher.wait(DEADLINE) == 0
        await close(transport, "orders")

    asyncio.run(main())


@pytest.mark.skipif(
    not hasattr(time, "pthread_getcpuclockid"), reason="this system has no clock for each thread"
)
def test_after_a_failure_the_writing_thread_rests(tmp_path: Path) -> None:
    file = tmp_path / "rests.db"
    transport = SqliteTransport(SqliteSettings(path=str(file)))

    async def main() -> None:
        await send(transport, b"")
        (thread,) = writing_threads(file)
        assert thread.ident is not None
        file.rename(file.with_name("moved away"))
        file.mkdir()
        with pytest.raises(PublishError, match="it is a folder"):
            await send(transport, b"")
        clock = time.pthread_getcpuclockid(thread.ident)
        before = time.clock_gettime(clock)
        await asyncio.sleep(1)  # nothing is waited for: the time is what is looked at
        assert time.clock_gettime(clock) - before < 0.1
        await transport.close()

    asyncio.run(main())


LAST_WORDS = """
import atexit, sys
from vectis.core import Hub

hub = Hub({"sqlite": {"path": sys.argv[1]}, "hub": {"transport": "sqlite"}})

@atexit.register
def say_goodbye():
    for number in range(2):
        try:
            print(hub.publish_sync("orders", "order.closed", {}, key="k").offset, flush=True)
        except RuntimeError as error:
            print(error, flush=True)
"""


def test_the_first_message_may_be_published_when_the_process_ends(file: Path) -> None:
    with child(LAST_WORDS, file) as process:
        if (3, 12, 0) <= sys.version_info[:3] <= (3, 12, 2):  # they start no thread at that time
            assert "Python is ending, and starts no thread any more" in line(process)
            assert "Python is ending, and starts no thread any more" in line(process)
        else:
            assert [line(process), line(process)] == ["0", "1"]
        assert process.wait(DEADLINE) == 0
