"""Brokers behind names that outlive their addresses: silence is told, and a move is followed.

Clients come in at a door that always leads to the broker. What it tells them to use from then on is
one address and later another: after the move nobody is left at the first one who could tell.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.kafka.broker import brokers
from tests.kafka.node import PLAIN, Listener
from tests.kafka.ports import HOST
from tests.kafka.proxy import Proxy
from tests.kafka.records import write
from tests.kafka.topics import create_topic, unique_name
from vectis.core.exceptions import PublishError, TransportError
from vectis.core.message import Message
from vectis.core.testing.contract import Member
from vectis_redpanda import RedpandaSettings, RedpandaTransport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kafka.broker import Broker

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


def transport(house: House) -> RedpandaTransport:
    settings = RedpandaSettings(
        bootstrap_servers=house.servers, request_timeout=1.0, session_timeout=6.0
    )
    return RedpandaTransport(settings, publish_timeout=1.5, drain=1.0)


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

    async def main() -> list[str]:
        link = transport(house)
        member, reader = Member(link, topic, unique_name("group")), Member(link, topic, None)
        async with member, reader:
            await member.read(1)
            await reader.read(1)
            house.door.stall()
            house.first.stall()
            told = [await trouble_of(member), await trouble_of(reader)]
            house.door.flow()
            house.first.flow()
            await asyncio.to_thread(write, house.broker.servers, topic, [b"after"])
            await read_in_spite_of_everything(member, b"after")
            await read_in_spite_of_everything(reader, b"after")
            return told

    for said in asyncio.run(asyncio.wait_for(main(), DEADLINE)):
        assert f"{house.servers} takes connections and does not answer" in said
        assert "encrypted" not in said, "it has worked before"


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

            assert {error.fate for error in await publish_after_all(link)} == {"not_sent"}
            await read_in_spite_of_everything(member, b"after")
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
