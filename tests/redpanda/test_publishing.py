"""Publishing when brokers are away, slow, half dead, or refuse; what becomes of each message."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
from collections import defaultdict
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from tests.core.worker_world import eventually
from tests.kafka.records import read_all, write
from tests.kafka.topics import create_topic, unique_name
from tests.redpanda.connections import publish, refusal
from vectis.core import Hub
from vectis.core.exceptions import PublishError, TransportError
from vectis.core.message import Message, Receipt
from vectis_redpanda import Redpanda, RedpandaSettings, RedpandaTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.kafka.broker import Broker
    from tests.kafka.fixtures import Shared

GRACE = 1.5  # seconds that a busy machine may be late with a deadline


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def settings(port: int | str, **changes: Any) -> RedpandaSettings:
    servers = port if isinstance(port, str) else f"127.0.0.1:{port}"
    return RedpandaSettings(bootstrap_servers=servers, **changes)


def test_no_broker_is_an_error_within_the_deadline(deaf_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = free.getsockname()[1]
    for port, why in ((nobody, "nothing listens there"), (deaf_port, "not answer")):
        began = monotonic()
        error = refusal(settings(port), "vectis.orders", timeout=1)
        assert monotonic() - began < 1 + GRACE
        assert error.fate == "not_sent"
        assert f"127.0.0.1:{port}" in str(error)
        assert why in str(error)
        assert "[redpanda]" in str(error)


def test_a_host_that_does_not_exist_is_said() -> None:
    error = refusal(settings("no-such-host.invalid:9092"), "vectis.orders", timeout=1)
    assert error.fate == "not_sent"
    assert "there is no host no-such-host.invalid" in str(error)


def test_a_broker_that_stops_answering_leaves_every_message_with_its_fate(
    own_broker: Broker,
) -> None:
    topic = create_topic(own_broker.servers, unique_name("paused"), partitions=1)

    async def main() -> tuple[list[Any], list[Any]]:
        transport = RedpandaTransport(settings(own_broker.servers), publish_timeout=2)
        send = transport.carrier(topic).send
        await send(Message(topic, b"7", b"before"))
        own_broker.pause()
        try:
            first = [send(Message(topic, b"7", b"%d" % n)) for n in range(3)]
            await asyncio.sleep(0.1)  # so that they are on their way, and the others behind them
            others = [send(Message(topic, b"7", b"%d" % n)) for n in range(3, 6)]
            began = monotonic()
            answers = await asyncio.gather(*first, *others, return_exceptions=True)
            assert monotonic() - began < 2 + GRACE
        finally:
            own_broker.resume()
        late = [await send(Message(topic, b"7", b"after"))]
        await transport.close()
        return answers, late

    answers, late = asyncio.run(main())
    assert [answer.fate for answer in answers] == ["unknown"] * 3 + ["not_sent"] * 3
    assert isinstance(late[0], Receipt)
    values = [record.value for record in read_all(own_broker.servers, topic)]
    assert [value for value in values if value in (b"3", b"4", b"5")] == []
    assert values[-1] == b"after"
    assert values[:4] in ([b"before", b"0", b"1", b"2"], [b"before", b"after"])


def test_closing_with_a_dead_broker_ends(own_broker: Broker) -> None:
    topic = create_topic(own_broker.servers, unique_name("closing"))

    async def main() -> None:
        transport = RedpandaTransport(settings(own_broker.servers), publish_timeout=2)
        send = transport.carrier(topic).send
        await send(Message(topic, b"7", b"before"))
        own_broker.pause()
        answer = send(Message(topic, b"7", b"under way"))
        began = monotonic()
        with pytest.raises(TransportError, match="not everything was acknowledged"):
            await transport.close()
        assert monotonic() - began < 2 + 2 + GRACE
        with pytest.raises(PublishError):
            await answer
        await transport.close()

    asyncio.run(main())


def test_a_broker_killed_and_restarted_loses_nothing_and_keeps_the_order(
    own_broker: Broker,
) -> None:
    topic = create_topic(own_broker.servers, unique_name("restarted"))
    sent: defaultdict[bytes, list[bytes]] = defaultdict(list)

    async def main() -> None:
        transport = RedpandaTransport(settings(own_broker.servers), publish_timeout=30)
        send = transport.carrier(topic).send
        stop, many = asyncio.Event(), asyncio.Semaphore(0)

        async def publisher(key: bytes) -> None:
            number = 0
            while not stop.is_set():
                value = b"%d" % number
                await send(Message(topic, key, value))
                sent[key].append(value)
                many.release()
                number += 1

        async def some() -> None:
            for _ in range(500):
                await many.acquire()

        publishers = [asyncio.create_task(publisher(b"k%d" % n)) for n in range(20)]
        await some()
        await asyncio.to_thread(own_broker.kill)
        await asyncio.to_thread(own_broker.start)
        await some()
        stop.set()
        await asyncio.gather(*publishers)
        await transport.close()

    asyncio.run(main())
    there: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for record in read_all(own_broker.servers, topic):
        there[record.key].append(record.value)
    assert there == sent


def test_a_message_larger_than_the_limit_is_refused_without_asking_the_broker(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)

    async def main() -> list[Any]:
        transport = RedpandaTransport(settings(broker.servers, max_request_size=1_000))
        send = transport.carrier(topic).send
        sizes = (10, 5_000, 20)
        answers = [send(Message(topic, b"7", bytes(size))) for size in sizes]
        results = await asyncio.gather(*answers, return_exceptions=True)
        await transport.close()
        return results

    first, refused, last = asyncio.run(main())
    assert (first.offset, last.offset) == (0, 1)
    assert refused.fate == "rejected"
    assert "5,0" in str(refused)
    assert "[redpanda] max_request_size allows 1,000" in str(refused)


def test_a_message_larger_than_its_topic_takes_fails_alone(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1, config={"max.message.bytes": "5000"})

    async def main() -> list[Any]:
        transport = RedpandaTransport(settings(broker.servers))
        send = transport.carrier(topic).send
        sizes = [4_000] * 5 + [6_000] + [100] * 50
        answers = [send(Message(topic, b"7", bytes(size))) for size in sizes]
        results = await asyncio.gather(*answers, return_exceptions=True)
        await transport.close()
        return results

    results = asyncio.run(main())
    refused = results.pop(5)
    assert isinstance(refused, PublishError)
    assert refused.fate == "rejected"
    assert "6,0" in str(refused)
    assert "max.message.bytes" in str(refused)
    # Batches that were too large came in smaller ones, and in order.
    assert [receipt.offset for receipt in results] == [*range(55)]


def test_what_is_no_message_is_refused_alone(broker: Shared, new_topic: Callable[..., str]) -> None:
    topic = new_topic(partitions=1)
    odd: list[Any] = [
        Message(topic, "7", b"{}"),  # type: ignore[arg-type]
        Message(topic, b"7", "{}"),  # type: ignore[arg-type]
        Message(topic, b"7", b"{}", (("a", 1),)),  # type: ignore[arg-type]
        Message(topic, b"7", b"{}", ("a",)),  # type: ignore[arg-type]
    ]

    async def main() -> list[Any]:
        transport = RedpandaTransport(settings(broker.servers))
        messages = [Message(topic, b"7", b"first"), *odd, Message(topic, b"7", b"last")]
        send_many = transport.carrier(topic).send_many
        assert send_many is not None
        results = await send_many(messages)
        await transport.close()
        return results

    first, *refused, last = asyncio.run(main())
    assert (first.offset, last.offset) == (0, 1)
    assert [error.fate for error in refused] == ["rejected"] * 4


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_compression_makes_messages_smaller_and_carries_them(
    broker: Shared, new_topic: Callable[..., str], compression: Any
) -> None:
    topic = new_topic(partitions=1, config={"max.message.bytes": "1000"})

    async def main() -> Receipt:
        transport = RedpandaTransport(settings(broker.servers, compression=compression))
        try:
            receipt: Receipt = await transport.carrier(topic).send(
                Message(topic, b"7", bytes(5_000))
            )
            return receipt
        finally:
            await transport.close()

    if compression == "none":
        with pytest.raises(PublishError, match=r"5,0\d\d bytes are more than the 1,000 that"):
            asyncio.run(main())
    else:
        asyncio.run(main())
        (record,) = read_all(broker.servers, topic)
        assert record.value == bytes(5_000)


def test_lingering_waits_for_more_until_there_is_enough(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)

    async def main() -> None:
        transport = RedpandaTransport(settings(broker.servers, linger_ms=1_000))
        send = transport.carrier(topic).send
        await send(Message(topic, b"7", b"the first one connects"))
        began = monotonic()
        await send(Message(topic, b"7", b"alone"))
        assert monotonic() - began >= 1
        began = monotonic()
        await asyncio.gather(*(send(Message(topic, b"7", b"")) for _ in range(500)))
        assert monotonic() - began < 1
        await transport.close()

    asyncio.run(main())


def test_a_place_in_the_sequence_that_is_lost_costs_a_producer_and_no_message(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=2)

    async def main() -> None:
        transport = RedpandaTransport(settings(broker.servers))
        send = transport.carrier(topic).send
        keys = [b"%d" % n for n in range(10)]
        await asyncio.gather(*(send(Message(topic, key, b"before")) for key in keys))
        (producer,) = transport._producers.values()
        session = producer._sessions.current
        assert session is not None
        # As after a broker has lost its last records: it refuses what seems to come too early.
        session.producer._txn_manager.increment_sequence_number(TopicPartition(topic, 0), 5)
        answers = [send(Message(topic, key, b"%d" % n)) for n in range(20) for key in keys]
        await asyncio.gather(*answers)
        assert producer._sessions.current is not session
        await transport.close()

    asyncio.run(main())
    there: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for record in read_all(broker.servers, topic):
        there[record.key].append(record.value)
    assert list(there.values()) == [[b"before", *(b"%d" % n for n in range(20))]] * 10


def test_an_event_is_on_the_wire_as_the_cloudevents_binding_says(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic()

    async def main() -> None:
        hub = Hub({"redpanda": {"bootstrap_servers": broker.servers}, "hub": {"source": "shop"}})
        async with hub:
            await hub.publish(topic, "parcel.sent", {"id": 7}, "k7", event_id="e7", user_id="ada")

    asyncio.run(main())
    (record,) = read_all(broker.servers, topic)
    headers = dict(record.headers)
    assert (record.key, record.value) == (b"k7", b'{"id":7}')
    assert datetime.fromisoformat(headers.pop("ce_time").decode()).tzinfo is not None
    assert headers == {
        "ce_specversion": b"1.0",
        "ce_source": b"shop",
        "ce_type": b"parcel.sent",
        "content-type": b"application/json",
        "ce_id": b"e7",
        "ce_correlationid": b"e7",
        "ce_userid": b"ada",
        "ce_partitionkey": b"k7",
    }
    assert len(record.headers) == 9, "none of them twice"


def test_calls_that_wait_have_one_deadline_for_all_and_no_timer_each(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic, calls, timers = new_topic(), 1000, 0

    async def main() -> None:
        nonlocal timers
        hub = Hub({"redpanda": {"bootstrap_servers": broker.servers}})
        async with hub:
            await hub.publish(topic, "parcel.sent", {}, "first")  # which connects
            loop: Any = asyncio.get_running_loop()
            call_at = loop.call_at

            def counting(*arguments: Any, **options: Any) -> asyncio.TimerHandle:
                nonlocal timers
                timers += 1
                handle: asyncio.TimerHandle = call_at(*arguments, **options)
                return handle

            loop.call_at = counting
            await asyncio.gather(
                *(hub.publish(topic, "parcel.sent", {}, str(number)) for number in range(calls))
            )

    asyncio.run(main())
    assert timers < calls / 20, "aiokafka's, for each of a few requests"


def test_a_topic_made_anew_with_fewer_partitions_is_published_to(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=4)

    async def make_anew() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.servers)
        await admin.start()
        await admin.delete_topics([topic])
        while topic in await admin.list_topics():  # noqa: ASYNC110 - nobody signals it
            await asyncio.sleep(0.05)
        await admin.close()
        await asyncio.to_thread(create_topic, broker.servers, topic, partitions=2)

    async def main() -> list[Receipt]:
        transport = RedpandaTransport(settings(broker.servers), publish_timeout=1)
        send = transport.carrier(topic).send
        keys = [b"%d" % n for n in range(20)]
        await asyncio.gather(*(send(Message(topic, key, b"before")) for key in keys))
        await make_anew()

        async def until_sent(key: bytes) -> Receipt:
            while True:
                try:
                    receipt: Receipt = await send(Message(topic, key, b"after"))
                    return receipt
                except PublishError:
                    await asyncio.sleep(0.1)

        async with asyncio.timeout(30):
            receipts = await asyncio.gather(*map(until_sent, keys))
        await transport.close()
        return receipts

    assert {receipt.partition for receipt in asyncio.run(main())} == {0, 1}


def test_keys_go_where_other_clients_send_them(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=7)
    keys = [b"", b"7", "ключ".encode(), bytes(range(256)), *(b"order-%d" % n for n in range(50))]

    async def main() -> dict[bytes, int]:
        from aiokafka import AIOKafkaProducer

        transport = RedpandaTransport(settings(broker.servers))
        send = transport.carrier(topic).send
        receipts = await asyncio.gather(*(send(Message(topic, key, b"ours")) for key in keys))
        ours = {key: r.partition for key, r in zip(keys, receipts, strict=True)}
        await transport.close()
        async with AIOKafkaProducer(bootstrap_servers=broker.servers) as producer:
            for key in keys:
                theirs = await producer.send_and_wait(topic, b"theirs", key)
                assert theirs.partition == ours[key], key
        return ours

    ours = asyncio.run(main())
    assert len(set(ours.values())) == 7


def test_a_call_that_was_cancelled_before_it_left_sends_nothing(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)

    async def main() -> None:
        transport = RedpandaTransport(settings(broker.servers))
        send = transport.carrier(topic).send
        answers = [send(Message(topic, b"7", b"%d" % n)) for n in range(5)]
        answers[2].cancel()  # type: ignore[attr-defined]
        await asyncio.wait(answers)  # type: ignore[type-var]
        await transport.close()

    asyncio.run(main())
    values = [record.value for record in read_all(broker.servers, topic)]
    assert values == [b"0", b"1", b"3", b"4"]


def test_a_loop_that_ends_without_closing_leaves_nothing_behind(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)
    transport = RedpandaTransport(settings(broker.servers))

    async def main() -> Receipt:
        receipt: Receipt = await transport.carrier(topic).send(Message(topic, b"7", b"{}"))
        return receipt

    assert [asyncio.run(main()).offset for _ in range(3)] == [0, 1, 2]
    gc.collect()  # what was not closed would warn now, and a warning is a failure
    asyncio.run(transport.close())


def test_several_loops_in_several_threads_publish_at_once(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=3)
    transport = RedpandaTransport(settings(broker.servers))

    async def main() -> None:
        send = transport.carrier(topic).send
        await asyncio.gather(*(send(Message(topic, b"%d" % n, b"")) for n in range(100)))
        await transport.close()

    threads = [threading.Thread(target=asyncio.run, args=[main()]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_all(broker.servers, topic)) == 300


FORKING = """
import asyncio, os, sys
from vectis.core.message import Message
from vectis_redpanda import RedpandaSettings, RedpandaTransport

servers, topic = sys.argv[1:]
transport = RedpandaTransport(RedpandaSettings(bootstrap_servers=servers))

async def send(value):
    return await transport.carrier(topic).send(Message(topic, b"7", value))

async def child():
    await send(b"child")
    await transport.close()

async def main():
    await send(b"before")
    pid = os.fork()
    if pid == 0:
        asyncio.run(child())
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    await send(b"after")
    await transport.close()

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_the_child_of_a_fork_has_a_producer_of_its_own(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)
    command = [sys.executable, "-W", "error", "-c", FORKING, broker.servers, topic]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    values = [record.value for record in read_all(broker.servers, topic)]
    assert values == [b"before", b"child", b"after"]


def test_the_hub_tells_why_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = free.getsockname()[1]
    config: dict[str, Any] = {
        "redpanda": {"bootstrap_servers": f"127.0.0.1:{nobody}"},
        "hub": {"publish_timeout": 1.0},
    }
    hub = Hub(config, plugins={"redpanda": Redpanda()}, discover=False)

    async def main() -> PublishError:
        with pytest.raises(PublishError) as caught:
            await hub.publish("vectis.orders", "order.created", {"order_id": 7}, key="7")
        events = [{"event_type": "order.created", "payload": {"n": n}} for n in range(3)]
        with pytest.raises(PublishError) as many:
            await hub.publish_many("vectis.orders", events)
        assert [getattr(e, "fate", None) for e in many.value.results] == ["not_sent"] * 3
        await hub.shutdown()
        return caught.value

    error = asyncio.run(main())
    assert error.fate == "not_sent"
    assert "nothing listens there" in str(error)


def test_a_record_of_another_client_is_read_as_it_is(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)
    write(broker.servers, topic, [b"theirs"], key=None)
    assert publish(settings(broker.servers), topic).offset == 1


def test_publishing_goes_on_and_ends_in_time_after_somebody_cancelled_every_task() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = free.getsockname()[1]

    async def main() -> list[PublishError]:
        hub = Hub(
            {
                "hub": {"publish_timeout": 1.0},
                "redpanda": {"bootstrap_servers": f"127.0.0.1:{nobody}"},
            }
        )
        first = asyncio.create_task(hub.publish("orders", "order.created", {"n": 1}, "7"))
        await eventually(lambda: any("producer" in task.get_name() for task in asyncio.all_tasks()))
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.wait([first])
        ends = []
        for number in (2, 3):
            with pytest.raises(PublishError) as caught:
                async with asyncio.timeout(30):  # else it would hang for ever
                    await hub.publish("orders", "order.created", {"n": number}, "7")
            ends.append(caught.value)
        await hub.shutdown()
        return ends

    assert [error.fate for error in asyncio.run(main())] == ["not_sent", "not_sent"]
