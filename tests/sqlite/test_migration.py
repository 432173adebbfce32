"""Files of older releases: brought up to date once, whatever happens in the middle of it."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.sqlite.processes import child, line
from vectis.core.exceptions import PublishError, TransportError
from vectis.core.message import Message, TopicPartition
from vectis.core.testing.contract import Member, close, publish
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from pathlib import Path

SEED = 20_240_131

VERSION_2 = """
CREATE TABLE topics (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE partitions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic INTEGER NOT NULL REFERENCES topics (id),
    number INTEGER NOT NULL,
    next_offset INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, number)
);
CREATE TABLE log (
    place INTEGER PRIMARY KEY,
    key BLOB,
    value BLOB,
    headers BLOB NOT NULL,
    timestamp INTEGER NOT NULL
);
CREATE VIEW records AS
    SELECT topics.name AS topic, partitions.number AS "partition",
        log.place & 1099511627775 AS "offset", log.key, log.value, log.headers, log.timestamp
    FROM log
    JOIN partitions ON partitions.id = log.place >> 40
    JOIN topics ON topics.id = partitions.topic;
CREATE TABLE groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE members (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id INTEGER NOT NULL REFERENCES groups (id),
    topics TEXT NOT NULL,
    process INTEGER NOT NULL,
    lease REAL NOT NULL,
    expires REAL NOT NULL,
    bell TEXT
);
CREATE TABLE leases (
    group_id INTEGER NOT NULL REFERENCES groups (id),
    partition_id INTEGER NOT NULL REFERENCES partitions (id),
    member INTEGER REFERENCES members (id),
    epoch INTEGER NOT NULL DEFAULT 0,
    committed INTEGER,
    PRIMARY KEY (group_id, partition_id)
) WITHOUT ROWID;
PRAGMA application_id = 0x56637473;
PRAGMA user_version = 2;
"""

HEADERS = b'[["ce_type","trace"],[13,1]]\norder.created7'
SIZE = 32 + len(HEADERS) + 2


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def make_version_2(file: Path, *, records: int) -> None:
    """Make a file as schema 2 left it: one topic, two partitions, a group halfway."""
    with closing(sqlite3.connect(file)) as old:
        old.execute("PRAGMA journal_mode = WAL")
        old.executescript(VERSION_2)
        old.execute("INSERT INTO topics (name) VALUES ('orders')")
        old.executemany(
            "INSERT INTO partitions (topic, number, next_offset, bytes) VALUES (1, ?, ?, ?)",
            [(0, records, records * SIZE), (1, 0, 0)],
        )
        old.executemany(
            "INSERT INTO log VALUES (?, ?, ?, ?, 1700000000000)",
            ((1 << 40 | n, b"7", b"%d" % n, HEADERS) for n in range(records)),
        )
        old.execute("INSERT INTO groups (name) VALUES ('shop')")
        old.execute("INSERT INTO leases (group_id, partition_id, committed) VALUES (1, 1, ?)", (4,))
        old.execute("INSERT INTO leases (group_id, partition_id) VALUES (1, 2)")
        old.commit()


def version_of(file: Path) -> int:
    with closing(sqlite3.connect(file)) as check:
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (version,) = check.execute("PRAGMA user_version").fetchone()
        return int(version)


def columns(file: Path) -> dict[str, list[str]]:
    with closing(sqlite3.connect(file)) as check:
        tables = check.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")
        return {
            name: [row[1] for row in check.execute(f"PRAGMA table_info({name})")]
            for (name,) in tables.fetchall()
        }


def transport_for(file: Path) -> SqliteTransport:
    return SqliteTransport(SqliteSettings(path=str(file), busy_timeout=0.2))


def test_a_file_of_version_2_goes_on_where_it_was(file: Path) -> None:
    make_version_2(file, records=10)

    async def main() -> None:
        transport = transport_for(file)
        receipt = await transport.carrier("orders").send(Message("orders", b"10", b"10"))
        async with Member(transport, "orders", "shop") as member:
            where = TopicPartition("orders", 0)
            deliveries = await member.read(7)
            assert await member.consumer.committed(where) == 4
            old = [delivery for delivery in deliveries if delivery.value != b"10"]
            assert [delivery.offset for delivery in old] == [4, 5, 6, 7, 8, 9]
            assert old[0].headers == (("ce_type", b"order.created"), ("trace", b"7"))
            await member.commit()
        assert (receipt.topic, receipt.offset) == ("orders", 10 if receipt.partition == 0 else 0)
        await close(transport, "orders")

    asyncio.run(main())
    assert version_of(file) == 3


def test_a_migrated_file_is_like_a_new_one(file: Path, tmp_path: Path) -> None:
    make_version_2(file, records=10)
    new = tmp_path / "new.db"

    async def main() -> None:
        for path in (file, new):
            transport = transport_for(path)
            await publish(transport, "accounts", count=1)
            await close(transport, "accounts")

    asyncio.run(main())
    assert columns(file) == columns(new)


def test_looking_at_an_old_file_leaves_it_old(file: Path) -> None:
    make_version_2(file, records=10)
    (topic,) = transport_for(file).describe_topics()
    assert (topic.records, topic.lag("shop")) == (10, 6)
    assert version_of(file) == 2


def test_a_file_that_cannot_be_migrated_now_is_migrated_later(file: Path) -> None:
    make_version_2(file, records=10)

    async def main() -> None:
        transport = transport_for(file)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(PublishError, match="locked for longer") as caught:
                await publish(transport, "orders", count=1)
            assert caught.value.fate == "not_sent"
            other.execute("ROLLBACK")
        assert version_of(file) == 2
        await publish(transport, "orders", count=1)
        await close(transport, "orders")

    asyncio.run(main())
    assert version_of(file) == 3


def test_a_newer_file_is_refused_by_readers_too(file: Path) -> None:
    make_version_2(file, records=1)
    with closing(sqlite3.connect(file)) as newer:
        newer.execute("PRAGMA user_version = 4")
    with pytest.raises(TransportError, match="schema 4, this one knows 3"):
        transport_for(file).describe_topics()
    assert version_of(file) == 4


MIGRATOR = """
import asyncio, sys
from vectis.core.testing.contract import publish
from vectis_sqlite import SqliteSettings, SqliteTransport

print("ready", flush=True)
asyncio.run(publish(SqliteTransport(SqliteSettings(path=sys.argv[1])), "orders", count=1))
print("published", flush=True)
sys.stdin.readline()
"""


def test_a_migration_that_is_killed_happened_or_did_not(file: Path) -> None:
    chance = random.Random(SEED)
    outcomes = set()
    for turn in range(6):
        path = file.with_name(f"{turn}.db")
        make_version_2(path, records=30_000)
        with child(MIGRATOR, path) as migrator:
            assert line(migrator) == "ready"
            time.sleep(chance.random() * 0.1)  # a moment, any one
            migrator.send_signal(signal.SIGKILL)
            migrator.wait()
        outcomes.add(version_of(path))

        async def go_on(path: Path = path) -> None:
            transport = transport_for(path)
            await publish(transport, "orders", count=1)
            await close(transport, "orders")

        asyncio.run(go_on())
        assert version_of(path) == 3
        (topic,) = transport_for(path).describe_topics()
        assert topic.records >= 30_001
    assert outcomes <= {2, 3}
