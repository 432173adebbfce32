"""How a consumer ends: wherever it is cancelled, and where its start fails."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from vectis.core.exceptions import TransportError
from vectis.core.testing.contract import Member, close, publish
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEADLINE = 30


@pytest.fixture
def transport(tmp_path: Path) -> SqliteTransport:
    # A lease that nobody waits for: who is gone left.
    return SqliteTransport(SqliteSettings(path=str(tmp_path / "events.db"), lease=600))


def members(transport: SqliteTransport) -> int:
    with closing(sqlite3.connect(transport.path)) as look:
        return int(look.execute("SELECT count(*) FROM members").fetchone()[0])


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "vectis-sqlite" in thread.name]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8, 12, 20])
def test_a_close_that_is_cancelled_goes_on_and_can_be_awaited_again(
    transport: SqliteTransport, turns: int
) -> None:
    async def main() -> None:
        member = Member(transport, "orders", "shop")
        await member.__aenter__()
        await member.fetch()
        first = asyncio.create_task(member.consumer.close())
        for _ in range(turns):
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        await member.consumer.close()
        assert members(transport) == 0
        await asyncio.to_thread(until, lambda: threads() == [])
        await member.consumer.close()
        with pytest.raises(TransportError, match="is closed; make a new one"):
            await member.fetch()

    asyncio.run(main())


def test_a_close_that_is_cancelled_is_enough(transport: SqliteTransport) -> None:
    async def main() -> None:
        member = Member(transport, "orders", "shop")
        await member.__aenter__()
        first = asyncio.create_task(member.consumer.close())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        await asyncio.to_thread(until, lambda: threads() == [] and members(transport) == 0)

    asyncio.run(main())


def test_two_closes_at_once_leave_the_transport_to_others(transport: SqliteTransport) -> None:
    async def main() -> None:
        member = Member(transport, "orders", "shop")
        await publish(transport, "orders", count=1)
        await member.__aenter__()
        await asyncio.gather(*(member.consumer.close() for _ in range(3)))
        await publish(transport, "orders", count=1, start=1)
        await close(transport, "orders")
        await asyncio.to_thread(until, lambda: threads() == [])

    asyncio.run(main())


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8])
def test_a_start_that_is_cancelled_leaves_no_member(transport: SqliteTransport, turns: int) -> None:
    async def main() -> None:
        await publish(transport, "orders", count=1)
        start = asyncio.create_task(Member(transport, "orders", "shop").__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        start.cancel()
        with suppress(asyncio.CancelledError):
            await (await start).consumer.close()
        await close(transport, "orders")
        await asyncio.to_thread(until, lambda: threads() == [])
        assert members(transport) == 0

    asyncio.run(main())


def test_a_start_without_a_thread_to_be_had_leaves_nothing_behind(
    transport: SqliteTransport,
) -> None:
    async def main() -> None:
        await publish(transport, "orders", count=1)
        before = threading.stack_size(1 << 60)  # more than any system has
        try:
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await Member(transport, "orders", "shop").__aenter__()
        finally:
            threading.stack_size(before)
        await close(transport, "orders")
        await asyncio.to_thread(until, lambda: threads() == [])
        assert members(transport) == 0

    asyncio.run(main())
