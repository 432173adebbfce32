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

ORDER = json.dumps({"event_type": "order.created", "payload": {"order_id": 7}}).encode()


def test_a_handler_longer_than_the_session_keeps_its_partition(
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

    counter.hub.on_event("order.created", waits, topic=topic)
    counter.hub.on_event("order.created", blocks_its_thread, topic=topic)
    write(broker.servers, topic, [ORDER])
    with caplog.at_level(logging.INFO, "vectis.worker"):
        report = counter.work(lambda: counter.settled >= 1)
    assert (report.handled, report.overlapping) == (1, 0)
    assert counter.handled == [{"order_id": 7}]
    assert sum("assigned" in message for message in caplog.messages) == 1
    assert committed(broker.servers, f"{topic}.shop", topic) == {0: 1}
