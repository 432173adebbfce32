"""Brokers behind names that outlive their addresses: silence is told, and a move is followed.

Clients come in at a door that always leads to the broker. What it tells them to use from then on is
one address and later another: after the move nobody is left at the first one who could tell.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack
from time import monotonic
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.core.worker_world import eventually
from tests.kafka.broker import brokers
from tests.kafka.node import PLAIN, Listener
from tests.kafka.ports import HOST
from tests.kafka.proxy import Proxy
from tests.kafka.records import write
from tests.kafka.topics import create_topic, unique_name
from tests.redpanda.counter import Counter
from vectis.core.exceptions import PublishError, TransportError
from vectis.core.message import Message
from vectis.core.testing.contract import Member
from vectis.core.worker import Worker
from vectis_redpanda import RedpandaSettings, RedpandaTransport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kafka.broker import Broker
    from vectis.core.message import Receipt

DEADLINE = 60.0


@attrs.frozen
class House:
    """A broker with two addresses, and the door that leads to either.

    Args:
        broker: The broker.
        door: What clients are configured with.
        first: The address that it tells them while the door leads there.
        second: The other one.
    """

    broker: Broker
    door: Proxy
    first: Proxy
    second: Proxy

    @property
    def servers(self) -> str:
        """The bootstrap servers."""
        return f"{HOST}:{self.door.port}"

    def use(self, address: Proxy) -> None:
        """Let the door lead to an address."""
        self.door.target = address.target

    def move(self) -> None:
        """Leave the first address for good."""
        self.use(self.second)
        self.first.refuse()
        self.door.cut()


@pytest.fixture(scope="module")
def house(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with ExitStack() as stack:
        door, first, second = (stack.enter_context(Proxy()) for _ in range(3))
        listeners = (
            PLAIN,
            Listener("FIRST", advertised=first.port),
            Listener("SECOND", advertised=second.port),
        )
        folder = tmp_path_factory.mktemp("house")
        (broker,) = stack.enter_context(brokers(folder, kafka_jars, listeners=listeners))
        first.target = broker.node.ports["FIRST"]
        second.target = broker.node.ports["SECOND"]
        house = House(broker, door, first, second)
        house.use(first)
        yield house


def transport(house: House, publish_timeout: float = 1.0) -> RedpandaTransport:
    settings = RedpandaSettings(
        bootstrap_servers=house.servers,
        request_timeout=0.75,
        session_timeout=3.0,
        rebalance_timeout=2.0,
    )
    return RedpandaTransport(settings, publish_timeout=publish_timeout)


async def trouble_of(member: Member) -> str:
    """Fetch until that fails, and return the error's text."""
    while True:
        try:
            await member.fetch(timeout=0.2)
        except TransportError as error:
            return str(error)


async def read_in_spite_of_everything(member: Member, value: bytes) -> None:
    while all(delivery.value != value for delivery in member.deliveries):
        try:
            await member.fetch(timeout=0.2)
        except TransportError:
            await asyncio.sleep(0.1)


def test_silence_is_told_as_what_it_is_and_ends_by_itself(house: House) -> None:
    topic = create_topic(house.broker.servers, unique_name("silence"), partitions=1)
    write(house.broker.servers, topic, [b"before"])

    async def main() -> tuple[str, ...]:
        link = transport(house)
        member, reader = Member(link, topic, unique_name("group")), Member(link, topic, None)
        async with member, reader:
            await member.read(1)
            await reader.read(1)
            house.door.stall()
            house.first.stall()
            told = await asyncio.gather(trouble_of(member), trouble_of(reader))
            begun = monotonic()
            with pytest.raises(TransportError, match="offsets could not be committed"):
                await member.commit()
            assert monotonic() - begun < 0.75 + 1.5, "a commit is bounded by request_timeout"
            house.door.flow()
            house.first.flow()
            await asyncio.to_thread(write, house.broker.servers, topic, [b"after"])
            await read_in_spite_of_everything(member, b"after")
            await read_in_spite_of_everything(reader, b"after")
            return told

    for said in asyncio.run(asyncio.wait_for(main(), DEADLINE)):
        assert f"{house.servers} takes connections and does not answer" in said
        assert "encrypted" not in said, "it has worked before"


def test_the_first_messages_that_find_a_broker_go_through_in_order(house: House) -> None:
    topic = create_topic(house.broker.servers, unique_name("first"), partitions=1)
    house.first.refuse()
    house.door.refuse()

    async def main() -> list[Receipt]:
        link = transport(house, publish_timeout=20)
        send = link.carrier(topic).send
        answers = [send(Message(topic, b"7", b"%d" % n)) for n in range(20)]
        await asyncio.sleep(1)  # nobody is there for as long as that
        house.door.accept()
        house.first.accept()
        receipts = await asyncio.gather(*answers)
        await link.close()
        return receipts

    receipts = asyncio.run(asyncio.wait_for(main(), DEADLINE))
    assert [receipt.offset for receipt in receipts] == [*range(20)]


def test_a_worker_says_once_that_nobody_is_there_and_goes_on_by_itself(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    topic = create_topic(house.broker.servers, unique_name("outage"), partitions=1)
    create_topic(house.broker.servers, f"{topic}.dlq", partitions=1)
    counter = Counter(house.servers, topic, redpanda={"request_timeout": 1.0})
    order = b'{"event_type": "order.created", "payload": {}}'

    async def main() -> None:
        worker = Worker(counter.hub)
        running = asyncio.ensure_future(worker.run())
        await asyncio.to_thread(write, house.broker.servers, topic, [order])
        await eventually(lambda: counter.settled == 1)
        house.first.refuse()
        house.door.refuse()
        await eventually(lambda: "cannot fetch" in caplog.text)
        await asyncio.sleep(3)  # it lasts as long as it lasts
        house.door.accept()
        house.first.accept()
        await asyncio.to_thread(write, house.broker.servers, topic, [order])
        await eventually(lambda: counter.settled == 2)
        worker.stop()
        await running
        await counter.hub.shutdown()

    with caplog.at_level(logging.INFO):
        asyncio.run(asyncio.wait_for(main(), DEADLINE))
    told = [record.message for record in caplog.records if record.name == "vectis.worker"]
    (said,) = [message for message in told if "cannot fetch" in message]
    assert f"{house.servers} cannot be reached (nothing listens there)" in said
    (said,) = [message for message in told if "fetching again, after" in message]
    failures = int(said.split()[3])
    assert 1 < failures < 10, "again and again, and not all the time"
    theirs = [record for record in caplog.records if record.name.startswith("aiokafka")]
    assert len(theirs) < 50, "aiokafka says the same ten times a second"


def test_brokers_that_have_moved_are_found_at_the_bootstrap_servers(house: House) -> None:
    topic = create_topic(house.broker.servers, unique_name("moved"), partitions=1)

    async def publish_after_all(link: RedpandaTransport) -> list[PublishError]:
        failures = []
        while True:
            try:
                await link.carrier(topic).send(Message(topic, b"7", b"after"))
            except PublishError as error:
                failures.append(error)
            else:
                return failures

    async def main() -> None:
        link = transport(house)
        await link.carrier(topic).send(Message(topic, b"7", b"before"))
        group = unique_name("group")
        async with Member(link, topic, group) as member, Member(link, topic, None) as reader:
            await member.read(1)
            await member.commit()
            await reader.read(1)
            (held,) = reader.consumer.assignment()
            reader.consumer.pause(held)

            house.first.stall()
            under_way = link.carrier(topic).send(Message(topic, b"7", b"under way"))
            await asyncio.sleep(0)  # it is handed over
            house.move()
            with pytest.raises(PublishError) as caught:
                await under_way
            assert caught.value.fate == "unknown"

            failures, _ = await asyncio.gather(
                publish_after_all(link), read_in_spite_of_everything(member, b"after")
            )
            assert {error.fate for error in failures} == {"not_sent"}
            await member.commit()
            here = house.second.accepted
            # Committed before the move, so not delivered again after it.
            assert [delivery.value for delivery in member.deliveries].count(b"before") == 1

            while house.second.accepted == here:  # until the reader has come as well
                try:
                    await reader.fetch(timeout=0.2)
                except TransportError:
                    await asyncio.sleep(0.1)
            assert await reader.fetch(timeout=0.5) == [], "what was paused before stays so"
            reader.consumer.resume(held)
            await reader.read(1)
            assert reader.deliveries[-1].value == b"after"
        await link.close()

    asyncio.run(asyncio.wait_for(main(), DEADLINE))
