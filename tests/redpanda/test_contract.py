"""The contract of a transport, in full, on a real broker."""

from __future__ import annotations

import asyncio
import os
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaClient
from aiokafka.client import CoordinationType
from aiokafka.protocol.group import LeaveGroupRequest

from tests.kafka import fixtures
from tests.kafka.broker import brokers
from vectis.core.testing.contract import Features, TransportContract
from vectis_redpanda import RedpandaSettings, RedpandaTransport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kafka.fixtures import Shared

# The process that the contract kills makes a transport of its own, and inherits this.
SERVERS = "CONTRACT_SERVERS"


@pytest.fixture(scope="module")
def creating_servers(
    broker: Shared, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A broker that makes topics by itself, which the contract expects of a transport."""
    if fixtures.SERVERS in os.environ:
        yield broker.servers
        return
    folder, jars = tmp_path_factory.mktemp("creating"), request.getfixturevalue("kafka_jars")
    settings = {"auto.create.topics.enable": "true"}
    with brokers(folder, jars, settings=settings) as (one,):
        yield one.servers


class TestRedpanda(TransportContract):
    features = Features(durable=True, expiry=True, refused_size=2_000_000)

    @pytest.fixture(autouse=True)
    def servers(self, creating_servers: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(SERVERS, creating_servers)

    def transport(self, folder: Path) -> RedpandaTransport:
        return RedpandaTransport(RedpandaSettings(bootstrap_servers=os.environ[SERVERS]))

    def expire(self, transport: Any, consumer: Any) -> None:
        """Say to the broker in the member's name that it has left, which it does not know."""
        coordinator = consumer._intake.consumer._coordinator
        leaving = Thread(target=asyncio.run, args=[leave(consumer.group, coordinator.member_id)])
        leaving.start()
        leaving.join()


async def leave(group: str, member: str) -> None:
    client = AIOKafkaClient(bootstrap_servers=os.environ[SERVERS])
    await client.bootstrap()
    try:
        node = await client.coordinator_lookup(CoordinationType.GROUP, group)
        answer = await client.send(node, LeaveGroupRequest(group, member))
        assert answer.error_code == 0
    finally:
        await client.close()
