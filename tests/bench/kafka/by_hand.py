"""Consuming by hand with aiokafka, in a process of its own, as a worker has one.

`python -m tests.bench.kafka.by_hand SERVERS TOPIC COUNT` prints as JSON how many messages it read,
the seconds from the first batch to the last commit, and those of the processor.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer

from tests.bench.kafka.laps import Stopwatch
from tests.bench.kafka.records import new_group


async def raw_consume(servers: str, topic: str, count: int, watch: Stopwatch) -> int:
    """Read that many messages by hand: `getmany`, the JSON, the handler, a commit each batch.

    Args:
        servers: The bootstrap servers.
        topic: What is read, from the beginning.
        count: How many messages, at least.
        watch: Runs from the first batch to the last commit.

    Returns:
        How many it were.
    """

    async def handle(data: dict[str, Any]) -> None: ...

    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=servers,
        group_id=new_group(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    left = count
    async with consumer:
        while left > 0:
            batches = await consumer.getmany(timeout_ms=500)
            if batches and left == count:
                watch.start()
            for records in batches.values():
                for record in records:
                    await handle(orjson.loads(record.value))
                left -= len(records)
            await consumer.commit()
        watch.stop()
    return count - left


if __name__ == "__main__":
    watch = Stopwatch()
    read = asyncio.run(raw_consume(sys.argv[1], sys.argv[2], int(sys.argv[3]), watch))
    print(json.dumps([read, watch.passed, watch.busy]))
