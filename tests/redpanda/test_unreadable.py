"""Records that aiokafka cannot read: read in another way, or waited for, and nobody else with them.

They end on aiokafka's internals in `_internals_records`; what is relied on there is seen here.
"""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.protocol.fetch import FetchRequest

from tests.kafka.groups import committed
from tests.kafka.records import read_all, with_checksum, write, write_at, write_named
from tests.kafka.topics import create_topic, unique_name
from tests.redpanda.counter import Counter
from tests.redpanda.test_foreign_records import GOOD
from vectis.core.message import Message, TopicPartition
from vectis.core.testing.contract import Member
from vectis_redpanda import RedpandaSettings, RedpandaTransport, _standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kafka.broker import Broker
    from tests.kafka.fixtures import Shared
    from vectis.core.message import Delivery

DEADLINE = 60.0
NAME, SHOWN = b"\xff\xfe\x00a", "\\xff\\xfe\x00a"


def transport(servers: str) -> RedpandaTransport:
    return RedpandaTransport(RedpandaSettings(bootstrap_servers=servers))


def offsets(deliveries: list[Delivery], partition: int) -> list[int]:
    return [delivery.offset for delivery in deliveries if delivery.partition == partition]


def test_a_header_with_a_name_that_is_no_text_keeps_nothing_from_the_handlers(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)
    create_topic(broker.servers, f"{topic}.dlq", partitions=1)
    write(broker.servers, topic, [GOOD])
    write_named(broker.servers, topic, [GOOD, b"no event", GOOD], name=NAME)
    write(broker.servers, topic, [GOOD])
    counter = Counter(broker.servers, topic)
    counter.work(lambda: counter.settled >= 5)
    assert len(counter.handled) == 4, "an event is one, whatever else somebody wrote beside it"
    (letter,) = read_all(broker.servers, f"{topic}.dlq")
    assert (letter.key, letter.value) == (b"7", b"no event"), "as it was"
    assert dict(letter.headers)[SHOWN] == b"value", "with the name as it can be written"
    assert committed(broker.servers, f"{topic}.shop", topic) == {0: 5}


@pytest.mark.parametrize("group", [True, False], ids=["member", "reader"])
def test_a_batch_that_cannot_be_unpacked_stands_still_and_the_others_lose_nothing(
    group: bool,
    broker: Shared,
    new_topic: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    topic = new_topic(partitions=2)
    write(broker.servers, topic, [b"good"], partition=1)
    write(broker.servers, topic, [b"z" * 500] * 3, partition=1, compression_type="zstd")
    monkeypatch.setattr("aiokafka.codec.has_zstd", lambda: False)  # as if it were not installed
    monkeypatch.setattr(_standing, "AGAIN", 0.05)  # it is tried again many times

    async def main() -> None:
        reading = transport(broker.servers)
        name = unique_name("group") if group else None
        async with Member(reading, topic, name) as member:
            for number in range(100):  # the key is one of partition 0
                await reading.carrier(topic).send(Message(topic, b"2", b"%d" % number))
                await member.fetch()
            while len(offsets(member.deliveries, 0)) < 100:
                await member.fetch()
            assert offsets(member.deliveries, 0) == [*range(100)]
            assert offsets(member.deliveries, 1) == [0], "what comes before it is not kept back"
            assert f"{topic}/1 cannot be read on from offset 1" in caplog.text
            assert "pip install cramjam" in caplog.text
            monkeypatch.undo()
            while len(offsets(member.deliveries, 1)) < 4:
                await member.fetch()
            assert offsets(member.deliveries, 1) == [0, 1, 2, 3], "it goes on where it stood"
        await reading.close()

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_a_batch_that_is_asked_for_again_and_held_back_by_a_quota_comes_later(
    broker: Shared, new_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = new_topic(partitions=1)
    write_named(broker.servers, topic, [b"one", b"two"], name=NAME)
    answer = AIOKafkaClient.send
    held_back: list[Any] = []

    async def send(client: Any, node: int, request: Any, **options: Any) -> Any:
        found = await answer(client, node, request, **options)
        if options and isinstance(request, FetchRequest) and not held_back:
            found.topics = []  # what a broker says to who has had more than its quota
            held_back.append(found)
        return found

    monkeypatch.setattr(AIOKafkaClient, "send", send)

    async def main() -> None:
        async with Member(transport(broker.servers), topic, unique_name("group")) as member:
            await member.read(2)
            assert offsets(member.deliveries, 0) == [0, 1]
            assert held_back

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


@pytest.mark.parametrize(
    ("places", "read"),
    [((0, 2, 1, 3), [0, 2, 3]), ((0, 0, 0), [0]), ((1, 0), [1])],
    ids=["back", "the same", "backwards"],
)
def test_offsets_in_a_batch_that_do_not_grow_end_no_worker(
    places: tuple[int, ...], read: list[int], broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)
    create_topic(broker.servers, f"{topic}.dlq", partitions=1)
    write_at(broker.servers, topic, places)
    write(broker.servers, topic, [b"behind"])
    counter = Counter(broker.servers, topic)
    counter.work(lambda: counter.settled >= len(read) + 1)
    values = [letter.value for letter in read_all(broker.servers, f"{topic}.dlq")]
    assert sorted(values) == [*(b"%d" % place for place in read), b"behind"]


def test_a_record_beyond_its_batch_stands_still_and_what_is_behind_it_is_not_taken_for_old(
    broker: Shared, new_topic: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    topic = new_topic(partitions=1)
    write_at(broker.servers, topic, (0, 7))
    write(broker.servers, topic, [b"behind"])

    async def main() -> None:
        # A reader: a group may share anew at any time, and then goes on where it has committed.
        async with Member(transport(broker.servers), topic, None) as member:
            while "cannot be read on" not in caplog.text or not member.deliveries:
                await member.fetch()
            assert f"{topic}/0 cannot be read on from offset 1" in caplog.text
            assert "offset 7 in a batch that ends at 2" in caplog.text
            await member.consumer.seek(TopicPartition(topic, 0), 2)
            while len(member.deliveries) < 2:
                await member.fetch()
            assert [delivery.value for delivery in member.deliveries] == [b"0", b"behind"]

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


class Alive:
    """What there is of aiokafka's records, with nobody looking for cycles.

    A worker's collector seldom does: megabytes in one would be there for as good as ever.
    """

    def __enter__(self) -> Alive:
        gc.collect()
        gc.disable()
        return self

    def __exit__(self, *_: object) -> None:
        gc.enable()

    def of(self, kind: type) -> int:
        return sum(type(one) is kind for one in gc.get_objects())


def test_what_a_fetch_has_brought_is_gone_with_its_last_record(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)

    async def main() -> None:
        reading = transport(broker.servers)
        async with Member(reading, topic, None) as member:
            for number in range(20):
                await reading.carrier(topic).send(Message(topic, b"2", b"%d" % number))
                while len(member.deliveries) <= number:
                    await member.fetch()
            assert alive.of(PartitionRecords) <= 1
        await reading.close()

    with Alive() as alive:
        asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_what_is_left_out_or_cannot_be_read_is_gone_as_well(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)
    create_topic(broker.servers, f"{topic}.dlq", partitions=1)

    async def main() -> None:
        async with Member(transport(broker.servers), topic, None) as member:
            for number in range(10):
                while len(member.deliveries) < 3 * number + 3:
                    await member.fetch()
                await member.consumer.seek(TopicPartition(topic, 0), 0)
            assert alive.of(PartitionRecords) <= 2

    write_named(broker.servers, topic, [b"one", b"two", b"three"], name=NAME)
    with Alive() as alive:
        asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_a_damaged_batch_stands_still_until_somebody_passes_over_it(
    own_broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    topic = create_topic(own_broker.servers, unique_name("damaged"), partitions=2)
    for partition in (0, 1):
        for value in (b"one", b"two", b"three"):
            write(own_broker.servers, topic, [value], partition=partition)
    (log,) = Path(own_broker.log.parent, "data").rglob(f"{topic}-1/*0.log")
    written = log.read_bytes()
    log.write_bytes(written.replace(b"two", b"owt"))  # and the checksum is still the old one

    async def main() -> None:
        async with Member(transport(own_broker.servers), topic, unique_name("group")) as member:
            while "cannot be read on" not in caplog.text or len(member.deliveries) < 4:
                await member.fetch()
            assert offsets(member.deliveries, 0) == [0, 1, 2]
            assert offsets(member.deliveries, 1) == [0]
            assert f"{topic}/1 cannot be read on from offset 1" in caplog.text
            assert "--reset-offsets" in caplog.text
            await member.consumer.seek(TopicPartition(topic, 1), 2)
            while len(member.deliveries) < 5:
                await member.fetch()
            assert offsets(member.deliveries, 1) == [0, 2]

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


@pytest.mark.parametrize(
    "broken",
    # In the place of a header's name and of its length: -1, and all that an int can say, behind
    # which a reader in C would look for the rest.
    [b"\x01name", b"\xfe\xff\xff\xff\x0f"],
    ids=["less than nothing", "beyond the batch"],
)
def test_what_comes_before_a_broken_record_in_the_same_batch_is_not_kept_back(
    broken: bytes, own_broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    topic = create_topic(own_broker.servers, unique_name("broken"), partitions=1)
    write_named(own_broker.servers, topic, [b"one", b"two", b"three"], name=b"name")
    (log,) = Path(own_broker.log.parent, "data").rglob(f"{topic}-0/*0.log")
    before, _, after = log.read_bytes().rpartition(b"\x08name")
    log.write_bytes(with_checksum(bytearray(before + broken + after)))

    async def main() -> None:
        async with Member(transport(own_broker.servers), topic, unique_name("group")) as member:
            while "cannot be read on" not in caplog.text or len(member.deliveries) < 2:
                await member.fetch()
            assert offsets(member.deliveries, 0) == [0, 1]
            assert f"{topic}/0 cannot be read on from offset 2" in caplog.text

    asyncio.run(asyncio.wait_for(main(), DEADLINE))
