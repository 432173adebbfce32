from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from tests.core.worker_world import LETTERS, TOPIC, FailingTransport, Shop, eventually
from vectis.core.events import Event
from vectis.core.exceptions import TransportError
from vectis.core.message import Message
from vectis.core.outcome import current
from vectis.core.worker import Report, Worker


def test_deliveries_are_handled_in_the_order_of_their_partition() -> None:
    shop, seen = Shop(partitions=4), list[tuple[str, int]]()

    async def record(event_type: str, payload: dict[str, Any]) -> None:
        seen.append((event_type, payload["n"]))

    shop.on("order.created", record)
    shop.on("order.paid", record)

    async def main() -> None:
        for number in range(20):
            await shop.publish(number, key=f"key-{number % 3}")
            await shop.publish(number, event_type="order.paid", key=f"key-{number % 3}")
        await shop.work(shop.finished(40))

    asyncio.run(main())
    for key in range(3):
        mine = [(type, n) for type, n in seen if n % 3 == key]
        expected = [(t, n) for n in range(key, 20, 3) for t in ("order.created", "order.paid")]
        assert mine == expected
    assert shop.report.handled == 40
    assert str(shop.report) == "40 handled, 0 skipped, 0 dead letters, 0 retries"
    assert shop.report.clean


def test_the_next_worker_goes_on_where_the_last_one_stopped() -> None:
    shop, seen = Shop(), list[int]()

    async def record(event_type: str, payload: dict[str, Any]) -> None:
        seen.append(payload["n"])

    shop.on("order.created", record)

    async def main() -> None:
        await shop.publish(*range(10))
        await shop.work(lambda: len(seen) >= 4)
        await shop.work(lambda: len(seen) >= 10)

    asyncio.run(main())
    assert seen == list(range(10))
    assert shop.committed() == {0: 10}


def test_only_what_is_finished_is_committed_even_while_the_next_handler_takes_its_time() -> None:
    shop, entered, gate = Shop(), asyncio.Event(), asyncio.Event()

    async def third_waits(event_type: str, payload: dict[str, Any]) -> None:
        if payload["n"] == 2:
            entered.set()
            await gate.wait()

    shop.on("order.created", third_waits)

    async def main() -> None:
        await shop.publish(*range(5))
        worker = Worker(shop.hub)
        running = asyncio.ensure_future(worker.run())
        await entered.wait()
        await eventually(lambda: shop.committed() == {0: 2})
        (in_hand,) = worker.in_hand
        assert in_hand.endswith("third_waits at vectis.orders/0@2")
        gate.set()
        await eventually(lambda: shop.committed() == {0: 5})
        worker.stop()
        await running
        assert worker.in_hand == []

    asyncio.run(main())


def test_holes_in_the_offsets_do_not_hold_up_the_commit() -> None:
    shop = Shop(transport=FailingTransport(skip_offsets=range(1, 100, 2)))

    async def ignore(event_type: str, payload: dict[str, Any]) -> None:
        pass

    shop.on("order.created", ignore)

    async def main() -> None:
        await shop.publish(*range(6))
        await shop.work(shop.finished(6))

    asyncio.run(main())
    (last,) = shop.committed().values()
    assert last > 6  # offsets that were never given to a record lie between


def test_a_type_without_a_handler_is_skipped_counted_and_committed() -> None:
    shop, seen = Shop(), list[int]()
    shop.on("order.created", lambda event_type, payload: seen.append(payload["n"]))

    async def main() -> None:
        await shop.publish(1, event_type="order.archived")
        await shop.publish(2)
        await shop.work(shop.finished(2))

    asyncio.run(main())
    assert seen == [2]
    assert (shop.report.skipped, shop.report.handled) == (1, 1)
    assert [outcome.status for outcome in shop.diary.outcomes] == ["skipped", "handled"]
    assert shop.committed() == {0: 2}


def test_a_handler_that_the_config_disables_is_skipped_and_counted() -> None:
    shop = Shop(handlers={"app:sync": {"enabled": False}})
    seen: list[int] = []

    def sync(event_type: str, payload: dict[str, Any]) -> None:
        seen.append(payload["n"])

    sync.__qualname__ = "sync"
    shop.on("order.created", sync)

    async def main() -> None:
        await shop.publish(1, 2)
        await shop.work(shop.finished(2))

    asyncio.run(main())
    assert seen == []
    assert shop.report.skipped == 2
    assert shop.committed() == {0: 2}


def test_a_tombstone_reaches_its_handler_as_none() -> None:
    shop, seen = Shop(), list[Any]()
    shop.on("order.created", lambda event_type, payload: seen.append(payload))
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"1"),
        ("ce_source", b"elsewhere"),
        ("ce_type", b"order.created"),
    )

    async def main() -> None:
        await shop.put(Message(TOPIC, b"7", None, headers))
        await shop.work(shop.finished(1))

    asyncio.run(main())
    assert seen == [None]


def test_a_topic_that_appears_later_is_read() -> None:
    shop, seen = Shop(), list[int]()
    shop.on("order.created", lambda event_type, payload: seen.append(payload["n"]))

    async def main() -> None:
        worker = Worker(shop.hub)
        running = asyncio.ensure_future(worker.run())
        await eventually(lambda: bool(shop.transport.consumers[0].assignment()))
        await shop.publish(1)
        await eventually(lambda: seen == [1])
        worker.stop()
        await running

    asyncio.run(main())


# ---------------------------------------------------------------- hooks, correlation


def test_hooks_surround_each_attempt_and_each_delivery() -> None:
    shop = Shop()
    calls: list[int] = []

    async def second_time_lucky(event_type: str, payload: dict[str, Any]) -> None:
        calls.append(payload["n"])
        if len(calls) == 1:
            raise ValueError("not yet")

    async def plain(event_type: str, payload: dict[str, Any]) -> None:
        pass

    second_time_lucky.__qualname__, plain.__qualname__ = "lucky", "plain"
    shop.on("order.created", second_time_lucky)
    shop.on("order.created", plain)

    async def main() -> None:
        await shop.publish(1)
        await shop.work(shop.finished(1))

    asyncio.run(main())
    assert shop.diary.attempts == [("lucky", 1), ("lucky", 2), ("plain", 1)]
    assert shop.diary.left == ["lucky", "lucky", "plain"]
    (failure,) = shop.diary.failures
    assert (failure.attempt, failure.will_retry, str(failure.error)) == (1, True, "not yet")
    assert failure.event.id == "order.created-1"
    assert failure.delivery is not None
    assert failure.delivery.place == "vectis.orders/0@0"
    (outcome,) = shop.diary.outcomes
    assert outcome.status == "handled"
    assert [subscription.name for subscription in outcome.ran] == ["lucky", "plain"]
    assert [failure.attempt for failure in outcome.failures] == [1]
    assert outcome.seconds > 0


def test_a_handler_can_see_the_event_and_it_is_the_same_one_on_redelivery() -> None:
    shop, ids = Shop(shutdown_timeout=0), list[tuple[str, str]]()

    async def look(event_type: str, payload: dict[str, Any]) -> None:
        event = current.get().event
        ids.append((event.id, event.source))
        if len(ids) == 1:
            await asyncio.sleep(3600)

    shop.on("order.created", look)

    async def main() -> None:
        await shop.hub.publish(TOPIC, "order.created", {}, "7", event_id="e-1", source="till")
        running = asyncio.ensure_future(Worker(shop.hub).run())
        await eventually(lambda: len(ids) == 1)
        running.cancel()  # as if the process had been killed
        with pytest.raises(asyncio.CancelledError):
            await running
        await shop.work(shop.finished(1))

    asyncio.run(main())
    assert ids == [("e-1", "till"), ("e-1", "till")]


@pytest.mark.parametrize("plain", [False, True], ids=["async", "in a thread"])
def test_what_a_handler_emits_and_publishes_carries_correlation_and_causation(plain: bool) -> None:
    shop = Shop()
    emitted: list[Event] = []
    received: list[Event] = []

    async def consume(event_type: str, payload: dict[str, Any]) -> None:
        await shop.hub.emit(Event("stock.low", {}))
        await shop.hub.publish(TOPIC, "stock.ordered", {}, "7")

    def consume_plainly(event_type: str, payload: dict[str, Any]) -> None:
        shop.hub.emit_sync(Event("stock.low", {}))
        shop.hub.publish_sync(TOPIC, "stock.ordered", {}, "7")

    async def follow(event_type: str, payload: dict[str, Any]) -> None:
        received.append(current.get().event)

    shop.on("order.created", consume_plainly if plain else consume)
    shop.on("stock.ordered", follow)
    shop.hub.subscribe("stock.low", emitted.append)

    async def main() -> None:
        async def request(event: Event) -> None:
            await shop.hub.publish(TOPIC, "order.created", {}, "7", event_id="e-1")

        shop.hub.subscribe("request", request)
        await shop.hub.emit(Event("request", correlation_id="request-9"))
        await shop.work(shop.finished(2))

    asyncio.run(main())
    for event in (*emitted, *received):
        assert (event.correlation_id, event.causation_id) == ("request-9", "e-1")
    assert len(emitted) == len(received) == 1


# ---------------------------------------------------------------- the transport's troubles


def test_a_transport_that_is_away_is_reported_once_and_reading_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop, seen = Shop(), list[int]()
    shop.on("order.created", lambda event_type, payload: seen.append(payload["n"]))

    async def main() -> None:
        await shop.publish(1)
        shop.transport.failing.add("fetch")
        worker = Worker(shop.hub)
        running = asyncio.ensure_future(worker.run())
        await eventually(lambda: shop.transport.calls >= 3)
        shop.transport.failing.clear()
        await eventually(lambda: seen == [1])
        worker.stop()
        await running

    with caplog.at_level(logging.INFO, "vectis.worker"):
        asyncio.run(main())
    errors = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert errors == [
        "cannot fetch, trying again until it works: fetch: the broker is away",
    ]
    assert any("fetching again, after" in message for message in caplog.messages)


def test_a_commit_that_fails_is_reported_once_and_made_up_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = Shop()
    shop.on("order.created", lambda event_type, payload: None)

    async def main() -> None:
        await shop.publish(1, 2)
        shop.transport.failing.add("commit")
        worker = Worker(shop.hub)
        running = asyncio.ensure_future(worker.run())
        await eventually(lambda: shop.transport.calls >= 3)
        assert worker.report.uncommitted == "commit: the broker is away"
        shop.transport.failing.clear()
        await eventually(lambda: shop.committed() == {0: 2})
        worker.stop()
        assert (await running).clean

    with caplog.at_level(logging.INFO, "vectis.worker"):
        asyncio.run(main())
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1


def test_progress_that_could_not_be_committed_makes_the_end_unclean() -> None:
    shop = Shop()
    shop.on("order.created", lambda event_type, payload: None)

    async def main() -> None:
        await shop.publish(1)
        shop.transport.failing.add("commit")
        await shop.work(shop.finished(1))

    asyncio.run(main())
    assert not shop.report.clean
    assert str(shop.report).endswith(
        "progress not committed, it will come again: commit: the broker is away"
    )


def test_a_transport_that_cannot_start_ends_the_worker() -> None:
    shop = Shop()
    shop.on("order.created", lambda event_type, payload: None)

    async def main() -> None:
        worker = Worker(shop.hub)
        await shop.transport.consumers[0].close()
        with pytest.raises(TransportError, match="is closed"):
            await worker.run()

    asyncio.run(main())


def test_a_second_worker_takes_its_share_while_deliveries_wait_at_the_first() -> None:
    shop = Shop(partitions=2, concurrency=4)
    handled: dict[str, list[int]] = {"first": [], "second": []}
    gate = asyncio.Semaphore(0)

    def handler(name: str) -> Any:
        async def handle(event_type: str, payload: dict[str, Any]) -> None:
            handled[name].append(payload["n"])
            if name == "first":
                await gate.acquire()

        return handle

    second_shop = Shop(transport=shop.transport)
    shop.on("order.created", handler("first"))
    second_shop.on("order.created", handler("second"))

    async def main() -> None:
        for number in range(100):
            await shop.publish(number, key=str(number))
        first, second = Worker(shop.hub), Worker(second_shop.hub)
        running = [asyncio.ensure_future(first.run())]
        await eventually(lambda: handled["first"] != [])
        running.append(asyncio.ensure_future(second.run()))

        async def let_go_on() -> None:
            while len(handled["second"]) < 10:
                gate.release()
                await asyncio.sleep(0.02)
            for _ in range(200):
                gate.release()

        await asyncio.wait_for(let_go_on(), 30)
        await eventually(
            lambda: sum(map(len, handled.values())) >= 100 and sum(shop.committed().values()) == 100
        )
        first.stop()
        second.stop()
        reports = await asyncio.gather(*running)
        assert all(report.clean for report in reports)

    asyncio.run(main())
    # In one orderly hand-over nothing is handled twice, and nothing is left out.
    assert sorted(handled["first"] + handled["second"]) == list(range(100))


def test_a_worker_that_lost_its_partitions_commits_nothing_for_them_and_goes_on() -> None:
    shop, seen = Shop(), list[int]()
    entered, gate = asyncio.Event(), asyncio.Event()

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        seen.append(payload["n"])
        entered.set()
        await gate.wait()

    shop.on("order.created", handle)

    async def main() -> None:
        await shop.publish(1, 2)
        worker = Worker(shop.hub)
        running = asyncio.ensure_future(worker.run())
        await entered.wait()
        shop.transport.expire(shop.transport.consumers[0])  # as if it had been paused for long
        gate.set()
        await eventually(lambda: shop.committed() == {0: 2})
        worker.stop()
        await running

    asyncio.run(main())
    assert sorted(set(seen)) == [1, 2]
    assert seen[0] == 1


# ---------------------------------------------------------------- the end


def test_the_delivery_in_hand_is_finished_before_the_end() -> None:
    shop, entered, gate, seen = Shop(), asyncio.Event(), asyncio.Event(), list[int]()

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        entered.set()
        await gate.wait()
        seen.append(payload["n"])

    shop.on("order.created", handle)

    async def main() -> None:
        await shop.publish(1, 2, key="k")
        worker = Worker(shop.hub)
        running = asyncio.ensure_future(worker.run())
        await entered.wait()
        worker.stop()
        gate.set()
        report = await running
        assert report.clean
        assert report.handled == 1

    asyncio.run(main())
    assert seen == [1]
    assert shop.committed() == {0: 1}


@pytest.mark.parametrize("swallows", [False, True], ids=["gives way", "swallows it"])
def test_a_handler_that_takes_too_long_is_cut_off_and_named(swallows: bool) -> None:
    shop = Shop(shutdown_timeout=0.05)
    entered, gate = asyncio.Event(), asyncio.Event()

    async def endless(event_type: str, payload: dict[str, Any]) -> None:
        entered.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if not swallows:
                raise
            await gate.wait()

    endless.__qualname__ = "endless"
    shop.on("order.created", endless)

    async def main() -> None:
        await shop.publish(1)
        report = await shop.work(entered.is_set)
        assert report.abandoned == ["app:endless at vectis.orders/0@0"]
        assert not report.clean
        gate.set()

    asyncio.run(main())
    assert "abandoned, it will come again: app:endless at" in str(shop.report)
    assert shop.committed() == {}
    assert shop.diary.failures == []  # nobody's mistake


def test_a_handler_in_a_thread_that_takes_too_long_is_named_too() -> None:
    shop, release = Shop(shutdown_timeout=0.05), threading.Event()
    entered = threading.Event()

    def endless(event_type: str, payload: dict[str, Any]) -> None:
        entered.set()
        release.wait()

    endless.__qualname__ = "endless"
    shop.on("order.created", endless)

    async def main() -> None:
        try:
            await shop.publish(1)
            report = await shop.work(entered.is_set)
        finally:
            release.set()
        assert report.abandoned == ["app:endless at vectis.orders/0@0"]

    asyncio.run(main())
    assert shop.committed() == {}


def test_a_wait_for_the_next_attempt_ends_with_the_worker_and_the_delivery_comes_again() -> None:
    shop = Shop(retry_initial=3600, retry_max=3600)
    seen: list[int] = []

    async def fails_once(event_type: str, payload: dict[str, Any]) -> None:
        seen.append(payload["n"])
        if len(seen) == 1:
            raise ValueError("not yet")

    shop.on("order.created", fails_once)

    async def main() -> None:
        await shop.publish(1)
        report = await shop.work(lambda: len(shop.diary.failures) == 1)
        assert report.clean
        assert shop.committed() == {}
        await shop.work(shop.finished(1))

    asyncio.run(main())
    assert seen == [1, 1]


def test_cancelling_the_worker_from_outside_leaves_the_group() -> None:
    shop, entered = Shop(shutdown_timeout=0), asyncio.Event()

    async def endless(event_type: str, payload: dict[str, Any]) -> None:
        entered.set()
        await asyncio.sleep(3600)

    shop.on("order.created", endless)

    async def main() -> None:
        await shop.publish(1)
        running = asyncio.ensure_future(Worker(shop.hub).run())
        await entered.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert shop.transport.consumers[0].assignment() == frozenset()

    asyncio.run(main())
    assert LETTERS not in {topic.name for topic in shop.transport.describe_topics()}


def test_the_report_counts_in_words_that_fit_the_number() -> None:
    report = Report(handled=2, dead_lettered=1, retried=1)
    assert str(report) == "2 handled, 0 skipped, 1 dead letter, 1 retry"


def test_the_end_finishes_what_lies_below_what_was_begun_and_nothing_above() -> None:
    shop, gate = Shop(), asyncio.Event()
    handled: list[int] = []

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        if payload["n"] == 0:
            await gate.wait()
        handled.append(payload["n"])

    shop.on("order.created", handle)

    async def main() -> None:
        for number, key in enumerate("aaba"):
            await shop.publish(number, key=key)
        worker = Worker(shop.hub)
        running = asyncio.ensure_future(worker.run())
        await eventually(lambda: handled == [2])
        worker.stop()
        gate.set()
        assert (await running).clean

    asyncio.run(main())
    # The second of key a comes before what is finished already; the last one was never begun.
    assert handled == [2, 0, 1]
    assert shop.committed() == {0: 3}
