"""What becomes of a partition's deliveries when it goes to another member, and comes back."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.core.worker_world import DEADLINE, TOPIC, Doors, Shop, eventually, keys_of
from vectis.core import hookimpl
from vectis.core.exceptions import RetryLater
from vectis.core.message import TopicPartition
from vectis.core.worker import Worker

if TYPE_CHECKING:
    from vectis.core.message import Delivery
    from vectis.core.outcome import HandlerFailure


def two_shops(**consumer: Any) -> tuple[Shop, Shop]:
    """Two services of one group on one transport."""
    first = Shop(partitions=2, **consumer)
    return first, Shop(transport=first.transport)


KEYS = [next(keys_of(partition, of=2)) for partition in range(2)]


async def publish(shop: Shop, *numbers: int) -> None:
    """Publish even numbers to partition 0 and odd ones to partition 1, one key each."""
    for number in numbers:
        await shop.publish(number, key=KEYS[number % 2])


def test_a_partition_goes_when_what_runs_is_finished_and_committed_and_the_rest_comes_there() -> (
    None
):
    first, second = two_shops()
    here, there = Doors(0, 1), Doors()
    first.on("order.created", here)
    second.on("order.created", there)

    async def main() -> None:
        await publish(first, *range(10))
        async with first.at_work() as worker:
            await eventually(lambda: here.began == [0, 1] and worker.status().in_flight == 10)
            async with second.at_work():
                await eventually(lambda: first.transport.told(0, "revoking") != frozenset())
                ((_, number),) = first.transport.told(0, "revoking")
                assert first.transport.told(0, "revoked") == frozenset()
                assert first.transport.told(1, "assigning") == frozenset(), "it is drained first"
                here.open(number)
                await eventually(lambda: there.ended == list(range(number + 2, 10, 2)))
                assert here.ended == [number]
                here.open()
                await eventually(lambda: first.committed() == {0: 5, 1: 5})
                own = list(range(1 - number, 10, 2))
                assert here.ended == [number, *own]

    asyncio.run(main())
    assert (first.report.handled, second.report.handled) == (6, 4)
    assert first.report.overlapping == second.report.overlapping == 0


@pytest.mark.parametrize("plain", [False, True], ids=["async", "in a thread"])
def test_what_runs_too_long_is_cut_off_named_and_counted_and_what_it_still_does_commits_nothing(
    plain: bool, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = two_shops(shutdown_timeout=0.05)
    release, went_on = threading.Event(), list[int]()

    async def endless(event_type: str, payload: dict[str, Any]) -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):  # it swallows it, and works on
                await asyncio.sleep(0.001)
        went_on.append(payload["n"])

    def endless_plainly(event_type: str, payload: dict[str, Any]) -> None:
        release.wait()
        went_on.append(payload["n"])

    async def not_now(event_type: str, payload: dict[str, Any]) -> None:
        raise RetryLater(3600)

    handler = endless_plainly if plain else endless
    handler.__qualname__ = "endless"
    first.on("order.created", handler)
    second.on("order.created", not_now)

    async def main() -> None:
        await publish(first, 0, 1)
        try:
            async with first.at_work() as worker:
                await eventually(lambda: worker.status().running == 2)
                async with second.at_work() as other:
                    await eventually(lambda: other.status().retrying == 1)
                    ((_, moved),) = first.transport.told(0, "revoked")
                    assert worker.report.overlapping == 1
                    release.set()
                    await eventually(lambda: len(went_on) == 2)
                    # The other one is still here, and is committed when it is done.
                    await eventually(lambda: first.committed() == {1 - moved: 1})
                    assert TopicPartition(TOPIC, moved) not in first.transport.commits[-1]
        finally:
            release.set()
        ((_, moved),) = first.transport.told(0, "revoked")
        (message,) = caplog.messages
        assert message.startswith("cut off with the partition; it comes again elsewhere: ")
        assert message.endswith(f"['app:endless at {TOPIC}/{moved}@0']")

    with caplog.at_level(logging.WARNING, "vectis.worker"):
        asyncio.run(main())
    assert list(first.committed().values()) == [1]
    assert str(first.report).endswith(", 1 overlapping with another member")
    assert first.report.clean


@pytest.mark.parametrize("plain", [False, True], ids=["async", "in a thread"])
def test_what_an_earlier_assignment_finishes_late_does_not_finish_the_delivery_again(
    plain: bool,
) -> None:
    first, second = two_shops(shutdown_timeout=0.05, concurrency=10)
    release, again = threading.Event(), threading.Event()
    calls, ended = list[int](), list[int]()

    async def first_time_endless(event_type: str, payload: dict[str, Any]) -> None:
        calls.append(payload["n"])
        gate = again if calls.count(payload["n"]) > 1 else release
        while not gate.is_set():
            with suppress(asyncio.CancelledError):  # it swallows it, and works on
                await asyncio.sleep(0.001)
        ended.append(payload["n"])

    def plainly(event_type: str, payload: dict[str, Any]) -> None:
        calls.append(payload["n"])
        assert (again if calls.count(payload["n"]) > 1 else release).wait(60)
        ended.append(payload["n"])

    async def not_now(event_type: str, payload: dict[str, Any]) -> None:
        raise RetryLater(3600)

    first.on("order.created", plainly if plain else first_time_endless)
    second.on("order.created", not_now)

    async def main() -> None:
        await publish(first, 0, 1)
        try:
            async with first.at_work() as worker:
                await eventually(lambda: sorted(calls) == [0, 1])
                async with second.at_work() as other:
                    await eventually(lambda: other.status().retrying == 1)
                ((_, moved),) = first.transport.told(0, "revoked")
                await eventually(lambda: len(calls) == 3)
                release.set()
                await eventually(lambda: sorted(ended) == [0, 1])
                await publish(first, 3 - moved)  # what comes late would be committed before it
                await eventually(lambda: first.committed() == {1 - moved: 2})
                assert worker.status().running == 1
                again.set()
                await eventually(lambda: first.committed() == {moved: 1, 1 - moved: 2})
        finally:
            release.set()
            again.set()

    asyncio.run(main())


def test_what_the_transport_no_longer_counts_as_ours_is_left_out_of_the_commit() -> None:
    shop, doors = Shop(partitions=2), Doors(0, 1)
    shop.on("order.created", doors)

    async def main() -> None:
        await publish(shop, 0, 1)
        async with shop.at_work():
            await eventually(lambda: doors.began == [0, 1])
            # Before it has told us, and one wrong partition may fail the whole commit.
            left = frozenset({TopicPartition(TOPIC, 1)})
            shop.transport.consumers[0].assignment = lambda: left  # type: ignore[method-assign]
            doors.open()
            await eventually(lambda: shop.committed() == {1: 1})

    asyncio.run(main())
    assert {where for commit in shop.transport.commits for where in commit} == {(TOPIC, 1)}


def test_what_a_member_finishes_after_it_lost_its_partitions_is_refused_counted_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop, doors = Shop(), Doors(3)
    shop.on("order.created", doors)

    async def main() -> None:
        await shop.publish(*range(5))
        async with shop.at_work() as worker:
            await eventually(lambda: shop.committed() == {0: 3})
            shop.transport.expire(shop.transport.consumers[0])  # as if it had been paused for long
            doors.open()
            await eventually(lambda: shop.committed() == {0: 5})
            assert doors.began.count(3) == 2
            assert worker.report.overlapping == worker.status().overlapping >= 1

    with caplog.at_level(logging.WARNING, "vectis.worker"):
        asyncio.run(main())
    count = shop.report.overlapping
    assert f"perhaps there at the same time: {count} of vectis.orders/0" in caplog.text
    # What was finished before and committed is not among them.
    assert doors.ended == [0, 1, 2, *range(3, 3 + count), 3, 4]
    assert str(shop.report).endswith(f", {count} overlapping with another member")


@pytest.mark.parametrize("hook", ["vectis_after_consume", "vectis_handler_error"])
def test_a_partition_that_goes_while_an_observer_takes_its_time_ends_no_worker(hook: str) -> None:
    told = list[str]()

    async def observe(self: object) -> None:
        told.append(hook)
        if len(told) == 1:
            await asyncio.Event().wait()

    slow = type("Slow", (), {hook: hookimpl(observe)})()
    first = Shop(shutdown_timeout=0.05, max_attempts=1, plugins={"slow": slow})
    seen = list[int]()

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        seen.append(payload["n"])
        if hook == "vectis_handler_error" and len(seen) == 1:
            raise ValueError

    first.on("order.created", handle)

    async def main() -> None:
        await first.publish(0, 1)
        async with first.at_work():
            await eventually(lambda: bool(told))
            first.transport.expire(first.transport.consumers[0])
            await eventually(lambda: first.committed() == {0: 2})

    asyncio.run(main())
    assert seen == [0, 0, 1], "what nobody can have committed comes again"


@pytest.mark.parametrize("goes", ["the partition", "the worker"])
def test_what_may_not_begin_any_more_is_not_waited_for(goes: str) -> None:
    # So long that nobody would wait for it here.
    shop = Shop(shutdown_timeout=3600, hooks=False)
    began, gate = list[int](), asyncio.Event()

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        began.append(payload["n"])
        await gate.wait()
        end = perf_counter() + 0.002
        while perf_counter() < end:  # together longer than a turn of the event loop may be
            pass

    shop.on("order.created", handle)

    async def main() -> None:
        for number in range(60):
            await shop.publish(number, key=str(number % 20))
        worker = Worker(shop.hub)
        running = asyncio.create_task(worker.run())
        await eventually(lambda: len(began) == 20 and worker.status().in_flight == 60)
        if goes == "the worker":
            worker.stop()
            await eventually(lambda: worker.status().state == "draining")
            for _ in range(20):  # turns of the event loop, until what runs is waited for
                await asyncio.sleep(0)
        else:
            shop.transport.expire(shop.transport.consumers[0])
            await eventually(lambda: shop.transport.told(0, "revoking") != frozenset())
        gate.set()
        if goes == "the partition":
            await eventually(lambda: shop.committed() == {0: 60})
            worker.stop()
        async with asyncio.timeout(DEADLINE):
            await running

    asyncio.run(main())
    assert began[:20] == list(range(20))


@pytest.mark.parametrize("hooks", [False, True], ids=["no hooks", "hooks"])
def test_no_other_handler_begins_after_one_that_outlived_its_partition(hooks: bool) -> None:
    first, second = two_shops(shutdown_timeout=0, hooks=hooks)
    release, ended, later = asyncio.Event(), list[int](), list[int]()

    async def tidies_up(event_type: str, payload: dict[str, Any]) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await release.wait()
        ended.append(payload["n"])

    async def follows(event_type: str, payload: dict[str, Any]) -> None:
        later.append(payload["n"])

    async def not_now(event_type: str, payload: dict[str, Any]) -> None:
        raise RetryLater(3600)

    first.on("order.created", tidies_up)
    first.on("order.created", follows)
    second.on("order.created", not_now)

    async def main() -> None:
        await publish(first, 0, 1)
        async with first.at_work() as worker:
            await eventually(lambda: worker.status().running == 2)
            async with second.at_work() as other:
                await eventually(lambda: other.status().retrying == 1)
                ((_, moved),) = first.transport.told(0, "revoked")
                release.set()
                await eventually(lambda: ended == [moved])
                assert worker.report.overlapping == 1

    asyncio.run(main())
    assert later == []
    assert first.report.handled == 0
    assert first.report.dead_lettered == 0


def test_no_letter_is_written_for_a_partition_that_was_given_up_while_hooks_were_told() -> None:
    release, told = asyncio.Event(), list[str]()

    class TidiesUp:
        @hookimpl
        async def vectis_handler_error(self, failure: HandlerFailure) -> None:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            await release.wait()
            told.append(failure.event.id)

    first, second = two_shops(shutdown_timeout=0, max_attempts=1, plugins={"tidies_up": TidiesUp()})

    async def fails(event_type: str, payload: dict[str, Any]) -> None:
        raise ValueError("no stock")

    async def not_now(event_type: str, payload: dict[str, Any]) -> None:
        raise RetryLater(3600)

    first.on("order.created", fails)
    second.on("order.created", not_now)

    async def main() -> list[Delivery]:
        await publish(first, 0, 1)
        async with first.at_work() as worker:
            await eventually(lambda: worker.status().running == 2)
            async with second.at_work() as other:
                await eventually(lambda: other.status().retrying == 1)
                release.set()
                await eventually(lambda: len(told) == 1)
        return await first.letters()

    assert asyncio.run(main()) == []
    assert first.report.dead_lettered == 0
