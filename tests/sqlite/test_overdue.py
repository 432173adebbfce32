"""The deadline of a message that is published alone: this transport keeps it by itself."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from vectis.core import Hub
from vectis.core.exceptions import PublishError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def lock(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as lock:
        yield lock


def hub_for(file: Path, *, publish_timeout: float, busy_timeout: float = 60.0) -> Hub:
    return Hub(
        {
            "sqlite": {"path": str(file), "busy_timeout": busy_timeout, "partitions": 1},
            "hub": {"transport": "sqlite", "publish_timeout": publish_timeout},
        }
    )


async def publish(hub: Hub, number: int = 0) -> int:
    receipt = await hub.publish("orders", "order.created", {"number": number}, key="k")
    assert receipt is not None
    return receipt.offset


def test_what_is_not_stored_in_time_fails_and_may_be_stored_all_the_same(
    file: Path, lock: sqlite3.Connection
) -> None:
    async def main() -> None:
        hub = hub_for(file, publish_timeout=0.3)
        assert await publish(hub) == 0
        lock.execute("BEGIN IMMEDIATE")
        late = await asyncio.gather(publish(hub), publish(hub), return_exceptions=True)
        for error in late:
            assert isinstance(error, PublishError)
            assert "not stored within [hub] publish_timeout" in str(error)
            assert error.fate == "unknown"
        # One is in the writer's hands, one may be in its queue: neither is forgotten.
        lock.execute("ROLLBACK")
        assert await publish(hub) == 3
        await hub.shutdown()

    asyncio.run(main())


def test_what_was_answered_while_something_blocked_the_loop_is_no_failure(
    file: Path, lock: sqlite3.Connection
) -> None:
    async def main() -> None:
        hub = hub_for(file, publish_timeout=0.3)
        await publish(hub)
        lock.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(publish(hub))
        await asyncio.sleep(0)  # it is in the queue
        lock.execute("ROLLBACK")
        deadline = time.monotonic() + 0.6
        while time.monotonic() < deadline or count(lock) < 2:
            time.sleep(0.01)  # noqa: ASYNC251  # nothing else shall run on this loop
        assert await task == 1
        await hub.shutdown()

    asyncio.run(main())


def test_each_message_has_the_deadline_of_its_own_hub(file: Path, lock: sqlite3.Connection) -> None:
    async def main() -> None:
        patient, hasty = (hub_for(file, publish_timeout=seconds) for seconds in (60.0, 0.3))
        await publish(patient)
        lock.execute("BEGIN IMMEDIATE")
        waits = asyncio.create_task(publish(patient))
        await asyncio.sleep(0)  # its timer is the first
        with pytest.raises(PublishError, match="not stored within"):
            await publish(hasty)
        assert not waits.done()
        lock.execute("ROLLBACK")
        assert await waits == 1
        await patient.shutdown()
        await hasty.shutdown()

    asyncio.run(main())


def test_what_does_not_fit_into_one_transaction_has_its_deadline_too(
    file: Path, lock: sqlite3.Connection
) -> None:
    problems: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: problems.append(told))
        # The writer gives up before the deadline, and what it takes then is too much for it.
        hub = hub_for(file, publish_timeout=0.8, busy_timeout=0.5)
        await publish(hub)
        lock.execute("BEGIN IMMEDIATE")
        large = "x" * 900_000
        late = await asyncio.gather(
            *(hub.publish("orders", "order.created", {"n": large}, str(n)) for n in range(40)),
            return_exceptions=True,
        )
        assert {type(one) for one in late} == {PublishError}
        assert any("not stored within" in str(one) for one in late)
        lock.execute("ROLLBACK")
        await hub.shutdown()

    asyncio.run(main())
    assert problems == []


def test_the_writing_thread_outlives_publishers_that_come_at_any_moment(file: Path) -> None:
    each, interval = 3_000, sys.getswitchinterval()
    hub = hub_for(file, publish_timeout=60.0)

    async def main(key: str) -> None:
        await asyncio.gather(
            *(hub.publish("orders", "order.created", {"n": n}, key) for n in range(each))
        )

    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=asyncio.run, args=(main(key),)) for key in ("a", "b", "c")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    asyncio.run(hub.shutdown())
    with closing(sqlite3.connect(file)) as look:
        assert count(look) == 3 * each


def count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM log").fetchone()[0])


def test_each_event_loop_ends_its_own(file: Path, lock: sqlite3.Connection) -> None:
    hub = hub_for(file, publish_timeout=0.3)
    ends: list[PublishError] = []
    ready = threading.Barrier(3)

    async def main() -> None:
        await publish(hub)
        ready.wait()  # until it is there
        ready.wait()  # until the file is locked
        with pytest.raises(PublishError) as caught:
            await publish(hub)
        ends.append(caught.value)

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    ready.wait()
    lock.execute("BEGIN IMMEDIATE")
    ready.wait()
    for thread in threads:
        thread.join()
    lock.execute("ROLLBACK")
    asyncio.run(hub.shutdown())
    assert [end.fate for end in ends] == ["unknown", "unknown"]
    assert count(lock) == 4
