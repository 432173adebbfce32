"""Replaying and purging dead letters, on the memory transport."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from tests.core.worker_world import LETTERS, TOPIC, Shop, eventually, read
from vectis.core import Hub, event_type, hookimpl
from vectis.core.dead_letter import DeadLetter
from vectis.core.exceptions import HookError, Reject, RetryLater, TransportError
from vectis.core.letters import StoredLetter, read_record
from vectis.core.letters.choice import Choice
from vectis.core.letters.hold import Busy, Hold, group_of
from vectis.core.letters.replay import Replay, Replayed
from vectis.core.letters.scan import dead_letter_topics, known_topics, scan
from vectis.core.letters.settling import purge
from vectis.core.message import Delivery, Message, TopicPartition
from vectis.core.reader import Reader
from vectis.core.testing import MemoryTransport
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vectis.core.letters.shelf import Shelf
    from vectis.core.transport import Route

PARTITION = TopicPartition(LETTERS, 0)


class Erp:
    """A handler that fails for some orders, until it is mended."""

    def __init__(self, *failing: int) -> None:
        self.failing = set(failing)
        self.error: type[Exception] = ValueError
        self.seen: list[int] = []

    async def sync(self, event_type: str, payload: dict[str, Any]) -> None:
        if payload["n"] in self.failing:
            raise self.error(f"order {payload['n']}")
        self.seen.append(payload["n"])


async def waiting(shop: Shop, group: str = "shop") -> Shelf:
    async with Reader(shop.hub, [LETTERS], behind=group_of(group)) as reader:
        return await scan(reader, group)


async def ids(shop: Shop) -> list[str]:
    return [record.id for record in (await waiting(shop)).waiting]


def replay_of(shop: Shop, *ids: str, **options: Any) -> Replay:
    return Replay(shop.hub, "shop", [LETTERS], Choice(ids=ids), **options)


async def set_aside(shop: Shop, *numbers: int) -> None:
    """Let a worker set these orders aside."""
    before = len(shop.diary.outcomes)
    await shop.publish(*numbers)
    await shop.work(shop.finished(before + len(numbers)))


async def put(shop: Shop, letter: DeadLetter) -> str:
    """Write a letter as a worker would have, and return its id."""
    receipt = await shop.put(letter.message())
    return f"{receipt.topic}/{receipt.partition}@{receipt.offset}"


def a_letter(n: int = 1, *, handler: str = "app:Erp.sync", **changes: Any) -> DeadLetter:
    value = b'{"event_type": "order.created", "payload": {"n": %d}}' % n
    return DeadLetter(
        delivery=Delivery(TOPIC, 0, n, b"7", value),
        **{"group": "shop", "handler": handler, "plugin": "app", "error": "away", **changes},
    )


def shop_with(erp: Erp, **settings: Any) -> Shop:
    shop = Shop(**{"max_attempts": 1, **settings})
    shop.on("order.created", erp.sync)
    return shop


def test_a_letter_comes_home_when_its_handler_was_mended() -> None:
    erp, others = Erp(2), list[int]()
    shop = shop_with(erp)
    shop.on("order.created", lambda event_type, payload: others.append(payload["n"]))

    async def main() -> None:
        await set_aside(shop, 1, 2, 3)
        assert (erp.seen, others) == ([1, 3], [1, 2, 3])
        erp.failing.clear()
        report = await replay_of(shop).run()
        assert report.became == {f"{LETTERS}/0@0": ("replayed", "app:Erp.sync")}
        assert report.clean
        assert await ids(shop) == []
        assert shop.committed(TOPIC) == {0: 3}
        assert len(await read(shop.transport, TOPIC)) == 3, "published to the original topic"

    asyncio.run(main())
    assert erp.seen == [1, 3, 2]
    assert others == [1, 2, 3], "a handler that had not failed was called again"


def test_the_handler_gets_the_delivery_as_it_was() -> None:
    got: list[Delivery] = []

    class Look:
        @hookimpl
        def vectis_after_consume(self, delivery: Delivery) -> None:
            got.append(attrs.evolve(delivery))

    erp = Erp(5)
    shop = shop_with(erp, plugins={"look": Look()})
    forged = (("vectis_dlq_group", b"forged"), ("trace", b"\xff"), ("trace", b"2"))
    value = b'{"event_type": "order.created", "payload": {"n": 5}}'

    async def main() -> None:
        await shop.put(Message(TOPIC, b"\xff7", value, forged))
        await shop.work(lambda: len(got) == 1)
        erp.failing.clear()
        await replay_of(shop).run()

    asyncio.run(main())
    first, again = got
    assert again == first
    assert (again.key, again.value, again.headers) == (b"\xff7", value, forged)
    assert again.place == f"{TOPIC}/0@0"


def test_one_that_fails_again_waits_anew_with_its_history() -> None:
    erp = Erp(1, 2)
    shop = shop_with(erp)

    async def main() -> None:
        await set_aside(shop, 1)
        erp.error = KeyError
        report = await replay_of(shop).run()
        assert report.became == {f"{LETTERS}/0@0": ("failed_again", "KeyError: 'order 1'")}
        assert not report.clean
        erp.error = TypeError
        await replay_of(shop).run()
        assert await ids(shop) == [f"{LETTERS}/0@2"]
        last = (await shop.letters())[-1]
        record = read_record(last)
        assert isinstance(record, StoredLetter)
        letter = record.letter
        assert (letter.error, letter.attempts, letter.replays) == ("TypeError: order 1", 1, 2)
        assert [one.error for one in letter.history] == [
            "ValueError: order 1",
            "KeyError: 'order 1'",
        ]
        assert [one.attempts for one in letter.history] == [1, 1]
        first = read_record((await shop.letters())[0])
        assert isinstance(first, StoredLetter)
        assert letter.delivery == first.letter.delivery
        erp.failing.clear()
        assert (await replay_of(shop).run()).clean
        assert await ids(shop) == []

    asyncio.run(main())
    assert erp.seen == [1]


def test_chosen_letters_behind_others_come_home_once() -> None:
    erp = Erp(1, 2, 3, 4)
    shop = shop_with(erp)

    async def main() -> None:
        await set_aside(shop, 1, 2, 3, 4)
        erp.failing.clear()
        report = await replay_of(shop, f"{LETTERS}/0@1", f"{TOPIC}/0@3").run()
        assert report.count("replayed") == 2
        assert erp.seen == [2, 4]
        assert await ids(shop) == [f"{LETTERS}/0@0", f"{LETTERS}/0@2"]
        report = await replay_of(shop).run()
        assert report.count("replayed") == 2
        assert erp.seen == [2, 4, 1, 3], "a letter that was replayed came again"
        shelf = await waiting(shop)
        assert shelf.waiting == []
        assert shop.transport.describe_topics()[-1].lag("shop.dlq") == 0, "notes stay behind"

    asyncio.run(main())


def test_what_cannot_be_decoded_goes_through_all_handlers_when_it_can() -> None:
    erp, others = Erp(), list[int]()
    shop = shop_with(erp, max_message_bytes=200)
    shop.on("order.created", lambda event_type, payload: others.append(payload["n"]))
    large = b'{"event_type": "order.created", "payload": {"n": 7, "text": "%s"}}' % (b"x" * 300)

    async def main() -> None:
        await shop.put(Message(TOPIC, b"7", large))
        await shop.work(shop.finished(1))
        report = await replay_of(shop).run()
        ((became, why),) = report.became.values()
        assert became == "stays"
        assert "[hub] max_message_bytes allows 200" in why
        shop.hub.hub_settings = attrs.evolve(shop.hub.hub_settings, max_message_bytes=10_000)
        erp.failing.add(7)
        assert (await replay_of(shop).run()).count("failed_again") == 1
        assert others == [7]
        erp.failing.clear()
        assert (await replay_of(shop).run()).clean
        assert await ids(shop) == []

    asyncio.run(main())
    assert erp.seen == [7]
    assert others == [7], "only the one that failed is called again"


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        ("app:gone", "there is no handler app:gone here: it was renamed or removed"),
        ("acme:sync", "plugin acme, which has its handler acme:sync, is in quarantine: failed"),
        ("off:sync", "plugin off, which has its handler off:sync, is disabled: "),
        ("app:silent", "handler app:silent is disabled ("),
        ("app:elsewhere", "handler app:elsewhere does not handle order.created any more"),
        ("", "it is for all handlers of order.created, and plugins are in quarantine: acme"),
    ],
)
def test_a_letter_whose_handler_cannot_be_called_stays_and_says_why(handler: str, why: str) -> None:
    def silent(event_type: str, payload: Any) -> None:
        raise AssertionError("it is disabled")

    def elsewhere(event_type: str, payload: Any) -> None:
        raise AssertionError("of another type")

    class Broken:
        @hookimpl
        def vectis_register_handlers(self, hub: Hub) -> None:
            raise ValueError("broken")

    transport = MemoryTransport()
    hub = Hub(
        {
            "plugins": {"disable": ["off"]},
            "handlers": {"app:silent": {"enabled": False}},
        },
        plugins={"memory": transport, "acme": Broken(), "off": object()},
        discover=False,
    )
    hub.on_event("order.created", silent, topic=TOPIC)
    hub.on_event("order.cancelled", elsewhere, topic=TOPIC)

    async def main() -> None:
        await transport.carrier(LETTERS).send(a_letter(handler=handler).message())
        for _ in range(2):
            report = await Replay(hub, "shop", [LETTERS], Choice()).run()
            ((became, said),) = report.became.values()
            assert became == "stays"
            assert said.startswith(why)

    asyncio.run(main())


def test_a_type_without_any_handler_stays() -> None:
    shop = shop_with(Erp())

    async def main() -> None:
        letter = a_letter(handler="")
        value = b'{"event_type": "order.vanished", "payload": {}}'
        id = await put(shop, attrs.evolve(letter, delivery=Delivery(TOPIC, 0, 1, b"7", value)))
        report = await replay_of(shop).run()
        assert report.became == {id: ("stays", "there is no handler of order.vanished here")}

    asyncio.run(main())


def test_letters_of_other_groups_and_foreign_records_are_left_alone() -> None:
    erp = Erp()
    shop = shop_with(erp)

    async def main() -> None:
        billing = await put(shop, a_letter(1, group="billing"))
        foreign = (await shop.put(Message(LETTERS, b"7", b"?"))).offset
        await put(shop, a_letter(2))
        assert (await replay_of(shop).run()).count("replayed") == 1
        assert await ids(shop) == [f"{LETTERS}/0@{foreign}"]
        assert [record.id for record in (await waiting(shop, "billing")).waiting] == [
            billing,
            f"{LETTERS}/0@{foreign}",
        ]
        report = await replay_of(shop, f"{LETTERS}/0@{foreign}").run()
        assert report.count("stays") == 1

    asyncio.run(main())
    assert erp.seen == [2]


@pytest.mark.parametrize("error", [Reject("never"), SystemExit(1), asyncio.CancelledError()])
def test_whatever_a_handler_raises_it_fails_again(error: BaseException) -> None:
    shop = Shop(max_attempts=1)

    async def sync(event_type: str, payload: Any) -> None:
        raise error

    subscription = shop.hub.on_event("order.created", sync, topic=TOPIC)

    async def main() -> None:
        await put(shop, a_letter(handler=subscription.id))
        report = await replay_of(shop).run()
        ((became, why),) = report.became.values()
        assert became == "failed_again"
        assert why.startswith(type(error).__name__)

    asyncio.run(main())


def test_attempts_are_those_of_the_worker_and_block_does_not_block_a_replay() -> None:
    tries: list[int] = []
    shop = Shop(max_attempts=3, on_exhausted="block")

    def sync(event_type: str, payload: Any) -> None:
        tries.append(1)
        raise ValueError("no")

    subscription = shop.hub.on_event("order.created", sync, topic=TOPIC)

    async def main() -> None:
        await put(shop, a_letter(handler=subscription.id))
        assert (await replay_of(shop).run()).count("failed_again") == 1

    asyncio.run(main())
    assert len(tries) == 3


def test_a_batch_handler_gets_a_list() -> None:
    got: list[Any] = []
    shop = Shop(max_attempts=1)

    async def many(event_type: str, payloads: list[Any]) -> None:
        got.append(payloads)

    subscription = shop.hub.on_event("order.created", many, topic=TOPIC, batch=10)

    async def main() -> None:
        await put(shop, a_letter(1, handler=subscription.id))
        await put(shop, a_letter(2, handler=subscription.id))
        assert (await replay_of(shop).run()).count("replayed") == 2

    asyncio.run(main())
    assert got == [[{"n": 1}], [{"n": 2}]]


def test_one_that_asks_to_come_back_much_later_stays() -> None:
    shop = Shop(max_attempts=1)

    async def sync(event_type: str, payload: Any) -> None:
        raise RetryLater(3600)

    subscription = shop.hub.on_event("order.created", sync, topic=TOPIC)

    async def main() -> None:
        id = await put(shop, a_letter(handler=subscription.id))
        report = await replay_of(shop).run()
        assert report.became[id] == ("unfinished", f"{subscription.id} asked to come back later")
        assert not report.clean
        assert await ids(shop) == [id]

    asyncio.run(main())


@pytest.mark.parametrize("stored_in", ["memory", "sqlite"])
def test_letters_without_a_key_come_home_once_wherever_their_notes_go(
    stored_in: str, tmp_path: Path
) -> None:
    transport: Any = (
        MemoryTransport(partitions=3)
        if stored_in == "memory"
        else SqliteTransport(SqliteSettings(path=str(tmp_path / "events.db"), partitions=3))
    )
    erp = Erp()

    class Offers:
        @hookimpl
        def vectis_emit(self, route: Route) -> Any:
            return transport.carrier(route.name) if route.scope == "service" else None

        @hookimpl
        def vectis_consume(self, topics: Sequence[str], group: str | None) -> Any:
            return transport.consumer(topics, group)

    hub = Hub({}, plugins={"offers": Offers()}, discover=False)
    hub.on_event("order.created", erp.sync, topic=TOPIC)

    async def replay(*ids: str) -> Replayed:
        return await Replay(hub, "shop", [LETTERS], Choice(ids=ids)).run()

    async def main() -> None:
        places: list[str] = []
        for n in range(12):
            letter = a_letter(n)
            delivery = attrs.evolve(letter.delivery, key=None)
            message = attrs.evolve(letter, delivery=delivery).message()
            receipt = await transport.carrier(LETTERS).send(message)
            places.append(f"{receipt.topic}/{receipt.partition}@{receipt.offset}")
        for chosen in (places[1::4], places[2::4], places[3::4]):
            assert (await replay(*chosen)).count("replayed") == 3
        assert (await replay()).count("replayed") == 3
        assert (await replay()).became == {}
        (topic,) = [one for one in transport.describe_topics() if one.name == LETTERS]
        assert topic.records > 12, "no note was needed"
        assert topic.lag("shop.dlq") == 0
        await hub.shutdown()

    asyncio.run(main())
    assert sorted(erp.seen) == [*range(12)]


# ---------------------------------------------------------------- ending, going on, giving up


def test_it_ends_with_the_letter_in_hand_and_goes_on_next_time() -> None:
    erp = Erp()
    shop = Shop(max_attempts=1)
    running = asyncio.Event()
    going_on = asyncio.Event()

    async def sync(event_type: str, payload: dict[str, Any]) -> None:
        running.set()
        await going_on.wait()
        await erp.sync(event_type, payload)

    subscription = shop.hub.on_event("order.created", sync, topic=TOPIC)

    async def main() -> None:
        for n in range(5):
            await put(shop, a_letter(n, handler=subscription.id))
        replay = replay_of(shop)
        ending = asyncio.ensure_future(replay.run())
        await asyncio.wait_for(running.wait(), 30)
        assert replay.in_hand == [f"{subscription.id} at {TOPIC}/0@0"]
        replay.stop()
        going_on.set()
        report = await ending
        assert (report.count("replayed"), report.left, report.clean) == (1, 4, True)
        assert len(await ids(shop)) == 4
        assert (await replay_of(shop).run()).count("replayed") == 4

    asyncio.run(main())
    assert erp.seen == [0, 1, 2, 3, 4]


def test_a_handler_that_does_not_end_in_time_is_cut_off_and_its_letter_stays() -> None:
    shop = Shop(max_attempts=1, shutdown_timeout=0.05)
    running = asyncio.Event()

    async def sync(event_type: str, payload: Any) -> None:
        running.set()
        await asyncio.Event().wait()

    subscription = shop.hub.on_event("order.created", sync, topic=TOPIC)

    async def main() -> None:
        id = await put(shop, a_letter(handler=subscription.id))
        replay = replay_of(shop)
        ending = asyncio.ensure_future(replay.run())
        await asyncio.wait_for(running.wait(), 30)
        replay.stop()
        report = await ending
        assert report.count("unfinished") == 1
        assert not report.clean
        assert replay.abandoned == [f"{subscription.id} at {TOPIC}/0@1"]
        assert await ids(shop) == [id]

    asyncio.run(main())


def test_it_is_no_faster_than_the_rate() -> None:
    shop = shop_with(Erp())

    async def main() -> None:
        for n in range(3):
            await put(shop, a_letter(n))
        replay = replay_of(shop, rate=0.0001)
        ending = asyncio.ensure_future(replay.run())
        await eventually(lambda: len(replay.report.became) == 1)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(replay.report.became) == 1, "the second letter did not wait for its turn"
        replay.stop()
        assert (await ending).left == 2

    asyncio.run(main())


def test_it_gives_up_when_letter_after_letter_fails_again() -> None:
    erp = Erp(*range(10))
    shop = shop_with(erp)

    async def main() -> None:
        for n in range(10):
            await put(shop, a_letter(n))
        report = await replay_of(shop, max_failures=3).run()
        assert (report.count("failed_again"), report.left) == (3, 7)
        assert report.gave_up == "3 letters in a row failed again"
        assert not report.clean
        assert len(await ids(shop)) == 10

    asyncio.run(main())


def test_killed_before_the_commit_the_letter_comes_again() -> None:
    erp = Erp()
    shop = shop_with(erp)

    async def main() -> None:
        await put(shop, a_letter(1))
        await put(shop, a_letter(2))
        shop.transport.failing.add("commit")
        dying = asyncio.ensure_future(replay_of(shop).run())
        await eventually(lambda: shop.transport.calls >= 1)
        dying.cancel()
        await asyncio.wait([dying])
        assert erp.seen == [1]
        shop.transport.failing.clear()
        assert (await replay_of(shop).run()).count("replayed") == 2

    asyncio.run(main())
    assert erp.seen == [1, 1, 2]


def test_a_letter_that_cannot_be_written_anew_keeps_its_old_place() -> None:
    erp = Erp(1)
    shop = shop_with(erp)

    async def main() -> None:
        id = await put(shop, a_letter(1))
        shop.transport.failing.add(LETTERS)
        replay = replay_of(shop)
        running = asyncio.ensure_future(replay.run())
        await eventually(lambda: shop.transport.calls >= 2)
        assert shop.committed(LETTERS) == {}
        assert await ids(shop) == [id]
        shop.transport.failing.clear()
        assert (await running).count("failed_again") == 1
        assert await ids(shop) == [f"{LETTERS}/0@1"]

    asyncio.run(main())


def test_progress_that_cannot_be_stored_is_tried_again_and_told() -> None:
    erp, told = Erp(), list[str]()
    shop = shop_with(erp)

    async def main() -> None:
        await put(shop, a_letter(1))
        shop.transport.failing.add("commit")
        running = asyncio.ensure_future(replay_of(shop, note=told.append).run())
        await eventually(lambda: bool(told))
        shop.transport.failing.clear()
        assert (await running).clean
        assert await ids(shop) == []

    asyncio.run(main())
    assert told == [
        "progress is not committed, trying again until it is: commit: the broker is away"
    ]


# ---------------------------------------------------------------- one at a time


def hold_of(shop: Shop, told: list[str]) -> Hold:
    return Hold(shop.hub, "shop", frozenset([PARTITION]), asyncio.Event(), told.append)


def test_a_second_replay_is_refused_while_the_first_one_goes_on() -> None:
    erp, told = Erp(), list[str]()
    shop = Shop(partitions=2, max_attempts=1)
    running, going_on = asyncio.Event(), asyncio.Event()

    async def sync(event_type: str, payload: dict[str, Any]) -> None:
        running.set()
        await going_on.wait()
        await erp.sync(event_type, payload)

    subscription = shop.hub.on_event("order.created", sync, topic=TOPIC)

    async def main() -> None:
        for n in range(6):
            letter = a_letter(n, handler=subscription.id)
            key = b"key %d" % n
            await put(shop, attrs.evolve(letter, delivery=attrs.evolve(letter.delivery, key=key)))
        first = asyncio.ensure_future(replay_of(shop).run())
        await asyncio.wait_for(running.wait(), 30)
        second = asyncio.ensure_future(replay_of(shop, note=told.append).run())
        await eventually(lambda: bool(told))
        going_on.set()
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert isinstance(results[0], Replayed)
        assert results[0].count("replayed") == 6
        # Refused, unless the first one was done before it was looked at.
        if isinstance(results[1], Busy):
            assert "another replay or purge is at work" in str(results[1])
        else:
            assert isinstance(results[1], Replayed)
            assert results[1].became == {}
        assert await ids(shop) == []

    asyncio.run(main())
    assert sorted(erp.seen) == [*range(6)]


def test_a_member_that_lives_is_told_from_one_that_was_killed() -> None:
    shop = Shop(partitions=2)
    both = frozenset(TopicPartition(LETTERS, n) for n in range(2))

    async def main() -> None:
        await put(shop, a_letter(1))
        member = Hold(shop.hub, "shop", both, asyncio.Event(), lambda text: None)
        other = Hold(shop.hub, "shop", both, asyncio.Event(), lambda text: None)
        async with member:
            with pytest.raises(Busy, match=r"another replay or purge .* holds 1 of 2 partitions"):
                await other.__aenter__()
            await eventually(lambda: member.complete)
            assert member.assignments == 2, "it has to look at the topics again"
        async with hold_of(shop, []) as free:
            assert free.complete

    asyncio.run(main())


def test_partitions_that_were_lost_are_taken_back_and_looked_at_again() -> None:
    erp = Erp()
    shop = Shop(max_attempts=1)
    lost = False

    async def sync(event_type: str, payload: dict[str, Any]) -> None:
        nonlocal lost
        await erp.sync(event_type, payload)
        if payload["n"] == 1 and not lost:
            lost = True
            shop.transport.expire(shop.transport.consumers[-2])  # the last one but its reader

    subscription = shop.hub.on_event("order.created", sync, topic=TOPIC)

    async def main() -> None:
        for n in range(4):
            await put(shop, a_letter(n, handler=subscription.id))
        report = await replay_of(shop).run()
        assert report.count("replayed") == 4
        assert await ids(shop) == []

    asyncio.run(main())
    assert lost
    assert erp.seen == [0, 1, 1, 2, 3], "what could not be committed comes again"


# ---------------------------------------------------------------- purge, topics


def test_purged_letters_do_not_come_again_and_stay_in_the_topic() -> None:
    erp = Erp()
    shop = shop_with(erp)

    async def main() -> None:
        first, second, third = [await put(shop, a_letter(n)) for n in range(3)]
        foreign = (await shop.put(Message(LETTERS, None, b"?"))).offset
        there = len(await shop.letters())
        assert await purge(shop.hub, "shop", [LETTERS], [second], lambda text: None) == 1
        assert await ids(shop) == [first, third, f"{LETTERS}/0@{foreign}"]
        everything = await ids(shop)
        assert await purge(shop.hub, "shop", [LETTERS], everything, lambda text: None) == 3
        assert await ids(shop) == []
        assert await purge(shop.hub, "shop", [LETTERS], everything, lambda text: None) == 0
        assert (await replay_of(shop).run()).became == {}
        assert len(await shop.letters()) > there, "notes, and nothing deleted"
        assert shop.transport.describe_topics()[-1].lag("shop.dlq") == 0

    asyncio.run(main())
    assert erp.seen == []


def test_topics_are_found_in_config_catalogue_and_handlers() -> None:
    hub = Hub({"topics": {"a": ["order.created"]}, "consumer": {"topics": ["b"]}}, discover=False)
    hub.on_event("order.created", print, topic="c")

    @event_type("shop.closed", topic="d")
    @attrs.frozen
    class Closed:
        id: str

    async def close(event: Closed) -> None: ...

    hub.on_event(Closed, close)  # the class is in no plugin's catalogue
    assert known_topics(hub) == ("a", "b", "c", "d")
    assert dead_letter_topics(["a", "b.dlq", "b"]) == ("a.dlq", "b.dlq")


def test_a_replay_does_not_start_behind_a_guard_that_fails() -> None:
    class Guard:
        @hookimpl
        def vectis_startup(self) -> None:
            raise ValueError("not today")

    shop = Shop(plugins={"guard": Guard()})
    with pytest.raises(HookError, match="not today"):
        asyncio.run(replay_of(shop).run())


def test_a_transport_that_fails_in_the_middle_ends_it_and_loses_nothing() -> None:
    erp = Erp()
    shop = shop_with(erp)

    async def main() -> None:
        await put(shop, a_letter(1))
        shop.transport.failing.add("fetch")
        with pytest.raises(TransportError, match="the broker is away"):
            await replay_of(shop).run()
        shop.transport.failing.clear()
        assert (await replay_of(shop).run()).count("replayed") == 1

    asyncio.run(main())


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "vectis.worker")
