"""Records that somebody else's program wrote: handled, passed over, or set aside, never in the way.

After each a good event follows in the same partition: whatever comes before must not hold it up.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer

from tests.kafka.groups import committed
from tests.kafka.records import read_all, write
from tests.kafka.topics import create_topic, unique_name
from tests.redpanda.counter import Counter

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kafka.fixtures import Shared

GOOD = json.dumps({"event_type": "order.created", "payload": {"order_id": 7}}).encode()
BINARY = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"1"),
    ("ce_source", b"/elsewhere"),
    ("ce_type", b"order.created"),
)


@pytest.fixture
def topic(broker: Shared, new_topic: Callable[..., str]) -> str:
    name = new_topic(partitions=1)
    create_topic(broker.servers, f"{name}.dlq", partitions=1)
    return name


def work_off(servers: str, topic: str, count: int) -> Counter:
    """Have a worker settle that many records, and return what it did."""
    counter = Counter(servers, topic)
    counter.work(lambda: counter.settled >= count)
    return counter


def test_plain_json_without_headers_and_key(broker: Shared, topic: str) -> None:
    write(broker.servers, topic, [GOOD])
    counter = work_off(broker.servers, topic, 1)
    assert counter.handled == [{"order_id": 7}]


def test_a_structured_cloud_event(broker: Shared, topic: str) -> None:
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "/elsewhere",
        "type": "order.created",
        "data": {"order_id": 8},
    }
    headers = [("content-type", b"application/cloudevents+json")]
    write(broker.servers, topic, [json.dumps(event).encode()], headers=headers)
    assert work_off(broker.servers, topic, 1).handled == [{"order_id": 8}]


def test_a_tombstone_with_the_headers_of_an_event(broker: Shared, topic: str) -> None:
    write(broker.servers, topic, [None], key=b"7", headers=BINARY)
    assert work_off(broker.servers, topic, 1).handled == [None]


@pytest.mark.parametrize(
    ("value", "key", "headers"),
    [
        pytest.param(b"\x00\x00\x00\x00\x07\x0e\x06abc\xff", None, (), id="avro"),
        pytest.param(None, b"7", (), id="bare tombstone"),
        pytest.param(b"", None, (), id="empty"),
        pytest.param(b"{}", b"\xff\xfe", BINARY[:2], id="half of the headers"),
        pytest.param(b"[" * 100_000, None, (), id="nested json"),
    ],
)
def test_what_nobody_can_read_is_set_aside_as_it_was(
    broker: Shared,
    topic: str,
    value: bytes | None,
    key: bytes | None,
    headers: tuple[tuple[str, bytes], ...],
) -> None:
    write(broker.servers, topic, [value], key=key, headers=headers)
    write(broker.servers, topic, [GOOD])
    counter = work_off(broker.servers, topic, 2)
    assert counter.handled == [{"order_id": 7}]
    (letter,) = read_all(broker.servers, f"{topic}.dlq")
    assert (letter.value, letter.key) == (value, key)
    given = dict(letter.headers)
    assert {name: given[name] for name, _ in headers} == dict(headers)


def test_a_letter_larger_than_its_topic_takes_is_never_passed_over(
    broker: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    topic = create_topic(broker.servers, unique_name("orders"), partitions=1)
    little = {"max.message.bytes": "5000"}
    create_topic(broker.servers, f"{topic}.dlq", partitions=1, config=little)
    write(broker.servers, topic, [b"x" * 10_000])
    write(broker.servers, topic, [GOOD])
    # An attempt that fails is told of each time; a second apart, as it would be in production.
    counter = Counter(broker.servers, topic, retry_initial=1.0, retry_max=1.0)
    counter.work(lambda: bool(counter.handled) and "cannot be written" in caplog.text)
    assert committed(broker.servers, f"{topic}.shop", topic) == {}
    (said, *_) = [one for one in caplog.messages if "cannot be written" in one]
    assert f"{topic}.dlq" in said
    assert "10," in said, "its size"
    assert "max.message.bytes" in said, "what limits it"


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
def test_every_kind_of_compression(broker: Shared, topic: str, compression: str) -> None:
    write(broker.servers, topic, [GOOD, GOOD], compression_type=compression)
    assert len(work_off(broker.servers, topic, 2).handled) == 2


def test_transactions_show_what_was_committed_and_their_markers_hold_nothing_up(
    broker: Shared, topic: str
) -> None:
    async def transact(*outcomes: bool) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=broker.servers, transactional_id=topic)
        try:
            await producer.start()
            for number, keep in enumerate(outcomes):
                await producer.begin_transaction()
                await producer.send_and_wait(topic, order(number), partition=0)
                await (producer.commit_transaction() if keep else producer.abort_transaction())
        finally:
            await producer.stop()

    def order(number: int) -> bytes:
        event = {"event_type": "order.created", "payload": {"order_id": number}}
        return json.dumps(event).encode()

    asyncio.run(transact(False, True, False, False, True, False))
    write(broker.servers, topic, [order(6)])
    counter = work_off(broker.servers, topic, 3)
    assert counter.handled == [{"order_id": 1}, {"order_id": 4}, {"order_id": 6}]
    # Six records, a marker after each, and the last record: all of it is behind the group.
    assert committed(broker.servers, f"{topic}.shop", topic) == {0: 13}


def test_a_compacted_topic_with_holes(broker: Shared, new_topic: Callable[..., str]) -> None:
    at_once = {
        "segment.ms": "10",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "10",
    }
    topic = new_topic(partitions=1, config={"cleanup.policy": "compact", **at_once})
    create_topic(broker.servers, f"{topic}.dlq", partitions=1)

    def write_round(number: int) -> None:
        for key in (b"a", b"b", b"c"):
            write(broker.servers, topic, [order(number)], key=key)

    def order(number: int) -> bytes:
        event = {"event_type": "order.created", "payload": {"round": number}}
        return json.dumps(event).encode()

    offsets = [0]
    while len(offsets) == offsets[-1] + 1:  # a segment is compacted once a later one was begun
        write_round(offsets[-1])
        offsets = [record.offset for record in read_all(broker.servers, topic)]
    counter = Counter(broker.servers, topic)
    last = f"{topic}/0@{offsets[-1]}"
    counter.work(lambda: last in counter.diary.places)
    assert committed(broker.servers, f"{topic}.shop", topic) == {0: offsets[-1] + 1}
    assert len(counter.handled) == counter.settled
