"""A worker on a real broker: handlers that last longer than the broker waits for anybody."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING, Any

from tests.kafka.groups import committed
from tests.kafka.records import write
from tests.kafka.topics import create_topic
from tests.redpanda.counter import Counter

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.kafka.fixtures import Shared

TYPES = ("order.created", "order.changed")


def test_handlers_longer_than_the_session_keep_their_partition(
    broker: Shared, new_topic: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    topic = new_topic(partitions=1)
    create_topic(broker.servers, f"{topic}.dlq", partitions=1)
    counter = Counter(broker.servers, topic, redpanda={"session_timeout": broker.session})
    longer = broker.session + 1

    async def waits(event_type: str, payload: Any) -> None:
        await asyncio.sleep(longer)

    def blocks_its_thread(event_type: str, payload: Any) -> None:
        time.sleep(longer)

    for event_type, handler in zip(TYPES, (waits, blocks_its_thread), strict=True):
        counter.hub.on_event(event_type, handler, topic=topic)
    events = [{"event_type": event_type, "payload": {}} for event_type in TYPES]
    write(broker.servers, topic, [json.dumps(event).encode() for event in events])
    with caplog.at_level(logging.INFO, "vectis.worker"):
        report = counter.work(lambda: counter.settled >= 2)
    assert (report.handled, report.overlapping) == (2, 0)
    assert sum("assigned" in message for message in caplog.messages) == 1
    assert committed(broker.servers, f"{topic}.shop", topic) == {0: 2}
