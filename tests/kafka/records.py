"""Records written and read by plain aiokafka, as somebody else's program would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from tests.kafka.leftovers import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["read", "read_all", "with_checksum", "write", "write_at", "write_named"]

STANDS_IN = "ZZZZ"  # for a header's name
CHECKSUM = slice(17, 21)  # of what follows in a batch
LAST_PLACE = slice(23, 27)  # the offset of the last record, within the batch


def write(
    servers: str,
    topic: str,
    values: Iterable[bytes | None],
    *,
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
    partition: int = 0,
    **settings: Any,
) -> None:
    """Write values, in one partition and in this order; return when the broker has them.

    Args:
        servers: The bootstrap servers.
        topic: Where to.
        values: None is a tombstone, which needs a key.
        key: The key of each.
        headers: The headers of each.
        partition: The partition.
        settings: What aiokafka is told besides.
    """

    async def main() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=servers, **settings)
        try:
            await producer.start()
            for value in values:
                await producer.send_and_wait(topic, value, key, partition, headers=list(headers))
        finally:  # `async with` does not close one that could not start
            await producer.stop()

    run(main())


def write_named(
    servers: str, topic: str, values: Sequence[bytes], *, name: bytes, partition: int = 0
) -> None:
    """Write values in one batch, each with a header whose name may be any four bytes.

    aiokafka takes names that are text only; librdkafka writes any.
    """
    assert len(name) == len(STANDS_IN), "the record has its length in it"
    _write_batch(
        servers, topic, partition, values, lambda built: built.replace(STANDS_IN.encode(), name)
    )


def write_at(servers: str, topic: str, places: Sequence[int]) -> None:
    """Write a batch of partition 0 whose records have offsets that no client would give them.

    Brokers look at how many there are, and at nothing else of their offsets.

    Args:
        servers: The bootstrap servers.
        topic: Where to.
        places: The offset of each record within the batch; it is the record's value as well.
    """
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for place in places:
        builder.append(place, 0, b"7", b"%d" % place, [])
    written = builder.build()
    written[LAST_PLACE] = (len(places) - 1).to_bytes(4, "big")
    _write_batch(servers, topic, 0, [b""] * len(places), lambda built: written)


def _write_batch(
    servers: str,
    topic: str,
    partition: int,
    values: Sequence[bytes],
    changed: Callable[[bytearray], bytearray],
) -> None:
    """Write values in one batch, as `changed` makes it of what aiokafka has built."""

    async def main() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=servers)
        try:
            await producer.start()
            batch = producer.create_batch()
            for value in values:
                headers = [(STANDS_IN, b"value")]
                batch.append(key=b"7", value=value, timestamp=None, headers=headers)
            batch._buffer = with_checksum(changed(bytearray(batch._build())))
            await (await producer.send_batch(batch, topic, partition=partition))
        finally:
            await producer.stop()

    run(main())


def with_checksum(batch: bytearray) -> bytearray:
    """Return a batch with the checksum of what is in it now."""
    batch[CHECKSUM] = calc_crc32c(bytes(batch[CHECKSUM.stop :])).to_bytes(4, "big")
    return batch


def read(servers: str, topic: str, count: int, **settings: Any) -> list[bytes | None]:
    """Return the first values of a topic, in the order of each partition.

    Args:
        servers: The bootstrap servers.
        topic: Where from.
        count: How many, waited for.
        settings: What aiokafka is told besides.
    """

    async def main() -> list[bytes | None]:
        start: dict[str, Any] = {"auto_offset_reset": "earliest", "enable_auto_commit": False}
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, **start, **settings)
        try:
            await consumer.start()
            return [(await consumer.getone()).value for _ in range(count)]
        finally:
            await consumer.stop()

    return run(main())


def read_all(servers: str, topic: str, **settings: Any) -> list[ConsumerRecord[Any, Any]]:
    """Return every record that is in a topic now, in the order of each partition.

    Args:
        servers: The bootstrap servers.
        topic: Where from.
        settings: What aiokafka is told besides.
    """

    async def main() -> list[ConsumerRecord[Any, Any]]:
        consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False, **settings)
        try:
            await consumer.start()
            await consumer._client.add_topic(topic)
            numbers = consumer.partitions_for_topic(topic) or ()
            partitions = [TopicPartition(topic, number) for number in numbers]
            consumer.assign(partitions)
            await consumer.seek_to_beginning()
            ends = await consumer.end_offsets(partitions)
            records: list[ConsumerRecord[Any, Any]] = []
            while any([await consumer.position(one) < ends[one] for one in partitions]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    records += batch
            return records
        finally:
            await consumer.stop()

    return run(main())
