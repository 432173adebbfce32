"""A reader without a group, on a real file: it writes nothing, and waits for what is not there."""

# ruff: noqa: ASYNC240 - these tests do to the file what others would, and nothing else is waiting

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from vectis.core.exceptions import TransportError
from vectis.core.testing.contract import Member, close, publish
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def transport_for(file: Path, **settings: float) -> SqliteTransport:
    return SqliteTransport(SqliteSettings(path=str(file), **settings))  # type: ignore[arg-type]


def test_it_leaves_no_trace_in_the_file(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await publish(transport, "orders", count=20)
        async with Member(transport, "orders", None, more_topics=["nowhere"]) as reader:
            await reader.read(20)
        await close(transport, "orders")

    asyncio.run(main())
    with closing(sqlite3.connect(file)) as connection:
        for table in ("groups", "members", "leases"):
            assert connection.execute(f"SELECT * FROM {table}").fetchall() == []
        assert connection.execute("SELECT name FROM topics").fetchall() == [("orders",)]


def test_it_waits_for_a_file_that_is_not_there_and_makes_none(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        async with Member(transport, "orders", None) as reader:
            assert await reader.fetch() == []
            assert await reader.consumer.ends() == {}
            assert not file.exists()
            waiting = asyncio.ensure_future(reader.fetch(timeout=600))
            await publish(transport, "orders", count=1)
            assert len(await asyncio.wait_for(waiting, 30)) == 1
        await close(transport, "orders")

    asyncio.run(main())


def test_a_folder_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    async def main() -> None:
        reader = transport_for(tmp_path / "no" / "events.db").consumer(["orders"], None)
        with pytest.raises(TransportError, match=f"the folder {tmp_path / 'no'} does not exist"):
            await reader.start(on_assigned=nothing, on_revoked=nothing)
        await reader.close()

    asyncio.run(main())


def test_a_file_of_another_program_is_refused_and_healed_goes_on(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        async with Member(transport, "orders", None) as reader:
            file.write_bytes(b"not a database, and long enough to be taken for one" * 20)
            with pytest.raises(TransportError, match="not a SQLite database"):
                await reader.fetch()
            file.unlink()
            await publish(transport, "orders", count=5)
            await reader.read(5)
        await close(transport, "orders")

    asyncio.run(main())


def test_what_retention_deleted_is_passed_over(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await publish(transport, "orders", count=4, keys=1)
        async with Member(transport, "orders", None) as reader:
            first, *_ = await reader.fetch(max_records=1)
            with closing(sqlite3.connect(file)) as connection:
                connection.execute("DELETE FROM log")
                connection.commit()
            assert await reader.fetch() == []
            assert (await reader.consumer.lag())[first.topic_partition] == 0
            assert (await reader.consumer.ends())[first.topic_partition] == 4
            await publish(transport, "orders", count=1, keys=1, start=4)
            (last,) = await reader.read(1)
            assert last.offset == 4
        await close(transport, "orders")

    asyncio.run(main())
    assert "has no offset 1 any more, reading goes on at 4" in caplog.text


async def nothing(partitions: object) -> None:
    """Nothing has to be done."""


def test_a_commit_is_seen_by_whoever_asks_after_it(file: Path) -> None:
    async def main() -> None:
        transport = SqliteTransport(SqliteSettings(path=str(file), partitions=1))
        await publish(transport, "orders", count=300)
        async with Member(transport, "orders", "shop") as member:
            await member.read(300)
            consumer, (where,) = member.consumer, member.consumer.assignment()
            looks = True

            async def look() -> None:  # so that the thread looks at the file all the time
                while looks:
                    await consumer.lag()

            others = [asyncio.create_task(look()) for _ in range(3)]
            for offset in range(1, 300):
                await consumer.commit({where: offset})
                assert await consumer.committed(where) == offset
            looks = False
            await asyncio.gather(*others)
        await close(transport, "orders")

    asyncio.run(main())
