"""Topics on any broker, made in a test through aiokafka and ready to be used."""

from __future__ import annotations

import asyncio
import re
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from aiokafka import AIOKafkaClient
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.kafka.leftovers import run

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["create_topic", "unique_name"]

_this_run, _numbers = uuid4().hex[:8], count(1)


def unique_name(test: str) -> str:
    """Return a name that no other test and no other run uses, after a test's own."""
    readable = re.sub(r"[^a-z0-9]+", "-", test.lower()).strip("-")[:40]
    return f"{readable}.{_this_run}.{next(_numbers)}"


def create_topic(
    servers: str,
    name: str,
    *,
    partitions: int = 4,
    copies: int = 1,
    config: Mapping[str, str] | None = None,
    **client: Any,
) -> str:
    """Make a topic and return its name when each of its partitions has a leader.

    Args:
        servers: The bootstrap servers.
        name: The topic's.
        partitions: How many.
        copies: On how many brokers.
        config: Its settings, as Kafka names them.
        client: What aiokafka is told besides, such as passwords.
    """
    topic = NewTopic(name, partitions, copies, topic_configs=dict(config or {}))
    run(_create(servers, topic, client))
    return name


async def _create(servers: str, topic: NewTopic, settings: dict[str, Any]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, **settings)
    await admin.start()
    try:
        # A broker that has just started, or that was starved, is not counted in at once, and may
        # not know of itself yet: aiokafka fails without a controller.
        while admin._client.cluster.controller is None:
            await asyncio.sleep(0.1)
            await admin._client.force_metadata_update()
        while errors := (await admin.create_topics([topic])).topic_errors:
            errors = [words for words in errors if words[1] != 0]
            if not errors:
                break
            assert "fenced" in str(errors), errors
            await asyncio.sleep(0.1)
    finally:
        await admin.close()
    client = AIOKafkaClient(bootstrap_servers=servers, **settings)
    await client.bootstrap()
    try:
        led: set[int] = set()
        while len(led) < topic.num_partitions:
            # Asked again: brokers answer before the news has reached each of them.
            await client.add_topic(topic.name)
            await client.force_metadata_update()
            led = client.cluster.available_partitions_for_topic(topic.name) or set()
    finally:
        await client.close()
