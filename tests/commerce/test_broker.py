"""What a demo on a broker takes from the environment, and what it shows of it."""

from __future__ import annotations

from pathlib import Path

from vectis_commerce.demo.broker import Broker


def test_only_the_way_in_is_taken_from_the_environment() -> None:
    broker = Broker.at(
        "two:9092",
        {
            "VECTIS_REDPANDA_BOOTSTRAP_SERVERS": "one:9092",
            "VECTIS_REDPANDA_SASL_PASSWORD": "hunter2",
            "VECTIS_REDPANDA_SSL_CAFILE": "ca.pem",
            "VECTIS_REDPANDA_SSL_KEYFILE": "",
            "VECTIS_REDPANDA_GROUP_INSTANCE_ID": "shop-1",
            "VECTIS_CONSUMER_GROUP": "shop",
            "VECTIS_SQLITE_PATH": "events.db",
        },
    )
    assert broker.variables == {
        "VECTIS_REDPANDA_BOOTSTRAP_SERVERS": "two:9092",
        "VECTIS_REDPANDA_SASL_PASSWORD": "hunter2",
        "VECTIS_REDPANDA_SSL_CAFILE": str(Path("ca.pem").absolute()),
        "VECTIS_REDPANDA_SSL_KEYFILE": "",
    }
    assert "hunter2" not in repr(broker) + broker.config


def test_each_demo_has_names_of_its_own() -> None:
    first, second = Broker.at(None, {}), Broker.at(None, {})
    assert first.topics.keys().isdisjoint(second.topics)
    assert first.group != second.group
