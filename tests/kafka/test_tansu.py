"""What the second broker can do, so that one knows which tests may be run on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiokafka.errors import KafkaError

from tests.kafka.records import read, write
from tests.kafka.topics import create_topic, unique_name

if TYPE_CHECKING:
    from tests.kafka.fixtures import Shared


@pytest.mark.parametrize("compression", [None, "gzip", "snappy", "lz4", "zstd"])
def test_it_gives_back_what_was_written(tansu: Shared, compression: str | None) -> None:
    topic = create_topic(tansu.servers, unique_name("records"))
    write(tansu.servers, topic, [b"one", None], key=b"7", compression_type=compression)
    assert read(tansu.servers, topic, 2) == [b"one", None]


def test_it_knows_no_idempotent_producer(tansu: Shared) -> None:
    topic = create_topic(tansu.servers, unique_name("records"))
    with pytest.raises(KafkaError):
        write(tansu.servers, topic, [b"once"], enable_idempotence=True)
