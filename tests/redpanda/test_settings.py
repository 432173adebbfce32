"""Settings that cannot work are refused before anything is connected to, with the key to change."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from tests.core.cli_world import World
from tests.redpanda.counter import hub_on
from vectis.core.exceptions import TransportError
from vectis_redpanda import RedpandaSettings, RedpandaTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kafka.fixtures import Shared

SOMEWHERE = "127.0.0.1:9"


@pytest.mark.parametrize("servers", [",", " ", " , "])
def test_no_server_at_all_is_not_taken_for_one(servers: str) -> None:
    with pytest.raises(
        TransportError, match=r"\[redpanda\] bootstrap_servers = .* names no server"
    ):
        RedpandaTransport(RedpandaSettings(bootstrap_servers=servers))


@pytest.mark.parametrize("host", ["kafka..local", ".local", "x" * 70 + ".local"])
def test_a_host_that_can_have_no_address(host: str, tmp_path: Path) -> None:
    servers = f"one.local:9092, {host}:9092"
    with pytest.raises(TransportError, match=rf"\[redpanda\] bootstrap_servers: '{host}:9092'"):
        RedpandaTransport(RedpandaSettings(bootstrap_servers=servers))
    world = World(tmp_path)
    world.config(f'[redpanda]\nbootstrap_servers = "{servers}"')
    for command in (["topics", "list"], ["doctor"]):
        answer = world.vectis(*command)
        assert answer.code not in (0, None)
        assert "Traceback" not in answer.out + answer.err
        assert "is no server. Write host:port" in " ".join((answer.out + answer.err).split())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("request_timeout", inf),
        ("request_timeout", 3e6),
        ("session_timeout", inf),
        ("session_timeout", 1e7),
        ("rebalance_timeout", 3e6),
        ("max_batch_size", 2**31),
        ("max_request_size", 2**31),
        ("partitions", 2**31),
        ("replication", 70_000),
        ("retention_age", inf),
        ("retention_bytes", 2**63),
    ],
)
def test_a_number_that_no_broker_can_be_told_names_its_key(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"'{key}' must be <= "):
        RedpandaSettings(**{key: value})


def test_a_time_to_shut_down_may_be_as_long_as_anybody_likes(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)

    async def main() -> None:
        settings = RedpandaSettings(bootstrap_servers=broker.servers)
        consumer = RedpandaTransport(settings, drain=inf).consumer([topic], f"{topic}.shop")
        await consumer.start(on_assigned=nothing, on_revoked=nothing)
        try:
            async with asyncio.timeout(30):
                while not consumer.assignment():
                    await consumer.fetch(max_records=1, timeout=1)
        finally:
            await consumer.close()

    asyncio.run(main())


async def nothing(partitions: object) -> None:
    """Nobody is interested."""


@pytest.mark.parametrize("option", ["--partitions=3000000000", "--replication=70000"])
def test_topics_are_not_created_with_such_a_number(option: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.config(f'[redpanda]\nbootstrap_servers = "{SOMEWHERE}"')
    answer = world.vectis("topics", "create", "orders", option)
    assert answer.code == 2
    assert "Traceback" not in answer.out + answer.err
    assert option.partition("=")[0] in answer.err


@pytest.mark.parametrize("linger_ms", [3_000.0, inf])
def test_lingering_leaves_time_to_publish(linger_ms: float) -> None:
    hub = hub_on(SOMEWHERE, linger_ms=linger_ms)  # whose publish_timeout is as long

    async def main() -> str:
        with pytest.raises(TransportError) as caught:
            await hub.publish("orders", "order.created", {"order_id": 7}, key="7")
        await hub.shutdown()
        return str(caught.value)

    said = asyncio.run(main())
    assert "[redpanda] linger_ms" in said
    assert "[hub] publish_timeout = 3 s" in said
