"""Lanes and a watermark by hand, the least that order per key and at least once take.

There is no retry, no dead letter, no check of headers, no hook, no rebalance: what the worker costs
beside this is what those cost. `python -m tests.bench.kafka.spike SERVERS TOPIC COUNT SIZE PAUSE`
prints what `by_hand` does; so many handlers run at once, and each waits so many seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import deque
from time import monotonic
from typing import Any

import attrs
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.bench.kafka.laps import Stopwatch
from tests.bench.kafka.records import new_group

_HELD = 10_000  # records above the watermarks, at most


@attrs.define(eq=False)
class _Partition:
    held: deque[_Item] = attrs.field(factory=deque)
    lanes: dict[bytes, deque[_Item]] = attrs.field(factory=dict)
    position: int | None = None


@attrs.define(eq=False)
class _Item:
    record: Any
    partition: _Partition
    finished: bool = False


class Spike:
    """Handles the records of a topic.

    Args:
        count: How many.
        size: How many handlers run at once.
        pause: Seconds that each waits; with 0 none of them does.
    """

    def __init__(self, count: int, size: int, pause: float) -> None:
        self.left = count
        self._free = size
        self._pause = pause
        self._ready: deque[_Item] = deque()
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._held = 0

    async def run(self, consumer: AIOKafkaConsumer, watch: Stopwatch) -> None:
        """Fetch, run and commit until all are handled."""
        committed = monotonic()
        while self.left > 0:
            batches = await consumer.getmany(timeout_ms=10, max_records=500)
            if batches and not self._partitions:
                watch.start()
            for where, records in batches.items():
                self._receive(self._partitions.setdefault(where, _Partition()), records)
            self._start()
            while self._held > _HELD and self.left > 0:
                self._room.clear()
                await self._room.wait()
            if monotonic() > committed + 0.2:
                committed = monotonic()
                if ends := self._ends():
                    await consumer.commit(ends)
        watch.stop()

    def _ends(self) -> dict[TopicPartition, int]:
        return {
            where: partition.position
            for where, partition in self._partitions.items()
            if partition.position is not None
        }

    def _receive(self, partition: _Partition, records: list[Any]) -> None:
        for record in records:
            item = _Item(record, partition)
            partition.held.append(item)
            lane = partition.lanes.get(record.key)
            if lane is None:
                partition.lanes[record.key] = deque()
                self._ready.append(item)
            else:
                lane.append(item)
        self._held += len(records)

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        while self._ready and self._free:
            self._free -= 1
            if sys.version_info >= (3, 12):
                task = asyncio.eager_task_factory(loop, self._work())
            else:
                task = loop.create_task(self._work())
            if not task.done():
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        while self._ready:
            item = self._ready.popleft()
            await self._handle(orjson.loads(item.record.value))
            self._finish(item)
        self._free += 1

    async def _handle(self, data: dict[str, Any]) -> None:
        if self._pause:
            await asyncio.sleep(self._pause)

    def _finish(self, item: _Item) -> None:
        partition, key = item.partition, item.record.key
        item.finished = True
        while partition.held and partition.held[0].finished:
            partition.position = partition.held.popleft().record.offset + 1
            self._held -= 1
        if partition.lanes[key]:
            self._ready.append(partition.lanes[key].popleft())
        else:
            del partition.lanes[key]
        self.left -= 1
        self._room.set()


async def consume(
    servers: str, topic: str, count: int, size: int, pause: float, watch: Stopwatch
) -> None:
    """Handle that many records of a topic, from the beginning, as a new group."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=servers,
        group_id=new_group(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    async with consumer:
        await Spike(count, size, pause).run(consumer, watch)


if __name__ == "__main__":
    servers, topic, count, size, pause = sys.argv[1:]
    watch = Stopwatch()
    asyncio.run(consume(servers, topic, int(count), int(size), float(pause), watch))
    print(json.dumps([int(count), watch.passed, watch.busy]))
