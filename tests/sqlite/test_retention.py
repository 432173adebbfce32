"""Deleting by age and by size: what stays, what a group that was further behind is told."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from vectis.core.message import Message, TopicPartition
from vectis.core.testing.contract import Member, close, publish
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEADLINE = 30.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def transport_for(
    file: Path, *, age: float | None = None, size: int | None = None, partitions: int = 4
) -> SqliteTransport:
    return SqliteTransport(
        SqliteSettings(
            path=str(file),
            partitions=partitions,
            busy_timeout=0.2,
            retention_age=age,
            retention_bytes=size,
        )
    )


def records(transport: SqliteTransport) -> int:
    return sum(topic.records for topic in transport.describe_topics())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - it waits for what a thread does to a file
            await asyncio.sleep(0.02)


def make_older(file: Path, seconds: float) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("UPDATE log SET timestamp = timestamp - ?", (int(seconds * 1000),))
        other.commit()


def stored_bytes(file: Path) -> tuple[int, int]:
    """Return what the partitions say that they hold, and what it really is."""
    with closing(sqlite3.connect(file)) as check:
        (counted,) = check.execute("SELECT sum(bytes) FROM partitions").fetchone()
        (real,) = check.execute(
            "SELECT ifnull(sum(32 + length(headers) + ifnull(length(key), 0)"
            " + ifnull(length(value), 0)), 0) FROM log"
        ).fetchone()
        return counted, real


def test_records_go_when_they_are_too_old_and_their_offsets_never_come_back(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file, age=20, partitions=1)
        await publish(transport, "orders", count=5_000)
        make_older(file, 21)
        await publish(transport, "orders", count=10, start=5_000)
        await until(lambda: records(transport) == 10)
        (partition,) = transport.describe_topics()[0].partitions
        assert (partition.start, partition.end) == (5_000, 5_010)
        make_older(file, 21)
        await until(lambda: records(transport) == 0)
        receipt = await transport.carrier("orders").send(Message("orders", b"7", b"after"))
        assert receipt.offset == 5_010
        assert len(set(stored_bytes(file))) == 1
        await close(transport, "orders")

    asyncio.run(main())


def test_the_oldest_of_a_topic_go_when_there_is_too_much_and_the_rest_is_kept(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file, size=100_000)
        for turn in range(6):
            messages = [
                Message("orders", b"%d" % n, b"%06d" % (turn * 100 + n) + bytes(460))
                for n in range(100)
            ]
            carrier = transport.carrier("orders")
            assert carrier.send_many is not None
            await carrier.send_many(messages)
        await publish(transport, "accounts", count=50)
        await until(lambda: stored_bytes(file)[0] < 100_600 + 50 * 40)
        counted, real = stored_bytes(file)
        assert counted == real
        assert real >= 100_000, "no more than had to go"
        topics = {topic.name: topic.records for topic in transport.describe_topics()}
        async with Member(transport, "orders", "check") as member:
            kept = {int((d.value or b"")[:6]) for d in await member.read(topics["orders"])}
        assert max(kept) == 599
        assert len([n for n in range(500, 600) if n in kept]) == 100, "the newest are there"
        assert topics["accounts"] == 50, "each topic for itself"
        await close(transport, "orders")

    asyncio.run(main())


def test_a_message_larger_than_what_is_kept_stays_until_the_next_one(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file, size=1_000, partitions=1)
        send = transport.carrier("orders").send
        await send(Message("orders", b"7", bytes(5_000)))
        await send(Message("orders", b"7", bytes(5_000)))
        await until(lambda: records(transport) == 1)
        assert stored_bytes(file)[0] > 5_000
        await close(transport, "orders")

    asyncio.run(main())


def test_without_retention_everything_stays(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await publish(transport, "orders", count=100)
        make_older(file, 10 * 365 * 86_400)
        await publish(transport, "orders", count=100)
        await close(transport, "orders")
        assert records(transport) == 200

    asyncio.run(main())


def test_a_beginning_that_a_group_had_before_it_and_never_read_is_logged(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        transport = transport_for(file, age=20, partitions=1)
        where = TopicPartition("orders", 0)
        await publish(transport, "orders", count=3)
        async with Member(transport, "orders", "shop") as member:
            member.consumer.pause(where)
            while not member.assigned:
                await member.fetch()
            make_older(file, 21)
            await publish(transport, "orders", count=1, start=3)
            await until(lambda: records(transport) == 1)
            member.consumer.resume(where)
            (delivery,) = await member.read(1)
            assert delivery.offset == 3
            async with Member(transport, "orders", "late") as late:
                assert [one.offset for one in await late.read(1)] == [3]
        await close(transport, "orders")

    asyncio.run(main())
    (record,) = caplog.records  # the group that came later has missed nothing
    assert "group 'shop': orders/0 has no offset 0, reading goes on at 3" in record.getMessage()


def test_a_group_that_was_further_behind_reads_on_and_the_gap_is_logged(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        transport = transport_for(file, age=20, partitions=1)
        where = TopicPartition("orders", 0)
        await publish(transport, "orders", count=30)
        async with Member(transport, "orders", "shop") as member:
            await member.fetch(max_records=10, timeout=DEADLINE)
            await member.consumer.commit({where: 5})
        make_older(file, 21)
        await publish(transport, "orders", count=1, start=30)
        await until(lambda: records(transport) == 1)
        with caplog.at_level(logging.ERROR, "vectis.sqlite"):
            async with Member(transport, "orders", "shop") as member:
                (delivery,) = await member.read(1)
                assert delivery.offset == 30
        (record,) = caplog.records
        assert "orders/0 has no offset 5, reading goes on at 30" in record.getMessage()
        assert "retention" in record.getMessage()
        caplog.clear()
        async with Member(transport, "orders", "a new group") as member:
            await member.read(1)
        assert caplog.records == [], "a group without a commit wants the earliest there is"
        await close(transport, "orders")

    asyncio.run(main())


def test_a_reader_that_retention_overtakes_is_told_too(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        transport = transport_for(file, age=20, partitions=1)
        await publish(transport, "orders", count=30)
        async with Member(transport, "orders", "shop") as member:
            await member.fetch(max_records=10, timeout=DEADLINE)
            make_older(file, 21)
            await publish(transport, "orders", count=1, start=30)
            await until(lambda: records(transport) == 1)
            (delivery,) = await member.read(1)
            assert delivery.offset == 30
        assert "no offset 10, reading goes on at 30" in caplog.text
        await close(transport, "orders")

    asyncio.run(main())


def test_a_commit_behind_the_end_of_another_file_is_reported_and_nothing_new_is_missed(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        transport = transport_for(file, partitions=1)
        await publish(transport, "orders", count=10)
        with closing(sqlite3.connect(file)) as other:
            other.execute("INSERT INTO groups (name) VALUES ('shop')")
            other.execute(
                "INSERT INTO leases (group_id, partition_id, committed) VALUES (1, 1, 99)"
            )
            other.commit()
        async with Member(transport, "orders", "shop") as member:
            assert await member.fetch(timeout=0.2) == []
            await publish(transport, "orders", count=1, start=10)
            (delivery,) = await member.read(1)
            assert delivery.offset == 10
        assert "no offset 99, reading goes on at 10" in caplog.text
        await close(transport, "orders")

    asyncio.run(main())


def test_retention_waits_for_a_locked_file_says_so_once_and_goes_on(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        transport = transport_for(file, age=20)
        await publish(transport, "orders", count=10)
        make_older(file, 21)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            await until(lambda: "locked for longer" in caplog.text)
            other.execute("ROLLBACK")
        await until(lambda: records(transport) == 0)
        await close(transport, "orders")

    asyncio.run(main())
    assert caplog.text.count("retention waits") == 1


def test_retention_keeps_up_while_messages_pour_in(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file, size=200_000)
        carrier = transport.carrier("orders")
        assert carrier.send_many is not None
        batch = [Message("orders", b"%d" % n, bytes(100)) for n in range(1_000)]
        ends = time.monotonic() + 3
        sent = 0
        while time.monotonic() < ends:
            sent += len(await carrier.send_many(batch))
        await until(lambda: stored_bytes(file)[0] < 210_000)
        assert records(transport) < sent
        assert len(set(stored_bytes(file))) == 1
        await close(transport, "orders")

    asyncio.run(main())
