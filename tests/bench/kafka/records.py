"""The topics of the bench, and what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
from aiokafka import AIOKafkaProducer

from tests.kafka.topics import create_topic, unique_name
from vectis.core.codec import encode
from vectis.core.events import Event

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from vectis.core.message import Message

__all__ = ["KEYS", "TYPE", "fill", "message", "new_group", "new_topic", "payload"]

TYPE = "order.created"
KEYS = [str(number) for number in range(1000)]

_PARTITIONS = 8
_BYTES = 300  # of a value
_BATCH = 500  # messages of one partition that are written at once


def new_topic(servers: str, what: str) -> str:
    """Make an empty topic."""
    return create_topic(servers, unique_name(f"bench {what}"), partitions=_PARTITIONS)


def new_group() -> str:
    """Return the name of a group that has read nothing yet."""
    return f"bench-{uuid4().hex[:8]}"


def payload(number: int) -> dict[str, Any]:
    """Return the data of an event, 300 bytes of JSON."""
    data = {"number": number, "grand_total": "129.90", "customer": "ada", "note": ""}
    data["note"] = "x" * (_BYTES - len(orjson.dumps(data)))
    return data


def message(topic: str, version: int | None = None) -> Message:
    """Return an event as Vectis writes it; with its type's version, when that is in a catalogue."""
    return encode(
        Event(TYPE, payload(7)),
        topic=topic,
        key=KEYS[7],
        source="vectis-core",
        max_bytes=10_000,
        version=version,
    )


async def fill(servers: str, topic: str, count: int) -> None:
    """Write that many events of a thousand keys, each with its number."""
    headers = list(message(topic).headers)
    async with AIOKafkaProducer(bootstrap_servers=servers, max_batch_size=1 << 20) as producer:
        numbers = sorted(await producer.partitions_for(topic))
        batches = {number: producer.create_batch() for number in numbers}
        sent: dict[int, Awaitable[Any]] = {}
        for number in range(count):
            key = KEYS[number % len(KEYS)]
            where = numbers[number % len(KEYS) % len(numbers)]
            value = orjson.dumps(payload(number))
            batch = batches[where]
            batch.append(timestamp=None, key=key.encode(), value=value, headers=headers)
            if batch.record_count() == _BATCH:
                batches[where] = producer.create_batch()
                if where in sent:
                    await sent[where]  # one batch of each partition is enough to keep it busy
                sent[where] = await producer.send_batch(batch, topic, partition=where)
        for where, batch in batches.items():
            if batch.record_count():
                await producer.send_batch(batch, topic, partition=where)
        await producer.flush()
