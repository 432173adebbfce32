"""What happens to the file, happens for real here: locked, full, damaged, replaced, read-only."""

# ruff: noqa: ASYNC240 - these tests do to the file what others would, and nothing else is waiting

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from vectis.core.exceptions import PublishError, TransportError
from vectis.core.message import Message
from vectis.core.testing.contract import Member, close, publish
from vectis_sqlite import SqliteSettings, SqliteTransport


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def transport_for(file: Path) -> SqliteTransport:
    return SqliteTransport(SqliteSettings(path=str(file), busy_timeout=0.2, lease=1.0))


async def refused(transport: SqliteTransport) -> PublishError:
    with pytest.raises(PublishError) as caught:
        await transport.carrier("orders").send(Message("orders", b"7", b"refused"))
    assert str(transport.path) in str(caught.value)
    return caught.value


async def accepted(transport: SqliteTransport) -> None:
    await transport.carrier("orders").send(Message("orders", b"7", b"0"))


async def fetch_for_ever(member: Member) -> None:
    async with asyncio.timeout(30):
        while True:
            await member.fetch()


async def stored(transport: SqliteTransport) -> list[bytes | None]:
    count = sum(topic.records for topic in transport.describe_topics())
    async with Member(transport, "orders", "check") as member:
        return [delivery.value for delivery in await member.read(count)]


def test_a_locked_file_is_reported_and_the_same_transport_goes_on(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await accepted(transport)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            error = await refused(transport)
            assert error.fate == "not_sent"
            assert "locked for longer than busy_timeout = 0.2 s" in str(error)
            other.execute("ROLLBACK")
        await accepted(transport)
        assert await stored(transport) == [b"0", b"0"]
        await close(transport, "orders")

    asyncio.run(main())


def test_a_consumer_reads_on_while_the_file_is_locked_and_its_commit_says_why_not(
    file: Path,
) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await publish(transport, "orders", count=20)
        async with Member(transport, "orders", "shop") as member:
            (first,) = await member.fetch(max_records=1, timeout=10)
            with closing(sqlite3.connect(file, isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                await member.read(19)
                with pytest.raises(TransportError, match="locked for longer") as caught:
                    await member.commit()
                assert not isinstance(caught.value, PublishError)
                other.execute("ROLLBACK")
            await member.commit()
            assert await member.consumer.committed(first.topic_partition) is not None
        await close(transport, "orders")

    asyncio.run(main())


def test_starting_on_a_locked_file_fails_and_a_new_consumer_starts_later(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await accepted(transport)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(TransportError, match="locked for longer"):
                await Member(transport, "orders", "shop").__aenter__()
            other.execute("ROLLBACK")
        async with Member(transport, "orders", "shop") as member:
            await member.read(1)
        await close(transport, "orders")

    asyncio.run(main())


def test_a_missing_folder_is_named_and_may_be_made_later(tmp_path: Path) -> None:
    async def main() -> None:
        transport = transport_for(tmp_path / "data" / "events.db")
        error = await refused(transport)
        assert error.fate == "not_sent"
        assert f"the folder {tmp_path / 'data'} does not exist" in str(error)
        with pytest.raises(TransportError, match="does not exist"):
            transport.describe_topics()
        (tmp_path / "data").mkdir()
        await accepted(transport)
        assert await stored(transport) == [b"0"]
        await close(transport, "orders")

    asyncio.run(main())


def test_a_path_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        transport = transport_for(tmp_path)
        assert "it is a folder" in str(await refused(transport))
        await close(transport, "orders")

    asyncio.run(main())


def test_a_file_that_is_no_database_is_left_alone_until_it_is_moved_away(file: Path) -> None:
    async def main() -> None:
        file.write_bytes(b"no database at all " * 500)
        transport = transport_for(file)
        error = await refused(transport)
        assert error.fate == "not_sent"
        assert "not a SQLite database" in str(error)
        with pytest.raises(TransportError, match="not a SQLite database"):
            transport.describe_topics()
        file.rename(file.with_suffix(".away"))
        await accepted(transport)
        assert await stored(transport) == [b"0"]
        await close(transport, "orders")

    asyncio.run(main())


def test_a_damaged_file_is_reported_and_the_backup_in_its_place_is_used(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await publish(transport, "orders", count=2_000)
        await close(transport, "orders")
        backup = file.with_suffix(".backup")
        shutil.copy(file, backup)
        with file.open("r+b") as damaged:
            damaged.seek(4096)
            damaged.write(b"\xff" * (file.stat().st_size - 4096))

        error = await refused(transport)
        assert error.fate in ("not_sent", "rejected")
        assert "it is damaged" in str(error)
        assert "SQLITE_CORRUPT" in str(error)

        shutil.move(backup, file)
        await accepted(transport)
        assert len(await stored(transport)) == 2_001
        await close(transport, "orders")

    asyncio.run(main())


def test_a_consumer_reports_a_damaged_file_and_goes_on_with_the_healed_one(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await publish(transport, "orders", count=10)
        async with Member(transport, "orders", "shop") as member:
            await member.read(10)
            aside = file.with_suffix(".aside")
            with closing(sqlite3.connect(file)) as copy:
                copy.execute("VACUUM INTO ?", (str(aside),))
            garbage = file.with_suffix(".garbage")
            garbage.write_bytes(b"garbage" * 1000)
            for suffix in ("-wal", "-shm"):
                Path(f"{file}{suffix}").unlink()
            garbage.replace(file)
            with pytest.raises(TransportError, match=r"not a SQLite database|damaged"):
                await fetch_for_ever(member)
            for suffix in ("-wal", "-shm"):
                Path(f"{file}{suffix}").unlink(missing_ok=True)
            aside.replace(file)
            async with asyncio.timeout(30):
                while True:
                    try:
                        await member.fetch()
                    except TransportError:
                        continue
                    if len(member.consumer.assignment()) == 8:
                        break
            await member.commit()
        await close(transport, "orders")

    asyncio.run(main())


def test_the_database_of_another_program_is_left_untouched(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE bookmarks (url)")
        other.commit()
    before = file.read_bytes()

    async def main() -> None:
        transport = transport_for(file)
        error = await refused(transport)
        assert error.fate == "not_sent"
        assert "the database of another program" in str(error)
        await close(transport, "orders")

    asyncio.run(main())
    assert file.read_bytes() == before


def test_a_file_of_a_newer_release_is_refused_with_both_versions(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await accepted(transport)
        await close(transport, "orders")
        with closing(sqlite3.connect(file)) as newer:
            newer.execute("PRAGMA user_version = 99")
        error = await refused(transport)
        assert error.fate == "not_sent"
        assert "schema 99, this one knows 3" in str(error)
        assert "Upgrade vectis-sqlite" in str(error)
        await close(transport, "orders")

    asyncio.run(main())


def test_what_is_published_after_the_file_was_moved_away_is_in_the_new_file(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await accepted(transport)
        for path in (file, Path(f"{file}-wal"), Path(f"{file}-shm")):
            path.rename(f"{path}.old")
        await accepted(transport)
        assert await stored(transport) == [b"0"]
        await close(transport, "orders")

    asyncio.run(main())


def test_one_message_that_cannot_be_stored_does_not_take_the_others_with_it(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        carrier = transport.carrier("orders")
        assert carrier.send_many is not None
        wrong = Message("orders", b"7", "text")  # type: ignore[arg-type]  # on purpose
        odd = Message("orders", b"7", b"{}", (("name", "text"),))  # type: ignore[arg-type]  # same
        answers = await carrier.send_many(
            [Message("orders", b"7", b"1"), wrong, Message("orders", b"7", b"2"), odd]
        )
        assert [type(answer).__name__ for answer in answers] == [
            "Receipt",
            "PublishError",
            "Receipt",
            "PublishError",
        ]
        assert "the value must be bytes or None, not str" in str(answers[1])
        assert "headers must be pairs" in str(answers[3])
        with pytest.raises(PublishError) as caught:
            await carrier.send(wrong)
        assert caught.value.fate == "rejected"
        with pytest.raises(PublishError, match="the topic has no name"):
            await carrier.send(Message("", b"7", b"{}"))
        assert await stored(transport) == [b"1", b"2"]
        await close(transport, "orders")

    asyncio.run(main())


FULL_DISK = """
import asyncio, json, resource, sys
from vectis.core.exceptions import PublishError
from vectis.core.message import Message
from vectis_sqlite import SqliteSettings, SqliteTransport

async def main():
    transport = SqliteTransport(SqliteSettings(path=sys.argv[1]))
    send = transport.carrier("orders").send
    await send(Message("orders", b"7", b"0"))
    acknowledged, errors = [0], []
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
    for number in range(1, 400):
        try:
            await send(Message("orders", b"7", b"%06d" % number + b"." * 10_000))
            acknowledged.append(number)
        except PublishError as error:
            errors.append([error.fate, str(error)])
            if len(errors) == 3:
                break
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await send(Message("orders", b"7", b"1000"))
    await transport.close()
    print(json.dumps({"acknowledged": [*acknowledged, 1000], "errors": errors}))

asyncio.run(main())
"""


def test_a_full_file_system_loses_nothing_acknowledged_and_the_process_goes_on(file: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(file)], capture_output=True, text=True, check=True
    )
    report = json.loads(run.stdout)
    assert len(report["errors"]) == 3
    for fate, text in report["errors"]:
        assert fate in ("rejected", "unknown")
        assert str(file) in text
        assert "ulimit -f" in text or "the disk is full" in text

    async def main() -> list[int]:
        transport = transport_for(file)
        values = await stored(transport)
        await close(transport, "orders")
        return [int((value or b"").rstrip(b".")) for value in values]

    found = asyncio.run(main())
    assert set(report["acknowledged"]) <= set(found)
    assert found == sorted(found)
    with closing(sqlite3.connect(file)) as check:
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_transaction_that_hits_the_limit_of_the_file_is_rejected_as_a_whole(file: Path) -> None:
    """`max_page_count` belongs to a connection, so this goes through the writer's own."""
    from vectis_sqlite._database import Database
    from vectis_sqlite._faults import Fault, explain
    from vectis_sqlite._records import Topics, append, row_of

    settings = SqliteSettings(path=str(file))
    database = Database(file, settings)
    with database as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 20}")
        row = row_of(Message("orders", b"7", b"." * 10_000))
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError) as caught:
            append(connection, Topics(8), [row] * 100)
        fault = explain(caught.value, file, busy_timeout=1, phase="work")
        assert isinstance(fault, Fault)
        assert fault.for_publisher().fate == "rejected"
        assert "the disk is full" in str(fault)
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        assert connection.execute("SELECT count(*) FROM log").fetchone() == (0,)
    database.close()


READ_ONLY = """
import asyncio, json, os, sys, tempfile
from vectis.core.exceptions import PublishError, TransportError
from vectis.core.message import Message
from vectis_sqlite import SqliteSettings, SqliteTransport

async def main():
    transport = SqliteTransport(SqliteSettings(path=sys.argv[1]))
    send = transport.carrier("orders").send
    with tempfile.TemporaryDirectory() as folder:  # so that everything is imported by now
        warm = SqliteTransport(SqliteSettings(path=folder + "/events.db"))
        await warm.carrier("orders").send(Message("orders"))
        await warm.close()
    if os.geteuid() == 0:  # root may write everything
        os.setgid(65534)
        os.setuid(65534)
    try:
        await send(Message("orders", b"7", b"1"))
    except PublishError as error:
        print(json.dumps([error.fate, str(error)]), flush=True)
    sys.stdin.readline()
    await send(Message("orders", b"7", b"2"))
    await transport.close()

asyncio.run(main())
"""


def test_a_read_only_file_is_reported_and_written_once_it_may_be() -> None:
    folder = Path(tempfile.mkdtemp(prefix="vectis-"))
    file = folder / "events.db"
    try:
        transport = transport_for(file)

        async def make() -> None:
            await accepted(transport)
            await close(transport, "orders")

        asyncio.run(make())
        folder.chmod(0o555)
        file.chmod(0o444)
        with subprocess.Popen(
            [sys.executable, "-c", READ_ONLY, str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            fate, text = json.loads(child.stdout.readline())
            assert fate in ("not_sent", "rejected")
            assert str(file) in text
            assert "must be able to write" in text
            folder.chmod(0o777)
            file.chmod(0o666)
            child.stdin.write("\n")
            child.stdin.flush()
            assert child.wait(60) == 0
        assert sum(topic.records for topic in transport.describe_topics()) == 2
    finally:
        folder.chmod(0o777)
        shutil.rmtree(folder)
