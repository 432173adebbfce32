"""`vectis topics`, and what a worker does about topics that are missing."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.core.cli_world import World
from tests.kafka.broker import brokers
from tests.kafka.leftovers import run
from tests.kafka.records import write
from tests.kafka.topics import create_topic, unique_name
from vectis.core import Hub
from vectis.core.exceptions import ConfigError, PublishError, TransportError
from vectis.core.message import Message
from vectis.core.worker import Worker
from vectis_redpanda import Redpanda, RedpandaSettings, RedpandaTransport
from vectis_redpanda._queues import TopicQueues

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka.broker import Broker
    from tests.kafka.fixtures import Shared

HANDLERS = """
from vectis.core.events.consumer import on_event

@on_event("order.created", topic="{topic}")
async def handle(event_type, payload):
    ...
"""


@pytest.fixture
def world(tmp_path: Path, broker: Shared) -> World:
    world = World(tmp_path)
    world.config(f'[redpanda]\nbootstrap_servers = "{broker.servers}"\npartitions = 3')
    return world


def test_the_topics_of_the_application_are_created_checked_and_listed(world: World) -> None:
    topic = unique_name("orders")
    (world.here / "shop.py").write_text(HANDLERS.format(topic=topic))
    asked = ("--module", "shop", "--json")

    before = world.vectis("topics", "check", *asked)
    assert before.code == 1
    assert {row["topic"]: row["problem"] for row in before.json["topics"]}.keys() >= {
        topic,
        f"{topic}.dlq",
    }
    assert f"`vectis topics create {topic}`" in before.out

    assert topic in world.vectis("topics", "create", *asked, "--dry-run").json["would_create"]
    assert world.vectis("topics", "check", *asked).code == 1, "a dry run makes nothing"

    created = world.vectis("topics", "create", *asked)
    assert created.code == 0, created.err
    assert {topic, f"{topic}.dlq"} <= set(created.json["created"])
    assert {topic, f"{topic}.dlq"} <= set(world.vectis("topics", "create", *asked).json["existed"])
    assert world.vectis("topics", "check", *asked).code == 0

    listed = {row["topic"]: row for row in world.vectis("topics", "list", "--json").json}
    source, letters = listed[topic], listed[f"{topic}.dlq"]
    assert source["partitions"] == letters["partitions"] == 3
    assert letters["max_message_bytes"] > source["max_message_bytes"]
    assert letters["retention_seconds"] is None
    assert topic in world.vectis("topics", "list").out


def test_topics_keep_records_as_long_as_is_set_and_letters_for_ever(
    world: World, broker: Shared
) -> None:
    topic = unique_name("kept")
    (world.here / "shop.py").write_text(HANDLERS.format(topic=topic))
    keeping = "retention_age = 3600\nretention_bytes = 5000000"
    world.config(f'[redpanda]\nbootstrap_servers = "{broker.servers}"\n{keeping}')
    assert world.vectis("topics", "create", "--module", "shop").code == 0

    async def configured(name: str) -> dict[str, str]:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.servers)
        await admin.start()
        try:
            asked = ConfigResource(ConfigResourceType.TOPIC, name)
            ((resource,),) = [answer.resources for answer in await admin.describe_configs([asked])]
            return {entry[0]: entry[1] for entry in resource[4]}
        finally:
            await admin.close()

    kept, letters = (run(configured(name)) for name in (topic, f"{topic}.dlq"))
    assert (kept["retention.ms"], kept["retention.bytes"]) == ("3600000", "5000000")
    assert (letters["retention.ms"], letters["retention.bytes"]) == ("-1", "-1")


def test_a_topic_for_letters_that_is_too_tight_is_found(world: World, broker: Shared) -> None:
    topic = create_topic(broker.servers, unique_name("tight"))
    create_topic(broker.servers, f"{topic}.dlq")
    (world.here / "shop.py").write_text(HANDLERS.format(topic=topic))
    answer = world.vectis("topics", "check", "--module", "shop")
    assert answer.code == 1
    assert f"{topic}.dlq: a dead letter of a message that {topic} takes may be too large" in (
        answer.out
    )


def test_a_topic_for_letters_that_forgets_them_is_found(world: World, broker: Shared) -> None:
    topic = create_topic(broker.servers, unique_name("forgetful"))
    config = {"max.message.bytes": "2000000", "cleanup.policy": "compact", "retention.ms": "1000"}
    create_topic(broker.servers, f"{topic}.dlq", config=config)
    (world.here / "shop.py").write_text(HANDLERS.format(topic=topic))
    answer = world.vectis("topics", "check", "--module", "shop")
    assert answer.code == 1
    assert "does not keep dead letters until somebody has seen to them" in answer.out
    assert "set its cleanup.policy to delete, retention.ms to -1" in answer.out


def test_letters_are_kept_on_a_cluster_that_compacts(tmp_path: Path, kafka_jars: Path) -> None:
    compacts = {"log.cleanup.policy": "compact", "log.retention.bytes": "1000000"}
    with brokers(tmp_path / "broker", kafka_jars, settings=compacts) as (broker,):
        world = World(tmp_path)
        world.config(f'[redpanda]\nbootstrap_servers = "{broker.servers}"')
        (world.here / "shop.py").write_text(HANDLERS.format(topic="orders"))
        assert world.vectis("topics", "create", "orders", "orders.dlq").code == 0
        write(broker.servers, "orders.dlq", [b"a letter without a key"])
        alone = {"VECTIS_PLUGINS_DISABLE": "commerce"}  # which has topics of its own
        checked = world.vectis("topics", "check", "--module", "shop", **alone)
        assert checked.code == 0, checked.out


def test_the_topics_are_listed_and_checked_without_a_module_that_does_not_import(
    world: World, broker: Shared
) -> None:
    topic = create_topic(broker.servers, unique_name("orders"))
    create_topic(
        broker.servers,
        f"{topic}.dlq",
        config={"max.message.bytes": "2000000", "retention.ms": "-1"},
    )
    (world.here / "shop.py").write_text(HANDLERS.format(topic=topic))
    (world.here / "broken.py").write_text("raise ValueError('half written')")
    asked = ("topics", "check", "--module", "shop")
    alone = {"VECTIS_PLUGINS_DISABLE": "commerce"}  # which has topics of its own
    found = world.vectis(*asked, "--module", "broken", "--json", **alone)
    assert (found.code, found.json["failed"], found.json["unread"]) == (1, 0, ["broken"])
    assert topic in {row["topic"] for row in found.json["topics"]}
    assert "Warning: module 'broken' cannot be imported for its handlers" in found.err
    assert "topics that it alone names are not compared" in found.err
    nothing = world.vectis("topics", "check", "--module", "broken", **alone)
    assert (nothing.code, "uses no topics" in nothing.out) == (1, False)
    world.install("acme", plugin="acme = acme", acme="1 / 0")
    found = world.vectis(*asked, "--json", **alone)
    assert (found.code, found.json["failed"], found.json["unread"]) == (1, 0, ["acme"])
    assert "acme (acme 1.0): cannot be imported" in found.err
    path = world.here / "vectis.toml"
    path.write_text(path.read_text() + '\n[consumer]\nmodules = ["broken"]\n')
    listed = world.vectis("topics", "list", "--json")
    assert listed.code == 0, listed.err
    assert topic in {row["topic"] for row in listed.json}
    assert world.vectis("topics", "create").code == 2


def test_what_a_broker_refuses_is_said(world: World) -> None:
    answer = world.vectis("topics", "create", unique_name("copies"), "--replication", "9")
    assert answer.code == 1
    assert "was not created" in answer.out
    assert "replication factor of 9" in answer.out


def test_names_and_brokers_that_are_none_are_said(world: World) -> None:
    answer = world.vectis("topics", "create", "a/b")
    assert answer.code != 0
    assert "no topic's name" in answer.err
    world.config('[redpanda]\nbootstrap_servers = "127.0.0.1:1"')
    answer = world.vectis("topics", "list")
    assert answer.code == 1
    assert "nothing listens there" in answer.err
    world.config("")
    answer = world.vectis("topics", "list")
    assert answer.code == 2
    assert "no servers are configured" in answer.err


def test_the_doctor_asks_the_brokers(world: World, broker: Shared) -> None:
    topic = unique_name("orders")
    letters = f"{topic}.dlq"
    (world.here / "shop.py").write_text(HANDLERS.format(topic=topic))
    group = unique_name("shop")

    def doctor() -> str:
        return world.vectis("doctor", "--module", "shop", VECTIS_CONSUMER_GROUP=group).out

    before = doctor()
    assert f"redpanda: {broker.servers} answers, a cluster of 1 broker" in before
    assert f"{topic}, {letters}" in said(before, "missing topics: ")
    create_topic(broker.servers, topic)
    create_topic(broker.servers, letters)
    tight = doctor()
    assert topic not in said(tight, "missing topics: ")
    assert f"{letters}: a dead letter of a message that {topic} takes may be too large" in tight
    assert world.vectis("publish", topic, "order.created", "{}", "--key", "7").code == 0
    waiting = doctor()
    assert "1 delivery waits for" in waiting
    assert f"ok    dead letters: none wait for {group}" in waiting
    world.config('[redpanda]\nbootstrap_servers = "127.0.0.1:1"')
    away = world.vectis("doctor")
    assert away.code == 1
    assert "127.0.0.1:1 cannot be reached (nothing listens there)" in away.out


CATALOGUE = """
import attrs
from vectis.core import event_type, hookimpl

@event_type("shop.opened", topic="{topic}")
@attrs.frozen
class ShopOpened:
    pass

@hookimpl
def vectis_register_events(catalogue):
    catalogue.register(ShopOpened)
"""


def test_the_doctor_and_the_check_look_at_the_same_topics(world: World, broker: Shared) -> None:
    published, consumed = unique_name("published"), unique_name("consumed")
    world.install("acme", plugin="acme = acme", acme=CATALOGUE.format(topic=published))
    (world.here / "shop.py").write_text(HANDLERS.format(topic=consumed))
    found = world.vectis("topics", "check", "--module", "shop", "--json").json["topics"]
    missing = {row["topic"] for row in found if row["problem"]}
    assert {published, consumed, f"{consumed}.dlq"} <= missing
    told = said(world.vectis("doctor", "--module", "shop").out, "missing topics: ")
    assert missing == set(told.split(", "))


def said(out: str, lead: str) -> str:
    """Return the rest of the one line that has this in it."""
    return next((line.split(lead)[1] for line in out.splitlines() if lead in line), "")


def worker(servers: str, topic: str, **redpanda: Any) -> Worker:
    config = {
        "redpanda": {"bootstrap_servers": servers, **redpanda},
        "consumer": {"group": unique_name("shop")},
    }
    hub = Hub(config, plugins={"redpanda": Redpanda()}, discover=False)
    hub.on_event("order.created", lambda event_type, payload: None, topic=topic)
    return Worker(hub)


def test_names_that_are_no_topics_are_not_kept(own_broker: Broker) -> None:
    topic = create_topic(own_broker.servers, unique_name("orders"), partitions=1)

    def kept() -> int:
        gc.collect()
        return sum(isinstance(one, TopicQueues) for one in gc.get_objects())

    async def main() -> None:
        settings = RedpandaSettings(bootstrap_servers=own_broker.servers)
        transport = RedpandaTransport(settings, publish_timeout=4)
        send = transport.carrier(topic).send
        before = kept()
        for _ in range(2):  # a name may come again, and become a topic's
            answers = [send(Message(f"{topic}-{n}", b"7", b"{}")) for n in range(5)]
            await send(Message(topic, b"7", b"{}"))
            for error in await asyncio.gather(*answers, return_exceptions=True):
                assert isinstance(error, PublishError)
            assert kept() - before == 1
        await asyncio.to_thread(create_topic, own_broker.servers, f"{topic}-0", partitions=1)
        assert (await send(Message(f"{topic}-0", b"7", b"{}"))).offset == 0
        await transport.close()

    asyncio.run(main())


def test_publishing_to_and_reading_a_missing_topic_name_the_command(own_broker: Broker) -> None:
    async def publish() -> None:
        settings = RedpandaSettings(bootstrap_servers=own_broker.servers)
        transport = RedpandaTransport(settings, publish_timeout=3)
        try:
            await transport.carrier("nowhere").send(Message("nowhere", b"7", b"{}"))
        finally:
            await transport.close()

    with pytest.raises(TransportError, match="`vectis topics create nowhere`"):
        asyncio.run(publish())
    with pytest.raises(TransportError, match="`vectis topics create nowhere`"):
        asyncio.run(worker(own_broker.servers, "nowhere", request_timeout=2.0).run())


def test_a_worker_makes_its_topic_for_dead_letters(broker: Shared) -> None:
    topic = create_topic(broker.servers, unique_name("orders"), partitions=2)
    consuming = worker(broker.servers, topic)
    asyncio.run(consuming.run(consuming.stop))
    settings = RedpandaSettings(bootstrap_servers=broker.servers)

    async def found() -> Any:
        from vectis_redpanda._topics import existing

        return await existing(RedpandaTransport(settings).link, [f"{topic}.dlq"])

    letters = asyncio.run(found())[f"{topic}.dlq"]
    assert letters.partitions == 2
    assert letters.retention is None


def test_a_worker_that_cannot_make_it_does_not_start(broker: Shared) -> None:
    topic = create_topic(broker.servers, unique_name("orders"))
    with pytest.raises(ConfigError, match=rf"`vectis topics create {topic}\.dlq`") as caught:
        asyncio.run(worker(broker.servers, topic, replication=3).run())
    assert "replication factor of 3" in str(caught.value)
