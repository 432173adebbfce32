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

from vectis.core.testing.contract import Features, TransportContract
from vectis_redpanda import RedpandaSettings, RedpandaTransport

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka.fixtures import Shared

# The process that the contract kills makes a transport of its own, and inherits this.
SERVERS = "CONTRACT_SERVERS"


class TestRedpanda(TransportContract):
    features = Features(durable=True, expiry=True, refused_size=2_000_000)

    @pytest.fixture(autouse=True)
    def servers(self, broker: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(SERVERS, broker.servers)

    def transport(self, folder: Path) -> RedpandaTransport:
        return RedpandaTransport(RedpandaSettings(bootstrap_servers=os.environ[SERVERS]))

    def expire(self, transport: Any, consumer: Any) -> None:
        """Say to the broker in the member's name that it has left, which it does not know."""
        coordinator = consumer._handover.intake.consumer._coordinator
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
