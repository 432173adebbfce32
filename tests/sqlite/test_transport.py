from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

import vectis_sqlite
from vectis.core import Config, Hub
from vectis.core.exceptions import PublishError
from vectis.core.message import Message
from vectis.core.testing.contract import Member, close, publish
from vectis.core.transport import Route
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def transport_for(file: Path, *, partitions: int = 8) -> SqliteTransport:
    return SqliteTransport(SqliteSettings(path=str(file), partitions=partitions))


def test_a_topic_keeps_the_partitions_it_was_made_with(file: Path) -> None:
    async def use(partitions: int, topic: str) -> None:
        transport = transport_for(file, partitions=partitions)
        await publish(transport, topic, count=1)
        await close(transport, topic)

    asyncio.run(use(3, "orders"))
    asyncio.run(use(5, "orders"))
    asyncio.run(use(5, "accounts"))
    topics = {t.name: len(t.partitions) for t in transport_for(file).describe_topics()}
    assert topics == {"accounts": 5, "orders": 3}


def test_offsets_are_never_used_again_also_after_everything_was_deleted(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        send = transport.carrier("orders").send
        await send(Message("orders", b"7", b"{}"))
        last = await send(Message("orders", b"7", b"{}"))
        with closing(sqlite3.connect(file)) as retention:
            retention.execute("DELETE FROM log")
            retention.commit()
        following = await send(Message("orders", b"7", b"after"))
        assert following.offset == last.offset + 1
        async with Member(transport, "orders", "shop") as member:
            (delivery,) = await member.read(1)
            assert delivery.value == b"after"
            assert set((await member.consumer.lag()).values()) == {0}
        await close(transport, "orders")

    asyncio.run(main())


def test_topics_show_their_records_and_every_group_its_lag(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await publish(transport, "orders", count=20)
        async with Member(transport, "orders", "shop") as member:
            await member.read(20)
            await member.commit()
        await publish(transport, "orders", count=5)
        (topic,) = transport.describe_topics()
        assert (topic.name, topic.records, topic.groups) == ("orders", 25, ("shop",))
        assert topic.lag("shop") == 5
        await close(transport, "orders")

    asyncio.run(main())


def test_a_file_without_topics_shows_none_also_while_another_process_makes_it(file: Path) -> None:
    transport = transport_for(file)
    assert transport.describe_topics() == []
    file.touch()  # as it is for a moment then
    assert transport.describe_topics() == []


def test_records_can_be_read_with_any_sqlite_tool(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        message = Message("orders", b"7", b"{}", (("ce_type", b"order.created"),))
        await transport.carrier("orders").send(message)
        await close(transport, "orders")

    asyncio.run(main())
    with closing(sqlite3.connect(file)) as tool:
        assert tool.execute('SELECT topic, "offset", key, value FROM records').fetchall() == [
            ("orders", 0, b"7", b"{}")
        ]


def test_several_threads_with_loops_of_their_own_publish_at_once(file: Path) -> None:
    transport = transport_for(file)
    threads = [
        threading.Thread(target=lambda: asyncio.run(publish(transport, "orders", count=200)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(close(transport, "orders"))
    (topic,) = transport.describe_topics()
    assert topic.records == 800


def test_nothing_of_the_process_is_left_after_closing(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        await publish(transport, "orders", count=1)
        async with Member(transport, "orders", "shop") as member:
            await member.read(1)
        await close(transport, "orders")

    before = threading.enumerate()  # other tests may have a hub that lives on
    asyncio.run(main())
    for thread in threading.enumerate():
        if thread.name.startswith("vectis-sqlite") and thread not in before:
            thread.join(30)  # it has done its work and is ending
            assert not thread.is_alive()
    assert [path.name for path in file.parent.iterdir()] == ["events.db"]


def test_closing_waits_for_what_was_sent_and_not_awaited(file: Path) -> None:
    async def main() -> None:
        transport = transport_for(file)
        send = transport.carrier("orders").send
        pending = [send(Message("orders", b"7", b"%d" % n)) for n in range(100)]
        await close(transport, "orders")
        assert transport.describe_topics()[0].records == 100
        await asyncio.gather(*pending)

    asyncio.run(main())


def test_members_of_one_group_in_two_transports_share(file: Path) -> None:
    async def main() -> None:
        one, two = transport_for(file), transport_for(file)
        async with Member(one, "orders", "shop") as first, Member(two, "orders", "shop") as second:
            async with asyncio.timeout(30):
                while {len(m.consumer.assignment()) for m in (first, second)} != {4}:
                    await first.fetch()
                    await second.fetch()
        await close(one, "orders")
        await close(two, "orders")

    asyncio.run(main())


# -- settings and hooks -----------------------------------------------------------------------


def test_a_relative_path_starts_at_the_folder_of_the_config_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = SqliteSettings(path="data/events.db")
    assert settings.file(tmp_path / "app" / "vectis.toml") == tmp_path / "app/data/events.db"
    assert settings.file() == tmp_path / "data/events.db"
    assert SqliteSettings().file() is None


@pytest.mark.parametrize(
    "wrong",
    [{"path": ":memory:"}, {"partitions": 0}, {"synchronous": "OFF"}, {"busy_timeout": 0.0}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SqliteSettings(**wrong)  # type: ignore[arg-type]  # on purpose


def hub_for(config: Config) -> Hub:
    return Hub(config, plugins={"sqlite": vectis_sqlite}, discover=False)


def test_without_a_path_every_offer_is_declined() -> None:
    hub = hub_for(Config.of({}, environ={}))
    assert vectis_sqlite.vectis_emit(Route("service", "orders"), hub) is None
    assert vectis_sqlite.vectis_consume(["orders"], "shop", hub) is None
    assert asyncio.run(hub.publish("orders", "order.created", {})) is None


def test_a_hub_publishes_to_the_file_that_its_config_names(tmp_path: Path) -> None:
    (tmp_path / "vectis.toml").write_text('[sqlite]\npath = "events.db"\n')
    hub = hub_for(Config.load(tmp_path, environ={}))
    carrier = vectis_sqlite.vectis_emit(Route("service", "orders"), hub)
    assert carrier is not None
    assert carrier.describe == f"SQLite file {tmp_path / 'events.db'}"
    assert vectis_sqlite.vectis_emit(Route("process", "order.created"), hub) is None
    assert vectis_sqlite.vectis_consume(["orders"], "shop", hub) is not None
    assert not (tmp_path / "events.db").exists(), "making an offer touches no file"

    async def main() -> None:
        async with hub:
            receipt = await hub.publish("orders", "order.created", {"order_id": 7}, key="7")
            assert receipt is not None
            assert (receipt.topic, receipt.transport) == ("orders", "sqlite")

    asyncio.run(main())
    transport = vectis_sqlite.transport_of(hub)
    assert transport is not None
    assert transport.describe_topics()[0].records == 1


def test_senders_are_answered_also_while_another_thread_keeps_closing(file: Path) -> None:
    transport = transport_for(file)
    stopping = threading.Event()

    async def closing() -> None:
        while not stopping.is_set():
            await close(transport, "orders")

    async def sending() -> int:
        stored = 0
        send = transport.carrier("orders").send
        for number in range(300):
            try:
                await asyncio.wait_for(send(Message("orders", b"7", b"%d" % number)), 30)
                stored += 1
            except PublishError as error:
                if error.fate != "not_sent":
                    raise
        return stored

    closer = threading.Thread(target=lambda: asyncio.run(closing()))
    closer.start()
    stored = asyncio.run(sending())
    stopping.set()
    closer.join()
    asyncio.run(close(transport, "orders"))
    assert transport.describe_topics()[0].records == stored
