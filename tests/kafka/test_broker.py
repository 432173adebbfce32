"""That the broker the other tests stand on is what they take it for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiokafka.errors import KafkaConnectionError

from tests.kafka.records import read, write
from tests.kafka.topics import create_topic

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kafka.broker import Broker
    from tests.kafka.fixtures import Shared


def test_it_gives_back_what_was_written(broker: Shared, new_topic: Callable[..., str]) -> None:
    topic = new_topic()
    write(broker.servers, topic, [b"one", b"two", None], key=b"7")
    assert read(broker.servers, topic, 3) == [b"one", b"two", None]


def test_it_keeps_what_was_written_when_it_is_killed(own_broker: Broker) -> None:
    topic = create_topic(own_broker.servers, "kept")
    write(own_broker.servers, topic, [b"before"], acks="all")
    own_broker.kill()
    with pytest.raises(KafkaConnectionError):
        write(own_broker.servers, topic, [b"meanwhile"])
    own_broker.start()
    write(own_broker.servers, topic, [b"after"])
    assert read(own_broker.servers, topic, 2) == [b"before", b"after"]
    own_broker.stop()
