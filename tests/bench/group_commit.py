"""SQLite by hand: tasks that await one writer thread, and batches; rows as large as in Vectis.

Nothing is encoded and no receipt is given, there are no partitions, no offsets and no consumers:
what Vectis costs beside this is what those cost.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from contextlib import closing
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["in_batches", "tasks"]

_ROW = ("bench.orders", b"7", b"x" * 75, b"y" * 120)
_TABLE = "CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, topic, key, value, headers)"
_INSERT = "INSERT INTO log (topic, key, value, headers) VALUES (?, ?, ?, ?)"
_BATCH = 1_000  # rows of a transaction


async def tasks(file: Path, tasks: int, each: int) -> float:
    """Let so many tasks each await so many rows, one after another; return the seconds."""
    loop = asyncio.get_running_loop()
    waiting: deque[asyncio.Future[None]] = deque()
    more = threading.Event()
    left = tasks * each

    def write() -> None:
        nonlocal left
        with closing(_opened(file)) as connection:
            while left:
                more.wait()
                more.clear()
                batch = [waiting.popleft() for _ in range(len(waiting))]
                _store(connection, len(batch))
                left -= len(batch)
                loop.call_soon_threadsafe(answer, batch)

    def answer(batch: list[asyncio.Future[None]]) -> None:
        for future in batch:
            future.set_result(None)

    async def publish() -> None:
        for _ in range(each):
            future = loop.create_future()
            waiting.append(future)
            more.set()
            await future

    writer = threading.Thread(target=write)
    start = perf_counter()
    writer.start()
    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(publish())
    took = perf_counter() - start
    await asyncio.to_thread(writer.join)
    return took


def in_batches(file: Path, count: int) -> float:
    """Store that many rows in batches; return the seconds."""
    with closing(_opened(file)) as connection:
        start = perf_counter()
        for _ in range(count // _BATCH):
            _store(connection, _BATCH)
        return perf_counter() - start


def _opened(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(_TABLE)
    return connection


def _store(connection: sqlite3.Connection, count: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_INSERT, [_ROW] * count)
    connection.execute("COMMIT")
