from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.core.worker_world import LETTERS, TOPIC, Shop, eventually
from vectis.core.dead_letter import DeadLetter, topic_of
from vectis.core.exceptions import Reject
from vectis.core.message import Delivery, Message
from vectis.core.worker import Worker

CLOUD_EVENT = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"1"),
    ("ce_source", b"elsewhere"),
    ("ce_type", b"order.created"),
)


def test_a_letter_has_the_original_key_bytes_and_headers_and_says_why() -> None:
    broken = Delivery(
        TOPIC, 3, 41, b"\xff7", b"\x00?", (("trace", b"\xfe"), ("trace", b"2")), 1769862600123
    )
    letter = DeadLetter(
        delivery=broken,
        group="shop",
        handler="acme:sync",
        plugin="acme",
        error="ValueError: no",
        attempts=5,
    )
    message = letter.message()
    assert message.topic == topic_of(TOPIC) == LETTERS
    assert (message.key, message.value) == (b"\xff7", b"\x00?")
    assert message.headers[:2] == broken.headers
    assert dict(message.headers[2:]) == {
        "vectis_dlq_group": b"shop",
        "vectis_dlq_handler": b"acme:sync",
        "vectis_dlq_plugin": b"acme",
        "vectis_dlq_error": b"ValueError: no",
        "vectis_dlq_attempts": b"5",
        "vectis_dlq_topic": b"vectis.orders",
        "vectis_dlq_partition": b"3",
        "vectis_dlq_offset": b"41",
        "vectis_dlq_timestamp": b"1769862600123",
    }


def test_the_reason_is_one_line_of_bounded_length_that_can_be_encoded() -> None:
    letter = DeadLetter(
        delivery=Delivery(TOPIC, 0, 0), group="shop", error="bad\r\n\ud800\x1b" + "x" * 5000
    )
    assert letter.error.startswith("bad ??xxx")
    assert len(letter.error) == 1000
    letter.message()


def test_a_tombstone_stays_a_tombstone() -> None:
    letter = DeadLetter(delivery=Delivery(TOPIC, 0, 0, key=b"7"), group="shop", error="no")
    assert letter.message().value is None


# ---------------------------------------------------------------- as the worker writes them

BAD = {
    "undecodable bytes": (Message(TOPIC, b"7", b"\xff\xfe\x00", CLOUD_EVENT), "UTF-8"),
    "not JSON": (Message(TOPIC, b"7", b"{", CLOUD_EVENT), "JSON"),
    "100,000 deep": (Message(TOPIC, b"7", b"[" * 100_000 + b"]" * 100_000, CLOUD_EVENT), "JSON"),
    "oversized": (Message(TOPIC, b"7", b'"' + b"x" * 300_000 + b'"', CLOUD_EVENT), "300,"),
    "no headers": (Message(TOPIC, b"7", b'{"order_id": 7}'), "event_type, payload missing"),
    "some headers": (Message(TOPIC, b"7", b"{}", CLOUD_EVENT[:2]), "ce_source, header ce_type"),
    "nothing at all": (Message(TOPIC), "no value and no ce_"),
    "a foreign format": (
        Message(TOPIC, b"7", b"<order/>", (("content-type", b"text/xml"),)),
        "text/xml",
    ),
}


@pytest.mark.parametrize(("message", "reason"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_read_is_set_aside_and_the_next_delivery_handled(
    message: Message, reason: str
) -> None:
    shop, seen = Shop(max_message_bytes=250_000), list[int]()
    shop.on("order.created", lambda event_type, payload: seen.append(payload["n"]))

    async def main() -> None:
        await shop.put(message)
        await shop.publish(2)
        await shop.work(shop.finished(2))
        (letter,) = await shop.letters()
        assert (letter.key, letter.value) == (message.key, message.value)
        assert letter.headers[: len(message.headers)] == message.headers
        why = dict(letter.headers[len(message.headers) :])
        assert reason in why["vectis_dlq_error"].decode()
        assert why["vectis_dlq_handler"] == b""
        assert why["vectis_dlq_attempts"] == b"0"

    asyncio.run(main())
    assert seen == [2]
    assert (shop.report.dead_lettered, shop.report.handled) == (1, 1)
    assert shop.committed() == {0: 2}
    assert [outcome.status for outcome in shop.diary.outcomes] == ["dead_lettered", "handled"]


def test_each_handler_that_failed_gets_a_letter_of_its_own() -> None:
    shop = Shop(max_attempts=2)

    def refuses(event_type: str, payload: dict[str, Any]) -> None:
        raise Reject("no")

    def fails(event_type: str, payload: dict[str, Any]) -> None:
        raise ValueError("down")

    refuses.__qualname__, fails.__qualname__ = "refuses", "fails"
    shop.on("order.created", refuses)
    shop.on("order.created", fails)

    async def main() -> None:
        await shop.publish(1)
        await shop.work(shop.finished(1))

    asyncio.run(main())
    letters = [(letter.handler, letter.attempts, letter.error) for letter in shop.diary.letters]
    assert letters == [
        ("app:refuses", 1, "Reject: no"),
        ("app:fails", 2, "ValueError: down"),
    ]
    assert shop.report.dead_lettered == 1


def test_a_letter_that_cannot_be_written_blocks_the_offset_until_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop, seen = Shop(), list[int]()
    shop.on("order.created", lambda event_type, payload: seen.append(payload["n"]))

    async def main() -> None:
        await shop.publish(1)
        await shop.put(Message(TOPIC, b"7", b"\xff"))
        await shop.publish(3)
        shop.transport.failing.add(LETTERS)
        worker = Worker(shop.hub)
        running = asyncio.ensure_future(worker.run())
        await eventually(lambda: shop.transport.calls >= 3)
        await eventually(lambda: shop.committed() == {0: 1})
        assert seen == [1]
        assert shop.diary.letters == []
        shop.transport.failing.clear()
        await eventually(lambda: shop.committed() == {0: 3})
        worker.stop()
        await running
        assert len(await shop.letters()) == 1

    with caplog.at_level(logging.ERROR, "vectis.worker"):
        asyncio.run(main())
    assert seen == [1, 3]
    assert (
        "vectis.orders/0@1: its dead letter cannot be written to vectis.orders.dlq, so it waits "
        "and nothing behind it is committed: TransportError: vectis.orders.dlq: the broker is away"
    ) in caplog.messages


def test_a_worker_that_stops_meanwhile_leaves_the_delivery_to_the_next_one() -> None:
    shop = Shop()
    shop.on("order.created", lambda event_type, payload: None)

    async def main() -> None:
        await shop.put(Message(TOPIC, b"7", b"\xff"))
        shop.transport.failing.add(LETTERS)
        report = await shop.work(lambda: shop.transport.calls >= 2)
        assert report.clean
        assert report.dead_lettered == 0
        assert shop.committed() == {}
        shop.transport.failing.clear()
        await shop.work(shop.finished(1))
        assert len(await shop.letters()) == 1

    asyncio.run(main())


def test_a_guard_on_publishing_cannot_keep_a_letter_from_being_written() -> None:
    from vectis.core import hookimpl

    class Guard:
        @hookimpl
        def vectis_before_publish(self, message: Message) -> None:
            raise ValueError("nothing leaves this house")

    shop = Shop(plugins={"guard": Guard()})
    shop.on("order.created", lambda event_type, payload: None)

    async def main() -> None:
        await shop.put(Message(TOPIC, b"7", b"\xff"))
        await shop.work(shop.finished(1))
        assert len(await shop.letters()) == 1

    asyncio.run(main())
