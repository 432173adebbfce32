"""Consuming from a broker of another make: nothing here leans on the habits of one.

Publishing is not part of it: Tansu knows no idempotent producer.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.kafka.groups import committed
from tests.kafka.records import write
from tests.kafka.topics import create_topic, unique_name
from tests.redpanda.counter import Counter, hub_on, publishing_fails

if TYPE_CHECKING:
    from tests.kafka.fixtures import Shared


def order(number: int) -> bytes:
    event = {"event_type": "order.created", "payload": {"order_id": number}}
    return json.dumps(event).encode()


def test_a_worker_handles_and_commits_everything(tansu: Shared) -> None:
    topic = create_topic(tansu.servers, unique_name("orders"))
    create_topic(tansu.servers, f"{topic}.dlq")
    write(tansu.servers, topic, map(order, range(200)))
    # A group begins there after a while, which is a part of the session.
    counter = Counter(tansu.servers, topic, redpanda={"session_timeout": 2.0})
    report = counter.work(lambda: counter.settled >= 200)
    assert report.handled == 200
    assert counter.handled == [{"order_id": number} for number in range(200)]
    assert committed(tansu.servers, f"{topic}.shop", topic) == {0: 200}


def test_publishing_says_that_it_cannot_be_done_there(tansu: Shared) -> None:
    topic = create_topic(tansu.servers, unique_name("orders"))
    error = publishing_fails(hub_on(tansu.servers), topic)
    assert error.fate == "not_sent"
    assert f"{tansu.servers}: it takes no idempotent producer" in str(error)
