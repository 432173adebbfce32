"""Sending: what a receipt promises, order per key, every byte as it was."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import attrs
import pytest

from vectis.core.exceptions import PublishError
from vectis.core.message import Message, Receipt
from vectis.core.testing._contract_tools import (
    Contract,
    Member,
    assert_in_order_per_key,
    close,
    publish,
    unique,
)

if TYPE_CHECKING:
    from pathlib import Path


class PublishingContract(Contract):
    """Sending: what a receipt promises, order per key, every byte as it was."""

    def test_a_receipt_names_the_place_where_the_message_is_found(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            message = Message(topic, b"7", b'{"order_id":7}', (("ce_id", b"1"),))
            receipt = await transport.carrier(topic).send(message)
            async with Member(transport, topic, unique("group")) as member:
                (delivery,) = await member.read(1)
            assert isinstance(receipt, Receipt)
            assert receipt.topic == topic
            assert (receipt.partition, receipt.offset) == (delivery.partition, delivery.offset)
            assert (delivery.topic, delivery.key, delivery.value, delivery.headers) == (
                topic,
                b"7",
                b'{"order_id":7}',
                (("ce_id", b"1"),),
            )
            assert delivery.attempt == 1
            assert delivery.timestamp > 1_500_000_000_000, "milliseconds since 1970"
            await close(transport, topic)

        asyncio.run(main())

    def test_calls_of_one_key_arrive_in_the_order_they_were_made(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            send = transport.carrier(topic).send
            calls = [send(Message(topic, b"k%d" % (n % 7), b"%d" % n)) for n in range(350)]
            await asyncio.gather(*reversed(calls))
            async with Member(transport, topic, unique("group")) as member:
                await member.read(350)
            assert_in_order_per_key(member.deliveries)
            await close(transport, topic)

        asyncio.run(main())

    def test_send_many_keeps_the_order_and_answers_for_each(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            carrier = transport.carrier(topic)
            if carrier.send_many is None:
                pytest.skip("this transport has no send_many")
            messages = [Message(topic, b"k%d" % (n % 5), b"%d" % n) for n in range(2_500)]
            receipts = await carrier.send_many(messages)
            async with Member(transport, topic, unique("group")) as member:
                await member.read(2_500)
            found = {(d.partition, d.offset): d.value for d in member.deliveries}
            for message, receipt in zip(messages, receipts, strict=True):
                assert isinstance(receipt, Receipt)
                assert found[receipt.partition, receipt.offset] == message.value
            assert_in_order_per_key(member.deliveries)
            assert await carrier.send_many([]) == []
            await close(transport, topic)

        asyncio.run(main())

    @pytest.mark.parametrize(
        "message",
        [
            Message(
                "", "ключ".encode(), "Gruß 🚚".encode(), (("ce_subject", "Übergröße".encode()),)
            ),
            Message("", bytes(range(256)), bytes(range(256)), (("raw", bytes(range(256))),)),
            Message("", b"", b"an empty key"),
            Message("", b"7", None, (("ce_id", b"1"),)),
            Message("", b"7", b""),
            Message("", b"7", b"{}", (("trace", b"1"), ("other", b""), ("trace", b"2"))),
            Message("", None, b"no key"),
            Message("", b"7", b"{}", (("größe-量", b"\x00\n\xff"), ("ce_id", "№".encode()))),
        ],
        ids=[
            "unicode",
            "binary",
            "empty-key",
            "tombstone",
            "empty",
            "repeated-headers",
            "no-key",
            "odd-headers",
        ],
    )
    def test_a_message_arrives_byte_for_byte(self, tmp_path: Path, message: Message) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            sent = attrs.evolve(message, topic=topic)
            await transport.carrier(topic).send(sent)
            async with Member(transport, topic, unique("group")) as member:
                (got,) = await member.read(1)
            assert (got.key, got.value, got.headers) == (sent.key, sent.value, sent.headers)
            await close(transport, topic)

        asyncio.run(main())

    def test_a_large_message_arrives_whole(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            value = bytes(range(251)) * (self.features.max_size // 251)
            await transport.carrier(topic).send(Message(topic, b"large", value))
            async with Member(transport, topic, unique("group")) as member:
                (delivery,) = await member.read(1)
            assert delivery.value == value
            await close(transport, topic)

        asyncio.run(main())

    def test_a_message_that_is_too_large_is_refused_and_the_next_one_passes(
        self, tmp_path: Path
    ) -> None:
        size = self.features.refused_size
        if size is None:
            pytest.skip("this transport has no limit that a test could reach")

        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            send = transport.carrier(topic).send
            with pytest.raises(PublishError) as caught:
                await send(Message(topic, b"large", bytes(size)))
            assert caught.value.fate == "rejected"
            await publish(transport, topic, count=1)
            async with Member(transport, topic, unique("group")) as member:
                assert len(await member.read(1)) == 1
                assert await member.fetch() == []
            await close(transport, topic)

        asyncio.run(main())

    def test_messages_without_a_key_are_spread(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            send = transport.carrier(topic).send
            receipts = await asyncio.gather(*(send(Message(topic, None, b"")) for _ in range(200)))
            async with Member(transport, topic, unique("group")) as member:
                await member.read(200)
                partitions = len(member.consumer.assignment())
            assert len({receipt.partition for receipt in receipts}) >= min(2, partitions)
            await close(transport, topic)

        asyncio.run(main())

    def test_ten_thousand_keys_are_spread_and_each_keeps_its_partition(
        self, tmp_path: Path
    ) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            for start in range(0, 20_000, 2_000):
                await publish(transport, topic, count=2_000, keys=10_000, start=start)
            async with Member(transport, topic, unique("group")) as member:
                await member.read(20_000)
                partitions = len(member.consumer.assignment())
            homes: dict[bytes | None, set[int]] = defaultdict(set)
            for delivery in member.deliveries:
                homes[delivery.key].add(delivery.partition)
            assert all(len(home) == 1 for home in homes.values())
            share = Counter(number for home in homes.values() for number in home)
            assert len(share) == partitions, "a partition got nothing"
            assert max(share.values()) <= 1.5 * 10_000 / partitions, "one got too much"
            assert_in_order_per_key(member.deliveries)
            await close(transport, topic)

        asyncio.run(main())
