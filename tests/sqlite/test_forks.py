"""Forks of a process that works with the file: parent and child go on, and neither loses anything.

Each test starts a new process and lets that one fork.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sqlite.processes import child, line, say

if TYPE_CHECKING:
    import subprocess

DEADLINE = 60

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

START = """
import _imp, asyncio, ctypes, os, signal, sys, threading, warnings
from vectis.core.exceptions import PublishError, TransportError
from vectis.core.message import Message
from vectis.core.testing.contract import Member, publish
from vectis_sqlite import SqliteSettings, SqliteTransport

warnings.simplefilter("ignore")  # Python itself warns of forks beside threads

def transport(**settings):
    return SqliteTransport(SqliteSettings(path=sys.argv[1], partitions=1, **settings))

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

async def send(transport, text):
    receipt = await transport.carrier("orders").send(Message("orders", b"k", text.encode()))
    return receipt.offset

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def stored(file: Path) -> dict[int, str]:
    with closing(sqlite3.connect(file)) as check:
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return dict(check.execute('SELECT "offset", CAST(value AS TEXT) FROM records').fetchall())


def acknowledged(process: subprocess.Popen[str]) -> dict[int, str]:
    """Return what the process says was acknowledged until it ends, by offset."""
    assert process.stdout is not None
    lines = [text.split() for text in process.stdout]
    assert process.wait(DEADLINE) == 0
    assert lines, "something was acknowledged"
    assert len({offset for _, offset in lines}) == len(lines), "no offset twice"
    return {int(offset): text for text, offset in lines}


TAKING_TURNS = """
mine = transport()
say("parent-1", asyncio.run(send(mine, "parent-1")))
to_parent, from_child = os.pipe()
to_child, from_parent = os.pipe()
pid = os.fork()
if pid == 0:
    say("child-1", asyncio.run(send(mine, "child-1")))
    os.write(from_child, b"x")
    os.read(to_child, 1)
    for number in range(2, 6):
        say(f"child-{number}", asyncio.run(send(mine, f"child-{number}")))
    os.write(from_child, b"x")
    os.read(to_child, 1)
    say("child-6", asyncio.run(send(mine, "child-6")))
    os.kill(os.getpid(), signal.SIGKILL)
os.read(to_parent, 1)
asyncio.run(mine.close())
os.write(from_parent, b"x")
os.read(to_parent, 1)
say("parent-2", asyncio.run(send(mine, "parent-2")))
os.write(from_parent, b"x")
ended(pid)
"""


def test_a_parent_that_closes_the_file_takes_nothing_from_its_child(file: Path) -> None:
    with child(START + TAKING_TURNS, file) as process:
        found = acknowledged(process)
    assert len(found) == 8
    assert stored(file) == found


BUSY = """
mine = transport()
stop = threading.Event()

async def publish_on(name):
    number = 0
    while not stop.is_set():
        number += 1
        say(f"{name}-{number}", await send(mine, f"{name}-{number}"))

async def publish_many():
    await asyncio.gather(*(publish_on(f"parent-{task}") for task in range(20)))

def fork(name):
    for turn in range(6):
        pid = os.fork()
        if pid == 0:
            for number in range(2):
                text = f"{name}-{turn}-{number}"
                say(text, asyncio.run(send(mine, text)))
            os._exit(0)
        results.append(ended(pid))

results = []
threads = [threading.Thread(target=fork, args=(f"child-{n}",)) for n in range(2)]
publisher = threading.Thread(target=asyncio.run, args=(publish_many(),))
for thread in (publisher, *threads):
    thread.start()
for thread in threads:
    thread.join()
stop.set()
publisher.join()
sys.exit(results != [0] * 12)
"""


def test_threads_may_fork_while_another_one_publishes(file: Path) -> None:
    with child(START + BUSY, file) as process:
        found = acknowledged(process)
    assert len([text for text in found.values() if text.startswith("child")]) == 24
    assert stored(file) == found


CONSUMING = """
mine = transport(lease=0.5)

async def main():
    async with Member(mine, "orders", "shop") as member, Member(mine, "orders", None) as reader:
        await publish(mine, "orders", count=10)
        await member.read(10)
        await reader.read(10)
        fetches = [asyncio.ensure_future(one.fetch(timeout=60)) for one in (member, reader)]
        await asyncio.to_thread(fork)
        await publish(mine, "orders", count=1, start=10)
        say(*[len(await fetch) for fetch in fetches])
        await member.commit()
        say(len(member.assigned), len(member.revoked), len(member.consumer.assignment()))
    await mine.close()

def fork():
    for _ in range(10):
        pid = os.fork()
        if pid == 0:
            open_files = [os.readlink(f"/proc/self/fd/{number}") for number in descriptors()]
            os._exit(any(name.startswith(sys.argv[1]) and "-bells" not in name
                         for name in open_files))
        say(ended(pid))

def descriptors():
    folder = os.open("/proc/self/fd", os.O_RDONLY)
    return [name for name in os.listdir("/proc/self/fd") if name != str(folder)
            and os.path.islink(f"/proc/self/fd/{name}")]

asyncio.run(main())
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system has no /proc")
def test_consumers_go_on_and_the_child_inherits_no_open_file(file: Path) -> None:
    with child(START + CONSUMING, file) as process:
        for _ in range(10):
            assert line(process) == "0"
        assert line(process) == "1 1", "both fetches that waited had the new record"
        assert line(process) == "1 0 1", "nothing was revoked"
        assert process.wait(DEADLINE) == 0


WITHOUT_A_WARNING = """
mine = transport()
say(asyncio.run(send(mine, "parent-1")))
_imp.acquire_lock()
pid = ctypes.PyDLL(None).fork()  # as a server written in C does it
if pid == 0:
    ctypes.pythonapi.PyOS_AfterFork_Child()
    for use in (lambda: asyncio.run(send(mine, "child")), mine.describe_topics):
        try:
            say(use())
        except TransportError as error:
            say(error)
    os._exit(0)
_imp.release_lock()
say(ended(pid))
say(asyncio.run(send(mine, "parent-2")))
"""


def test_a_child_of_a_fork_that_python_was_not_told_of_is_told_to_spawn(file: Path) -> None:
    with child(START + WITHOUT_A_WARNING, file) as process:
        assert line(process) == "0"
        refusal = line(process)
        assert "Start it as a new process instead: with the start method 'spawn'" in refusal
        assert "The message is not stored" in refusal
        assert "Start it as a new process instead" in line(process)
        assert [line(process), line(process)] == ["0", "1"]
        assert process.wait(DEADLINE) == 0
    assert stored(file) == {0: "parent-1", 1: "parent-2"}


LOCKED = """
mine, childs = transport(busy_timeout=60.0), transport(busy_timeout=0.1)

def fork():
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(send(childs, "child"))
        except PublishError as error:
            os._exit(0 if "spawn" in str(error) else 1)
        os._exit(2)
    return ended(pid)

async def main():
    say(await send(mine, "parent-1"))
    await asyncio.to_thread(sys.stdin.readline)  # from here on the file is locked
    waiting = asyncio.ensure_future(send(mine, "parent-2"))
    await asyncio.sleep(0)
    while await asyncio.to_thread(fork) == 1:  # the writing thread had not yet begun
        pass
    say("refused")
    say(await waiting)
    await mine.close()

asyncio.run(main())
"""


def test_a_fork_does_not_wait_for_a_file_that_stays_locked(file: Path) -> None:
    with child(START + LOCKED, file) as process, closing(sqlite3.connect(file)) as other:
        assert line(process) == "0"
        other.execute("BEGIN IMMEDIATE")
        say(process)
        assert line(process) == "refused"
        other.rollback()
        assert line(process) == "1", "the parent goes on"
        assert process.wait(DEADLINE) == 0
    assert stored(file) == {0: "parent-1", 1: "parent-2"}
