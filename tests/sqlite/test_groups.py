"""Groups when the file is locked, replaced or restored: nobody reads twice, nothing lies unread."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sqlite.processes import child, line
from vectis.core.exceptions import TransportError
from vectis.core.message import Message, TopicPartition
from vectis.core.testing.contract import Member, close, publish
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DEADLINE = 30


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def transport_for(file: Path, *, lease: float = 0.5, busy_timeout: float = 5.0) -> SqliteTransport:
    return SqliteTransport(
        SqliteSettings(path=str(file), lease=lease, busy_timeout=busy_timeout, partitions=8)
    )


def move_away(file: Path) -> None:
    for path in (file, Path(f"{file}-wal"), Path(f"{file}-shm")):
        if path.exists():
            path.rename(f"{path}.old")


class Calm(Member):
    """A member that commits nothing where it lost partitions: their file may be gone."""

    async def _on_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self.revoked.append(partitions)


async def fetch_until(member: Member, condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            with suppress(TransportError):  # there is no file for a moment, or it is locked
                await member.fetch()


async def fetch_for_ever(member: Member) -> None:
    async with asyncio.timeout(DEADLINE):
        while True:
            await member.fetch()


MEMBER = """
import asyncio, sys
from vectis.core.exceptions import TransportError
from vectis.core.message import Message, TopicPartition
from vectis.core.testing.contract import Member
from vectis_sqlite import SqliteSettings, SqliteTransport

async def main():
    settings = SqliteSettings(path=sys.argv[1], lease=0.5, partitions=8)
    async with Member(SqliteTransport(settings), "orders", "shop") as member:
        held = None
        while True:
            try:
                for delivery in await member.fetch():
                    print("read", delivery.value.decode(), flush=True)
            except TransportError:  # there is no file for a moment, or it is locked
                continue
            if len(member.consumer.assignment()) != held:
                held = len(member.consumer.assignment())
                print("holds", held, flush=True)

asyncio.run(main())
"""


def test_members_that_meet_in_a_new_file_stay_two(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        with child(MEMBER, file) as other:  # the first member of the old file
            assert line(other) == "holds 8"
            async with Member(transport, "orders", "shop") as member:
                await fetch_until(member, lambda: len(member.consumer.assignment()) == 4)
                assert line(other) == "holds 4"
                other.send_signal(signal.SIGSTOP)
                move_away(file)
                # And this one is the first of the new file.
                await fetch_until(member, lambda: len(member.consumer.assignment()) == 8)
                other.send_signal(signal.SIGCONT)
                await fetch_until(member, lambda: len(member.consumer.assignment()) == 4)
                await publish(transport, "orders", count=80)
                await read_all(member)
                mine = {int(delivery.value or b"") for delivery in member.deliveries}
                assert 0 < len(mine) < 80
                theirs: set[int] = set()
                while len(theirs) < 80 - len(mine):
                    what, number = line(other).split()
                    if what == "read":
                        theirs.add(int(number))
                assert mine.isdisjoint(theirs)
        await close(transport, "orders")

    asyncio.run(main())


async def read_all(member: Member) -> None:
    """Read until nothing more comes."""
    while await member.fetch(timeout=0.5):
        pass


def copy_of(file: Path) -> Path:
    copy = file.with_suffix(".copy")
    with closing(sqlite3.connect(file)) as live:
        live.execute("VACUUM INTO ?", (str(copy),))
    return copy


@pytest.mark.parametrize("others", [0, 200])
def test_a_copy_without_the_topic_gives_no_records_of_other_topics(file: Path, others: int) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await publish(transport, "payments", count=others)
        async with Member(transport, "orders" if others else "payments", "audit"):
            copy = copy_of(file)  # with the partitions of no topic, or with those of another one
        await close(transport, "payments")
        if others:
            move_away(file)
        async with Calm(transport, "orders", "shop") as member:
            await publish(transport, "orders", count=20, start=1_000)
            await member.read(20)
            async with asyncio.timeout(DEADLINE):
                for path in (Path(f"{file}-wal"), Path(f"{file}-shm")):
                    path.unlink(missing_ok=True)
                copy.replace(file)
                asked = asyncio.ensure_future(member.consumer.lag())
                while not await asyncio.to_thread(topics_in, file) >= {"orders"}:
                    await member.fetch()
            with suppress(TransportError):  # asked about partitions that are not there any more
                assert not any((await asked).values())
            await publish(transport, "orders", count=20, start=2_000)
            await member.read(20)
            assert set(await member.consumer.ends()) == member.consumer.assignment()
            await member.commit()
            numbers = sorted(int(delivery.value or b"") for delivery in member.deliveries)
            assert numbers == [*range(1_000, 1_020), *range(2_000, 2_020)]
        await close(transport, "orders")

    asyncio.run(main())


PAYER = """
import asyncio, sys
from vectis.core.message import Message
from vectis_sqlite import SqliteSettings, SqliteTransport

async def main():
    transport = SqliteTransport(SqliteSettings(path=sys.argv[1]))
    send = transport.carrier("payments").send
    for n in range(20):
        await send(Message("payments", b"k%d" % n, b"payment", (("paid", b"%d" % n),)))
    await transport.close()

asyncio.run(main())
"""


def test_a_backup_restored_into_the_open_file_mixes_nothing_up(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        send = transport.carrier("orders").send
        await publish(transport, "carts", count=1)
        copy = copy_of(file)
        async with (
            Calm(transport, "orders", "shop") as member,
            Member(transport, "orders", None) as reader,
        ):

            async def order(count: int) -> None:
                for n in range(count):
                    await send(Message("orders", b"k%d" % n, b"order", (("ordered", b"%d" % n),)))

            await order(40)
            await member.read(40)
            await reader.read(40)
            with closing(connect(copy)) as backup, closing(connect(file)) as live:
                backup.backup(live)  # what `.restore` of the sqlite3 program does
            with child(PAYER, file) as payer:  # gets the ids that the orders had
                assert payer.wait(DEADLINE) == 0
            await order(20)
            for where in reader.consumer.assignment():
                await reader.consumer.seek(where, 0)
            for one in (member, reader):
                for delivery in await one.read(20):
                    assert delivery.value == b"order"
                    assert [name for name, _ in delivery.headers] == ["ordered"]
            await member.commit()
        async with Member(transport, "payments", None) as payments:
            for delivery in await payments.read(20):
                assert delivery.value == b"payment"
                assert [name for name, _ in delivery.headers] == ["paid"]
            assert await payments.fetch() == []
        await close(transport, "orders")

    asyncio.run(main())


def topics_in(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as look:
        return {name for (name,) in look.execute("SELECT name FROM topics")}


def test_what_could_not_be_handed_over_is_read_again(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file, busy_timeout=0.2)
        async with Member(transport, "orders", "shop") as member:
            await fetch_until(member, lambda: member.consumer.assignment())
            with child(MEMBER, file) as other, closing(connect(file)) as lock:

                async def drain() -> None:
                    lock.execute("BEGIN IMMEDIATE")
                    other.kill()
                    other.wait()

                member.drain = drain
                with pytest.raises(TransportError, match="locked for longer"):
                    await fetch_for_ever(member)
                assert len(member.consumer.assignment()) == 4
                # The lease of the one that was killed runs out before the file is free again.
                await asyncio.to_thread(until_expired, file, other.pid)
                lock.execute("ROLLBACK")
                # The thread renews, also while nobody fetches.
                await asyncio.to_thread(until, lambda: members_of(file) == 1)
                await fetch_until(member, lambda: len(member.consumer.assignment()) == 8)
            await publish(transport, "orders", count=80)
            assert len(await member.read(80)) == 80
        await close(transport, "orders")

    asyncio.run(main())


def connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, isolation_level=None, check_same_thread=False)


def members_of(file: Path) -> int:
    with closing(connect(file)) as look:
        return int(look.execute("SELECT count(*) FROM members").fetchone()[0])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def until_expired(file: Path, process: int) -> None:
    """Wait until the lease of a process has run out."""
    with closing(connect(file)) as look:
        query = "SELECT expires FROM members WHERE process = ?"
        (expires,) = look.execute(query, (process,)).fetchone()
    while time.monotonic() < expires:
        time.sleep(expires - time.monotonic())


def test_a_file_that_was_locked_for_longer_than_the_leases_costs_nobody_anything(
    file: Path,
) -> None:
    async def main() -> None:
        transport = transport_for(file)
        async with Member(transport, "orders", "shop") as member:
            await member.fetch()
            with child(MEMBER, file), child(MEMBER, file), closing(connect(file)) as lock:
                await fetch_until(member, lambda: everything_is_held(file, by=3))
                before = leases(file)
                for _ in range(2):  # whoever gets it first
                    lock.execute("BEGIN IMMEDIATE")
                    await asyncio.to_thread(until, lambda: expiry(file, max) < time.monotonic())
                    lock.execute("ROLLBACK")
                    free = time.monotonic()
                    # Everybody has renewed after the time that the first one gave the others.
                    await asyncio.to_thread(renewed, file, free + 0.5 + 0.2)
                    assert leases(file) == before
            assert member.revoked != []
            revoked = len(member.revoked)
            await fetch_until(member, lambda: len(member.consumer.assignment()) == 8)
            assert len(member.revoked) == revoked
        await close(transport, "orders")

    asyncio.run(main())


def renewed(file: Path, since: float) -> None:
    until(lambda: expiry(file, min) > since + 0.5)


def leases(file: Path) -> dict[int, tuple[int | None, int]]:
    """Return the member that holds each partition, and how many have held it."""
    with closing(connect(file)) as look:
        found = look.execute("SELECT partition_id, member, epoch FROM leases").fetchall()
    return {id: (member, epoch) for id, member, epoch in found}


def everything_is_held(file: Path, *, by: int) -> bool:
    """Whether each partition has an owner, and the members have shares as equal as can be."""
    owners = Counter(member for member, _ in leases(file).values())
    shares = owners.values()
    return None not in owners and len(shares) == by and max(shares) - min(shares) <= 1


def expiry(file: Path, which: Callable[[Iterable[float]], float]) -> float:
    """Return when the first or the last lease of the members runs out."""
    with closing(connect(file)) as look:
        return which(expires for (expires,) in look.execute("SELECT expires FROM members"))
