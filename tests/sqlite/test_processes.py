"""What crosses processes: kill -9 of publishers, members that die or fall asleep, forks."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
from collections import defaultdict
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.sqlite.processes import child, line, say
from vectis.core.message import TopicPartition
from vectis.core.testing.contract import Member, close, publish
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from pathlib import Path

SEED = 20_240_131
DEADLINE = 60


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def transport_for(file: Path, *, lease: float = 0.5) -> SqliteTransport:
    return SqliteTransport(SqliteSettings(path=str(file), lease=lease))


PUBLISHER = """
import asyncio, os, sys
from vectis.core.message import Message
from vectis_sqlite import SqliteSettings, SqliteTransport

async def main():
    transport = SqliteTransport(SqliteSettings(path=sys.argv[1], synchronous=sys.argv[2]))
    send = transport.carrier("orders").send
    start = int(sys.argv[3])

    async def customer(key):
        number = start
        while True:
            await send(Message("orders", b"k%d" % key, b"%d" % number))
            os.write(1, b"%d %d\\n" % (key, number))
            number += 1

    await asyncio.gather(*(customer(key) for key in range(30)))

asyncio.run(main())
"""


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
def test_what_was_acknowledged_survives_ten_kills(file: Path, synchronous: str) -> None:
    chance = random.Random(SEED)
    acknowledged: set[tuple[bytes, bytes]] = set()
    for turn in range(10):
        with child(PUBLISHER, file, synchronous, turn * 1_000_000) as publisher:
            assert publisher.stdout is not None
            for _ in range(chance.randrange(1, 1_500)):
                note(line(publisher), acknowledged)
            publisher.send_signal(signal.SIGKILL)
            for text in publisher.stdout:
                if text.endswith("\n"):
                    note(text, acknowledged)

    async def main() -> dict[bytes, list[int]]:
        transport = transport_for(file)
        (topic,) = transport.describe_topics()
        found: dict[bytes, list[int]] = defaultdict(list)
        async with Member(transport, "orders", "check") as member:
            for delivery in await member.read(topic.records):
                found[delivery.key or b""].append(int(delivery.value or b""))
        await close(transport, "orders")
        return found

    found = asyncio.run(main())
    stored = {(key, b"%d" % number) for key, numbers in found.items() for number in numbers}
    assert acknowledged - stored == set()
    for numbers in found.values():
        assert numbers == sorted(set(numbers)), "in order, and none twice"
    # At most what each of the 30 customers had in flight is there without having been acknowledged.
    assert len(stored - acknowledged) <= 10 * 30
    with closing(sqlite3.connect(file)) as check:
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def note(text: str, acknowledged: set[tuple[bytes, bytes]]) -> None:
    key, number = text.split()
    acknowledged.add((b"k" + key.encode(), number.encode()))


MEMBER = """
import asyncio, sys
from vectis.core.exceptions import LeaseLost
from vectis.core.testing.contract import Member
from vectis_sqlite import SqliteSettings, SqliteTransport

async def main():
    transport = SqliteTransport(SqliteSettings(path=sys.argv[1], lease=0.5))
    async with Member(transport, "orders", "shop") as member:
        await member.read(80)
        print("read", len(member.consumer.assignment()), flush=True)
        sys.stdin.readline()  # this blocks the event loop, and must not cost the lease
        try:
            await member.commit()
            print("committed", flush=True)
        except LeaseLost as error:
            print(error, flush=True)
        if "leave" not in sys.argv:
            sys.stdin.readline()

asyncio.run(main())
"""


def test_the_partitions_of_a_killed_member_are_taken_over(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await publish(transport, "orders", count=80)
        with child(MEMBER, file) as other:
            assert line(other) == "read 8"
            other.send_signal(signal.SIGKILL)
            other.wait()
            async with Member(transport, "orders", "shop") as member:
                assert len(await member.read(80)) == 80
        await close(transport, "orders")

    asyncio.run(main())


def test_a_member_that_slept_past_its_lease_cannot_commit(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await publish(transport, "orders", count=80)
        with child(MEMBER, file) as other:
            assert line(other) == "read 8"
            other.send_signal(signal.SIGSTOP)
            async with Member(transport, "orders", "shop") as member:
                await member.read(80)
                await member.consumer.commit({TopicPartition("orders", 0): 1})
                say(other)
                other.send_signal(signal.SIGCONT)
                assert "went to another member, nothing was stored" in line(other)
                assert await member.consumer.committed(TopicPartition("orders", 0)) == 1
        await close(transport, "orders")

    asyncio.run(main())


def test_a_blocked_event_loop_keeps_its_lease(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await publish(transport, "orders", count=80)
        with child(MEMBER, file, "leave") as other:
            assert line(other) == "read 8"
            async with Member(transport, "orders", "shop") as member:
                # Longer than the lease: the other one's loop is blocked, its thread is not.
                assert await member.fetch(timeout=1.5) == []
                assert member.consumer.assignment() == frozenset()
                say(other)
                assert line(other) == "committed"
                other.wait(DEADLINE)
                assert await member.fetch(timeout=0.2) == [], "everything was committed"
                assert len(member.consumer.assignment()) == 8
        await close(transport, "orders")

    asyncio.run(main())


@pytest.mark.parametrize("lease", [0.1, 0.3, 0.7, 1.1])
def test_a_member_alone_keeps_what_it_has_whatever_its_lease(file: Path, lease: float) -> None:
    async def main() -> None:
        transport = transport_for(file, lease=lease)
        await publish(transport, "orders", count=20)
        async with Member(transport, "orders", "shop") as member:
            await member.read(20)
            assert await member.fetch(timeout=2 * lease) == []
            assert len(member.assigned) == 1
            assert member.revoked == []
        await close(transport, "orders")

    asyncio.run(main())


def test_a_member_may_drain_for_longer_than_its_lease(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file, lease=0.3)
        await publish(transport, "orders", count=80)
        async with Member(transport, "orders", "shop") as member:
            await member.read(80)
            member.drain = partial(asyncio.sleep, 1.0)
            with child(MEMBER, file) as other:
                async with asyncio.timeout(DEADLINE):
                    while not member.commit_on_revoke:
                        await member.fetch()
                assert len(member.consumer.assignment()) == 4
                for where, offset in member.commit_on_revoke.items():
                    assert await member.consumer.committed(where) == offset
                other.kill()
        await close(transport, "orders")

    asyncio.run(main())


WAKER = """
import asyncio, sys
from vectis.core.testing.contract import publish
from vectis_sqlite import SqliteSettings, SqliteTransport

sys.stdin.readline()
asyncio.run(publish(SqliteTransport(SqliteSettings(path=sys.argv[1])), "orders", count=1))
"""


def test_a_message_from_another_process_wakes_up_a_waiting_consumer(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        with child(WAKER, file) as publisher:
            async with Member(transport, "orders", "shop") as member:
                await member.fetch()
                waiting = asyncio.ensure_future(member.fetch(timeout=DEADLINE))
                await asyncio.sleep(0)
                say(publisher)
                assert len(await waiting) == 1
        await close(transport, "orders")

    asyncio.run(main())


CREATOR = """
import asyncio, sys
from vectis.core.testing.contract import publish
from vectis_sqlite import SqliteSettings, SqliteTransport

print("ready", flush=True)
sys.stdin.readline()
transport = SqliteTransport(SqliteSettings(path=sys.argv[1]))
asyncio.run(publish(transport, "orders", count=50))
"""


def test_processes_that_make_the_file_at_once_share_it(file: Path) -> None:
    with child(CREATOR, file) as one, child(CREATOR, file) as two, child(CREATOR, file) as three:
        for process in (one, two, three):
            line(process)
        for process in (one, two, three):
            say(process)
        for process in (one, two, three):
            assert process.wait(DEADLINE) == 0
    (topic,) = transport_for(file).describe_topics()
    assert topic.records == 150


FORK = """
import asyncio, os, sys, warnings
from vectis.core.exceptions import TransportError
from vectis.core.message import Message
from vectis.core.testing.contract import Member, publish
from vectis_sqlite import SqliteSettings, SqliteTransport

warnings.simplefilter("ignore")  # Python itself warns of forks beside threads
transport = SqliteTransport(SqliteSettings(path=sys.argv[1]))
member = Member(transport, "orders", "parent")
reader = Member(transport, "orders", None)

async def before():
    await publish(transport, "orders", count=1)
    await member.__aenter__()
    await member.read(1)
    await reader.__aenter__()
    await reader.read(1)

async def in_child():
    await publish(transport, "orders", count=1, start=1)
    for use in (member.fetch, member.commit, reader.fetch):
        try:
            await use()
        except TransportError as error:
            print(error, flush=True)
    await member.consumer.close()
    await reader.consumer.close()
    async with Member(transport, "orders", "child") as own:
        print("child read", len(await own.read(2)), flush=True)
    await transport.close()

async def after():
    await member.read(1)
    await member.commit()
    await member.__aexit__()
    await reader.read(1)
    await reader.__aexit__()
    await publish(transport, "orders", count=1, start=2)
    await transport.close()

asyncio.run(before())
pid = os.fork()
if pid == 0:
    asyncio.run(in_child())
    sys.exit(0)
_, status = os.waitpid(pid, 0)
print("child ended with", os.waitstatus_to_exitcode(status), flush=True)
asyncio.run(after())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_opens_its_own_and_the_parent_goes_on(file: Path) -> None:
    with child(FORK, file) as process:
        for _ in range(3):
            assert "belongs to the process that forked" in line(process)
        assert line(process) == "child read 2"
        assert line(process) == "child ended with 0"
        assert process.wait(DEADLINE) == 0
    (topic,) = transport_for(file).describe_topics()
    assert topic.records == 3
    assert topic.lag("parent") == 1
    with closing(sqlite3.connect(file)) as check:
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
