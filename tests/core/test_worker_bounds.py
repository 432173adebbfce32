"""How much runs at once and how much is held, and that a full partition holds nothing else up."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from decimal import Decimal
from typing import Any

import pytest

from tests.core.worker_world import DEADLINE, TOPIC, Doors, Shop, eventually, keys_of
from vectis.core import hookimpl
from vectis.core.exceptions import RetryLater
from vectis.core.message import Message
from vectis.core.worker import Worker


def test_no_more_handlers_run_at_once_than_are_allowed() -> None:
    shop, doors = Shop(concurrency=3), Doors(*range(10))
    shop.on("order.created", doors)

    async def main() -> None:
        for number in range(10):
            await shop.publish(number, key=str(number))
        async with shop.at_work() as worker:
            await eventually(lambda: worker.status().in_flight == 10 and len(doors.began) == 3)
            assert worker.status().running == 3
            doors.open()
            await eventually(lambda: len(doors.ended) == 10)

    asyncio.run(main())
    assert doors.most == 3


def test_plain_handlers_run_in_threads_as_many_at_once_as_are_allowed() -> None:
    shop, together = Shop(concurrency=3), threading.Barrier(3)
    threads: set[threading.Thread] = set()

    def meet(event_type: str, payload: dict[str, Any]) -> None:
        threads.add(threading.current_thread())
        together.wait(DEADLINE)

    shop.on("order.created", meet)

    async def main() -> None:
        for number in range(9):
            await shop.publish(number, key=str(number))
        await shop.work(shop.finished(9))

    asyncio.run(main())
    assert shop.report.handled == 9, "the barrier breaks unless three at a time come to it"
    assert len(threads) == 3
    assert threading.main_thread() not in threads


@pytest.mark.parametrize(
    ("bounds", "held"),
    [({"max_in_flight": 4}, 4), ({"max_in_flight": 4, "max_in_flight_bytes": 1000}, 3)],
    ids=["deliveries", "bytes"],
)
def test_a_partition_that_is_full_is_paused_alone_until_it_has_room_again(
    bounds: dict[str, Any], held: int
) -> None:
    shop, doors = Shop(partitions=2, **bounds), Doors(0)
    shop.on("order.created", doors)
    full, other = keys_of(0, of=2), keys_of(1, of=2)

    async def main() -> None:
        for number in range(20):
            payload = {"n": number, "filling": "x" * 400}
            await shop.hub.publish(TOPIC, "order.created", payload, next(full))
            await shop.hub.publish(TOPIC, "order.created", {"n": number + 100}, next(other))
        async with shop.at_work() as worker:
            await eventually(lambda: set(range(100, 120)) <= set(doors.ended))
            # All but the first are finished, and held as long as that one is not.
            await eventually(lambda: {n for n in doors.ended if n < 100} == set(range(1, held)))
            (partition, _) = worker.status().partitions
            assert (partition.in_flight, partition.paused) == (held, True)
            doors.open()
            await eventually(lambda: shop.committed() == {0: 20, 1: 20})
            assert not worker.status().partitions[0].paused

    asyncio.run(main())


def test_while_everything_is_paused_another_member_can_still_take_its_share() -> None:
    shop = Shop(partitions=2, max_in_flight=1)
    second = Shop(transport=shop.transport)
    taken: list[int] = []

    async def not_now(event_type: str, payload: dict[str, Any]) -> None:
        raise RetryLater(3600)

    async def take(event_type: str, payload: dict[str, Any]) -> None:
        taken.append(payload["n"])

    shop.on("order.created", not_now)
    second.on("order.created", take)

    async def main() -> None:
        for number in range(20):
            await shop.publish(number, key=str(number))
        async with shop.at_work() as worker:
            await eventually(lambda: [p.paused for p in worker.status().partitions] == [True] * 2)
            async with second.at_work():
                await eventually(lambda: len(second.committed()) == 1 and taken != [])
                (partition,) = worker.status().partitions
                assert partition.paused

    asyncio.run(main())


def test_a_partition_with_a_long_backlog_does_not_keep_another_one_waiting() -> None:
    shop, seen = Shop(partitions=2), list[int]()

    async def record(event_type: str, payload: dict[str, Any]) -> None:
        seen.append(payload["n"])

    shop.on("order.created", record)
    long, short = keys_of(0, of=2), keys_of(1, of=2)

    async def main() -> None:
        await shop.hub.publish_many(
            TOPIC,
            [
                {"event_type": "order.created", "payload": {"n": n}, "key": next(long)}
                for n in range(3000)
            ],
        )
        for number in range(10):
            await shop.publish(-number, key=next(short))
        await shop.work(shop.finished(3010))

    asyncio.run(main())
    assert len(seen) == 3010
    assert seen.index(-9) < 1500


def bad(key: str) -> Message:
    """A message that cannot be read, and so gets a dead letter."""
    return Message(TOPIC, key.encode(), b"\xff")


def test_too_many_dead_letters_pause_their_partition_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop, doors = Shop(partitions=2, dead_letters_per_minute=1), Doors()
    shop.on("order.created", doors)
    flooded, other = keys_of(0, of=2), keys_of(1, of=2)

    async def main() -> None:
        for _ in range(5):
            await shop.put(bad(next(flooded)))
        await shop.publish(1, key=next(flooded))
        async with shop.at_work() as worker:
            await eventually(lambda: any(p.paused for p in worker.status().partitions))
            await shop.publish(2, key=next(other))
            await eventually(lambda: shop.committed() == {0: 1, 1: 1})

    with caplog.at_level(logging.ERROR, "vectis.worker"):
        asyncio.run(main())
    assert doors.ended == [2]
    assert len(shop.diary.letters) == 1
    (message,) = caplog.messages
    assert message.startswith("vectis.orders/0: too many dead letters, more than [consumer] ")
    assert shop.report.clean


def test_a_partition_with_too_many_dead_letters_goes_on_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop, doors = Shop(dead_letters_per_minute=1200), Doors()
    shop.on("order.created", doors)
    counts = [0]

    def said() -> bool:
        return any("too many dead letters" in message for message in caplog.messages)

    async def main() -> None:
        async with shop.at_work() as worker:
            while not said():  # as many as are allowed at once, and more than 20 a second
                for _ in range(10):
                    await shop.put(bad("7"))
                counts[0] += 10
                await eventually(lambda: len(shop.diary.letters) == counts[0] or said())

            def paused() -> bool:
                return any(partition.paused for partition in worker.status().partitions)

            await eventually(lambda: paused() or shop.committed() == {0: counts[0]})
            for _ in range(5):
                await shop.put(bad("7"))
            counts[0] += 5
            await shop.publish(1)
            await eventually(lambda: shop.committed() == {0: counts[0] + 1} and not paused())

    with caplog.at_level(logging.ERROR, "vectis.worker"):
        asyncio.run(main())
    assert len(shop.diary.letters) == shop.report.dead_lettered == counts[0]
    assert doors.ended == [1]
    assert len([m for m in caplog.messages if "too many dead letters" in m]) == 1


# ---------------------------------------------------------------- handlers that never wait


def test_handlers_that_block_the_loop_leave_it_a_turn_between_two_of_them() -> None:
    shop, committed, handled = Shop(partitions=1), list[dict[int, int]](), 0

    async def block(event_type: str, payload: dict[str, Any]) -> None:
        nonlocal handled
        handled += 1
        time.sleep(0.02)  # noqa: ASYNC251 - that is what it does wrong
        committed.append(shop.committed())
        if handled == 20:
            asyncio.get_running_loop().call_soon(worker.stop)

    shop.on("order.created", block)
    worker = Worker(shop.hub)

    async def main() -> None:
        for number in range(100):
            await shop.publish(number, key=str(number))
        report = await worker.run()
        assert report.clean

    asyncio.run(main())
    # What was finished is committed while others still run, and a stop is heard at once.
    assert committed[-1] != {}
    assert handled < 30
    assert shop.committed() == {0: handled}


def test_handlers_that_go_on_in_the_same_turn_of_the_loop_do_not_each_make_it_longer() -> None:
    shop, door = Shop(concurrency=20), asyncio.Event()
    turn, turns, waiting = 0, list[int](), 0

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        nonlocal waiting
        if not door.is_set():
            waiting += 1
            await door.wait()
            return
        turns.append(turn)
        time.sleep(0.02)  # noqa: ASYNC251 - longer than what runs in one turn

    def count(loop: asyncio.AbstractEventLoop) -> None:
        nonlocal turn
        turn += 1
        loop.call_soon(count, loop)

    shop.on("order.created", handle)

    async def main() -> None:
        for number in range(60):
            await shop.publish(number, key=str(number))
        async with shop.at_work():
            await eventually(lambda: waiting == 20)
            count(asyncio.get_running_loop())
            door.set()
            await eventually(lambda: shop.committed() == {0: 60})

    asyncio.run(main())
    assert len(turns) == 40
    assert max(map(turns.count, turns)) <= 2


def test_a_stop_waits_for_handlers_that_never_wait_no_longer_than_they_take() -> None:
    shop = Shop(hooks=False, concurrency=1, shutdown_timeout=20 * DEADLINE)
    begun, door = list[int](), asyncio.Event()

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        begun.append(payload["n"])
        if payload["n"] == 3:
            await door.wait()
        elif payload["n"] == 1:
            time.sleep(0.02)  # noqa: ASYNC251 - the event loop has a turn before the next one

    shop.on("order.created", handle)

    async def main() -> None:
        for number, key in enumerate("abca"):
            await shop.publish(number, key=key)
        worker = Worker(shop.hub)
        running = asyncio.ensure_future(worker.run())
        await eventually(lambda: 3 in begun)
        worker.stop()
        await eventually(lambda: worker._engine._draining > 0)  # it waits for what was begun
        door.set()
        async with asyncio.timeout(DEADLINE):
            await running

    asyncio.run(main())
    assert begun == [0, 3, 1, 2]
    assert shop.committed() == {0: 4}


@pytest.mark.parametrize("waits", [False, True], ids=["and returns", "and is cancelled"])
def test_a_handler_that_cancels_its_own_task_has_failed_alone(waits: bool) -> None:
    shop, calls = Shop(), list[int]()

    async def cancel_myself(event_type: str, payload: dict[str, Any]) -> None:
        calls.append(payload["n"])
        if len(calls) <= 2:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            if waits:
                await asyncio.sleep(3600)

    shop.on("order.created", cancel_myself)

    async def main() -> None:
        await shop.publish(1, 2, 3)
        await shop.work(lambda: shop.committed() == {0: 3})

    asyncio.run(main())
    assert sorted(set(calls)) == [1, 2, 3]
    assert (shop.report.handled, shop.report.dead_lettered) == (3, 0)


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after a wait"])
def test_a_handler_that_cancels_its_own_task_and_returns_does_no_harm_to_the_next_one(
    waits: bool,
) -> None:
    shop, passed = Shop(hooks=False, max_attempts=1), list[int]()

    async def cancel_myself(event_type: str, payload: dict[str, Any]) -> None:
        if waits:
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async def innocent(event_type: str, payload: dict[str, Any]) -> None:
        await asyncio.sleep(0.001)
        passed.append(payload["n"])

    shop.on("order.cancelled", cancel_myself)
    shop.on("order.created", innocent)

    async def main() -> None:
        for number in range(3):
            await shop.publish(number, event_type="order.cancelled")
            await shop.publish(number)
        await shop.work(lambda: shop.committed() == {0: 6})

    asyncio.run(main())
    assert passed == [0, 1, 2]
    assert (shop.report.handled, shop.report.dead_lettered) == (6, 0)


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after a wait"])
@pytest.mark.parametrize("raises", [False, True], ids=["and returns", "and raises"])
def test_a_handler_that_cancels_its_own_task_takes_nothing_from_the_rest_of_its_delivery(
    waits: bool, raises: bool
) -> None:
    told, passed = list[str](), list[int]()

    class Waits:
        @hookimpl
        async def vectis_handler_error(self) -> None:
            await asyncio.sleep(0.001)
            told.append("error")

        @hookimpl
        async def vectis_after_consume(self) -> None:
            await asyncio.sleep(0.001)
            told.append("after")

    shop = Shop(max_attempts=1, plugins={"waits": Waits()})

    async def cancel_myself(event_type: str, payload: dict[str, Any]) -> None:
        if waits:
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if raises:
            raise ValueError

    async def innocent(event_type: str, payload: dict[str, Any]) -> None:
        await asyncio.sleep(0.001)
        passed.append(payload["n"])

    shop.on("order.created", cancel_myself)
    shop.on("order.created", innocent)

    async def main() -> None:
        await shop.publish(1, 2)
        await shop.work(lambda: shop.committed() == {0: 2})

    asyncio.run(main())
    assert passed == [1, 2]
    assert told == (["error", "after"] if raises else ["after"]) * 2
    assert len(shop.diary.letters) == (2 if raises else 0)


def test_sleeping_for_no_time_lets_others_have_their_turn() -> None:
    shop, diary = Shop(hooks=False), list[str]()

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        asyncio.get_running_loop().call_soon(diary.append, "another")
        await asyncio.sleep(0)
        diary.append("handler")

    shop.on("order.created", handle)

    async def main() -> None:
        await shop.publish(1, 2)
        await shop.work(lambda: len(diary) == 4)

    asyncio.run(main())
    assert diary == ["another", "handler"] * 2


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks")
def test_what_runs_is_known_where_the_application_makes_its_tasks_eager() -> None:
    shop, door = Shop(hooks=False), asyncio.Event()

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        await door.wait()

    shop.on("order.created", handle)

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
        await shop.publish(1)
        async with shop.at_work() as worker:
            await eventually(lambda: bool(worker.in_hand))
            assert len(worker.status().stuck) == 0
            assert worker.status().running == 1
            door.set()
            await eventually(lambda: shop.committed() == {0: 1})

    asyncio.run(main())


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1])
def test_a_wait_that_has_no_end_is_refused_where_it_is_asked_for(seconds: float) -> None:
    shop = Shop(max_attempts=1)

    async def put_off(event_type: str, payload: dict[str, Any]) -> None:
        raise RetryLater(seconds)

    shop.on("order.created", put_off)

    async def main() -> None:
        await shop.publish(1)
        await shop.work(shop.finished(1))

    asyncio.run(main())
    assert "the seconds must be finite, and 0 or more" in shop.diary.letters[0].error


class Throttled(RetryLater):
    """As a program writes it that does not call what it inherits."""

    def __init__(self, seconds: Any) -> None:
        self.seconds = seconds


@pytest.mark.parametrize(
    "seconds",
    [float("inf"), float("nan"), -1, "5", None, 10**400],
    ids=["infinite", "no number", "negative", "a text", "nothing", "too large"],
)
def test_a_wait_that_has_no_end_is_a_failed_attempt_when_a_class_of_its_own_asks_for_it(
    seconds: Any,
) -> None:
    shop = Shop(max_attempts=2)

    async def put_off(event_type: str, payload: dict[str, Any]) -> None:
        if payload["n"] == 1:
            raise Throttled(seconds)

    shop.on("order.created", put_off)

    async def main() -> None:
        await shop.publish(1, 2)
        await shop.work(shop.finished(2))

    asyncio.run(main())
    assert [failure.attempt for failure in shop.diary.failures] == [1, 2]
    assert (shop.report.handled, shop.report.dead_lettered) == (1, 1)
    assert "the `seconds` of Throttled are no time to wait" in shop.diary.letters[0].error


def test_a_wait_may_be_any_number() -> None:
    shop, calls = Shop(max_attempts=1), list[int]()

    async def put_off(event_type: str, payload: dict[str, Any]) -> None:
        calls.append(payload["n"])
        if len(calls) == 1:
            raise Throttled(Decimal("0.001"))

    shop.on("order.created", put_off)

    async def main() -> None:
        await shop.publish(1)
        await shop.work(shop.finished(1))

    asyncio.run(main())
    assert calls == [1, 1]
    assert (shop.report.handled, shop.report.retried) == (1, 0)
