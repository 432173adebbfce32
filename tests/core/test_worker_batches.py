"""Handlers that take several payloads at once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.worker_world import LETTERS, Shop, eventually, keys_of
from vectis.core import Catalogue, hookimpl
from vectis.core.events import Event, current_event, current_events
from vectis.core.events.consumer import on_event
from vectis.core.exceptions import BatchFailed, Reject, RetryLater, SubscriptionError
from vectis.core.marks import subscription
from vectis.core.worker import Worker, letters
from vectis.core.worker.batches import Batch, Batches
from vectis.core.worker.calling import Callee

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from vectis.core import Hub
    from vectis.core.dead_letter import DeadLetter


def work(shop: Shop, payloads: Iterable[tuple[int, str]], finished: int | None = None) -> None:
    """Publish `{"n": number}` under a key each, and work until so many are finished."""

    async def main() -> None:
        count = 0
        for number, key in payloads:
            await shop.publish(number, key=key)
            count += 1
        await shop.work(shop.finished(count if finished is None else finished))

    asyncio.run(main())


def numbers(payloads: list[dict[str, Any]]) -> list[int]:
    return [payload["n"] for payload in payloads]


def each_its_own_key(count: int) -> list[tuple[int, str]]:
    return [(number, str(number)) for number in range(count)]


@pytest.mark.parametrize("plain", [False, True], ids=["async", "in a thread"])
def test_it_takes_what_is_there_in_order_and_never_more_than_it_may(plain: bool) -> None:
    shop, batches = Shop(concurrency=1), list[list[int]]()

    async def store(event_type: str, payloads: list[dict[str, Any]]) -> None:
        batches.append(numbers(payloads))

    def store_plainly(event_type: str, payloads: list[dict[str, Any]]) -> None:
        batches.append(numbers(payloads))

    shop.on("order.created", store_plainly if plain else store, batch=4)
    work(shop, each_its_own_key(10))
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert shop.report.handled == 10
    assert sum(shop.committed().values()) == 10


def test_of_one_key_there_is_one_at_a_time_and_the_next_in_a_later_batch() -> None:
    shop, batches = Shop(), list[list[int]]()

    async def store(event_type: str, payloads: list[dict[str, Any]]) -> None:
        batches.append(numbers(payloads))

    shop.on("order.created", store, batch=100)
    work(shop, [(0, "a"), (1, "a"), (2, "b"), (3, "b"), (4, "a")])
    assert batches == [[0, 2], [1, 3], [4]]


def test_only_what_failed_is_tried_again_and_its_key_waits() -> None:
    shop, batches = Shop(), list[list[int]]()

    async def store(event_type: str, payloads: list[dict[str, Any]]) -> None:
        batches.append(numbers(payloads))
        if len(batches) == 1:
            payloads[1]["n"] = "changed by the failed attempt"
            raise BatchFailed({1: ValueError("no stock"), 2: RetryLater(0)})

    shop.on("order.created", store, batch=100)
    work(shop, [(0, "a"), (1, "b"), (2, "c"), (3, "b")])
    seen = Counter(number for batch in batches for number in batch)
    assert batches[0] == [0, 1, 2]
    assert seen == {0: 1, 1: 2, 2: 2, 3: 1}
    order_of_b = [number for batch in batches for number in batch if number in (1, 3)]
    assert order_of_b == [1, 1, 3]
    assert shop.report.retried == 1  # RetryLater is no attempt
    (failure,) = shop.diary.failures
    assert (str(failure.error), failure.attempt, failure.will_retry) == ("no stock", 1, True)


def test_one_that_is_rejected_is_set_aside_alone() -> None:
    shop = Shop()

    async def store(event_type: str, payloads: list[dict[str, Any]]) -> None:
        bad = {n: Reject("odd") for n, payload in enumerate(payloads) if payload["n"] % 2}
        if bad:
            raise BatchFailed(bad)

    shop.on("order.created", store, batch=100)
    work(shop, each_its_own_key(6))
    assert (shop.report.handled, shop.report.dead_lettered) == (3, 3)
    assert [letter.delivery.offset for letter in shop.diary.letters] == [1, 3, 5]


def as_typed(errors: Any) -> Any:
    """What a program gives that no type checker has seen."""
    return errors


class Refused(BatchFailed):
    """As a program writes it that does not call what it inherits."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("the database is away"), "OSError: the database is away"),
        (BatchFailed({7: OSError("?")}), "BatchFailed names ['7'], and the batch has 3 payloads"),
        (BatchFailed({-1: OSError("?")}), "BatchFailed names ['-1'], and the batch has 3 payloads"),
        (BatchFailed(as_typed({1: "no stock"})), "BatchFailed has no error for [1]"),
        (BatchFailed(as_typed({2: ValueError, 1: 0})), "BatchFailed has no error for [1, 2]"),
        (BatchFailed(as_typed({0: None})), "BatchFailed has no error for [0]"),
        (Refused("all"), "TypeError: BatchFailed has no `errors` by index"),
    ],
    ids=[
        "any other error",
        "an index too large",
        "an index below 0",
        "a text for an error",
        "a class for an error",
        "nothing for an error",
        "a class of its own",
    ],
)
def test_else_all_of_them_have_failed(error: Exception, said: str) -> None:
    shop = Shop(max_attempts=1)

    async def store(event_type: str, payloads: list[dict[str, Any]]) -> None:
        raise error

    shop.on("order.created", store, batch=100)
    work(shop, each_its_own_key(3))
    assert shop.report.dead_lettered == 3
    assert [said in letter.error for letter in shop.diary.letters] == [True] * 3


def test_beside_other_handlers_of_the_type_each_has_its_own_attempts() -> None:
    shop, calls = Shop(), list[Any]()

    async def first(event_type: str, payload: dict[str, Any]) -> None:
        calls.append(("first", payload["n"]))

    async def store(event_type: str, payloads: list[dict[str, Any]]) -> None:
        calls.append(("store", *numbers(payloads)))
        if calls.count(calls[-1]) == 1:
            raise BatchFailed({0: ValueError("once")})

    async def last(event_type: str, payload: dict[str, Any]) -> None:
        calls.append(("last", payload["n"]))

    shop.on("order.created", first)
    shop.on("order.created", store, batch=2)
    shop.on("order.created", last)
    work(shop, [(0, "a")])
    assert calls == [("first", 0), ("store", 0), ("store", 0), ("last", 0)]
    assert shop.report.handled == 1


def test_the_events_are_at_hand_and_nothing_emitted_follows_from_one_of_them() -> None:
    shop, seen, emitted = Shop(), list[Any](), list[Event]()

    async def store(event_type: str, payloads: list[dict[str, Any]]) -> None:
        events = current_events()
        seen.append((current_event(), [event.data for event in events] == payloads))
        await shop.hub.emit(Event("batch.stored", {}))

    async def single(event_type: str, payload: dict[str, Any]) -> None:
        seen.append(current_events() == (current_event(),))

    shop.hub.subscribe("batch.stored", lambda event: emitted.append(event))
    shop.on("order.created", store, batch=10)
    shop.on("order.created", single)
    work(shop, each_its_own_key(2))
    assert seen == [(None, True), True, True]
    assert emitted[0].causation_id is None


def test_the_hooks_around_see_each_delivery() -> None:
    inside: list[int] = []
    most: list[int] = []

    class Around:
        @hookimpl
        @asynccontextmanager
        async def vectis_around_consume(self, delivery: Any) -> AsyncIterator[None]:
            inside.append(delivery.offset)
            yield
            inside.remove(delivery.offset)

    shop = Shop(plugins={"around": Around()})

    async def store(event_type: str, payloads: list[dict[str, Any]]) -> None:
        most[:] = inside

    shop.on("order.created", store, batch=300)
    work(shop, each_its_own_key(300))  # more than nested calls could be
    assert most == list(range(300))
    assert inside == []
    assert [outcome.status for outcome in shop.diary.outcomes] == ["handled"] * 300


def test_one_that_takes_too_long_is_cut_off_with_all_its_deliveries() -> None:
    shop, entered = Shop(shutdown_timeout=0.1), asyncio.Event()

    async def store(event_type: str, payloads: list[dict[str, Any]]) -> None:
        entered.set()
        await asyncio.sleep(3600)

    shop.on("order.created", store, batch=2)

    async def main() -> None:
        for number in range(2):
            await shop.publish(number, key=str(number))
        worker = Worker(shop.hub)
        running = asyncio.ensure_future(worker.run())
        await entered.wait()
        worker.stop()
        report = await running
        assert len(report.abandoned) == 2
        assert "store at vectis.orders/0@0" in report.abandoned[0]

    asyncio.run(main())
    assert shop.committed() == {}
    assert LETTERS not in {topic.name for topic in shop.transport.describe_topics()}


def test_when_a_partition_goes_in_the_middle_the_others_run_again_at_once() -> None:
    shop = Shop(partitions=2, shutdown_timeout=0.1)
    second = Shop(transport=shop.transport)
    calls: list[list[int]] = []

    async def store(event_type: str, payloads: list[dict[str, Any]]) -> None:
        calls.append(numbers(payloads))
        if len(calls) == 1:
            await asyncio.sleep(3600)

    shop.on("order.created", store, batch=100)
    second.on("order.created", store, batch=100)

    async def main() -> None:
        for number in range(10):
            await shop.publish(number, key=str(number))
        workers = [Worker(shop.hub), Worker(second.hub)]
        running = [asyncio.ensure_future(workers[0].run())]
        await eventually(lambda: calls != [])
        running.append(asyncio.ensure_future(workers[1].run()))
        await eventually(lambda: sum(shop.committed().values()) == 10)
        for worker in workers:
            worker.stop()
        await asyncio.gather(*running)

    asyncio.run(main())
    assert sorted(calls[0]) == list(range(10))
    assert sorted(number for call in calls[1:] for number in call) == list(range(10))


KEYS = [next(keys_of(partition, of=2)) for partition in range(2)]


def two_services(**consumer: Any) -> tuple[Shop, Shop]:
    """Two services of one group, on a topic of two partitions."""
    first = Shop(partitions=2, **consumer)
    return first, Shop(transport=first.transport)


def test_what_stays_when_a_partition_goes_waits_for_the_thread_and_for_what_came_of_it() -> None:
    first, second = two_services(order="none", shutdown_timeout=0.05)
    release, calls, elsewhere = threading.Event(), list[list[int]](), list[int]()
    failing: list[int] = []

    def store(event_type: str, payloads: list[dict[str, Any]]) -> None:
        calls.append(numbers(payloads))
        if len(calls) == 1:
            release.wait()
            raise BatchFailed({calls[0].index(number): ValueError("no") for number in failing})

    async def store_elsewhere(event_type: str, payload: dict[str, Any]) -> None:
        elsewhere.append(payload["n"])

    first.on("order.created", store, batch=100)
    second.on("order.created", store_elsewhere)

    async def main() -> None:
        for number in range(8):
            await first.publish(number, key=KEYS[number % 2])
        try:
            async with first.at_work() as worker:
                await eventually(lambda: worker.status().running == 8)
                async with second.at_work():
                    await eventually(lambda: len(elsewhere) == 4)
                    gone = elsewhere[0] % 2
                    stay = 1 - gone
                    # What comes later is done: what stays could have been called again before it.
                    await first.publish(8 + stay, key=KEYS[stay])
                    await eventually(lambda: len(calls) > 1)
                    assert calls[1:] == [[8 + stay]]
                    failing[:] = [gone, 2 + stay]
                    release.set()
                    await eventually(lambda: first.committed() == {gone: 4, stay: 5})
                    assert calls[2:] == [[2 + stay]]
        finally:
            release.set()

    asyncio.run(main())
    assert sorted(calls[0]) == list(range(8))
    assert elsewhere == list(range(elsewhere[0], 8, 2))
    assert (first.report.handled, first.report.retried, first.report.overlapping) == (5, 1, 4)
    assert first.report.clean


def test_a_batch_that_no_thread_has_begun_goes_on_without_what_is_gone() -> None:
    first, second = two_services(concurrency=1, shutdown_timeout=0.05)
    release, calls, elsewhere = threading.Event(), list[list[int]](), list[int]()

    def store(event_type: str, payloads: list[dict[str, Any]]) -> None:
        calls.append(numbers(payloads))
        release.wait()

    async def store_elsewhere(event_type: str, payload: dict[str, Any]) -> None:
        elsewhere.append(payload["n"])

    first.on("order.created", store, batch=100)
    second.on("order.created", store_elsewhere)

    async def main() -> None:
        await first.publish(0, key=KEYS[0])
        try:
            async with first.at_work() as worker:
                await eventually(lambda: calls == [[0]])
                first.transport.expire(first.transport.consumers[0])
                await first.publish(1, key=KEYS[1])
                await eventually(lambda: worker.status().running == 2)  # the thread is not free
                async with second.at_work():
                    await eventually(lambda: elsewhere != [])
                    release.set()
                    await eventually(lambda: first.committed() == {0: 1, 1: 1})
        finally:
            release.set()

    asyncio.run(main())
    assert calls == [[0], [1 - elsewhere[0]]]


def names_of_tasks() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks()}


def store_then_notify(shop: Shop, gate: asyncio.Event, calls: list[Any]) -> None:
    """Subscribe a batch handler that waits at a gate, and a handler after it."""

    async def store(event_type: str, payloads: list[dict[str, Any]]) -> None:
        calls.append(("store", *sorted(numbers(payloads))))
        await gate.wait()

    async def notify(event_type: str, payload: dict[str, Any]) -> None:
        calls.append(("notify", payload["n"]))

    shop.on("order.created", store, batch=100)
    shop.on("order.created", notify)


def test_what_is_in_a_batch_when_the_worker_stops_has_its_next_handler_before_the_end() -> None:
    shop, calls = Shop(), list[Any]()

    async def main() -> None:
        gate = asyncio.Event()
        store_then_notify(shop, gate, calls)
        for number in range(2):
            await shop.publish(number, key=str(number))
        async with shop.at_work() as worker:
            await eventually(lambda: calls == [("store", 0, 1)])
            worker.stop()
            await eventually(lambda: "vectis-worker" not in names_of_tasks())  # it drains
            gate.set()

    asyncio.run(main())
    assert sorted(calls[1:]) == [("notify", 0), ("notify", 1)]
    assert shop.committed() == {0: 2}
    assert (shop.report.handled, shop.report.clean) == (2, True)


def test_what_is_in_a_batch_when_its_partition_goes_has_its_next_handler_here() -> None:
    first, second = two_services()
    here, there = list[Any](), list[Any]()

    async def main() -> None:
        gate, open_gate = asyncio.Event(), asyncio.Event()
        open_gate.set()
        store_then_notify(first, gate, here)
        store_then_notify(second, open_gate, there)
        for number in range(2):
            await first.publish(number, key=KEYS[number])
        async with first.at_work():
            await eventually(lambda: here == [("store", 0, 1)])
            async with second.at_work():
                await eventually(lambda: first.transport.told(0, "revoking") != frozenset())
                gate.set()
                await eventually(lambda: first.committed() == {0: 1, 1: 1})

    asyncio.run(main())
    assert sorted(here[1:]) == [("notify", 0), ("notify", 1)]
    assert there == []


@given(
    size=st.integers(1, 4),
    steps=st.lists(st.sampled_from(["join", "turn", "withdraw"]), max_size=40),
)
def test_every_job_that_joins_is_in_one_batch_and_none_waits_without_a_turn(
    size: int, steps: list[str]
) -> None:
    offered: list[Batch] = []
    batches = Batches(offered.append)
    callee = Callee(
        subscription("service", "a", lambda event_type, payloads: None, plugin="app", batch=size),
        ThreadPoolExecutor(1),
        Catalogue(),
    )
    waiting: list[Any] = []
    for number, step in enumerate(steps):
        if step == "join":
            batches.join(number, callee)  # type: ignore[arg-type]  # any object does
            waiting.append(number)
        elif step == "turn" and offered:
            batch = offered.pop(0)
            batches.fill(batch)
            assert batch.jobs == waiting[:size]
            del waiting[:size]
        elif step == "withdraw":
            batches.withdraw(lambda job: job % 2 == 0)  # type: ignore[operator]  # numbers
            waiting = [job for job in waiting if job % 2]
        assert batches.holds(lambda job: True) == bool(waiting)
        assert not waiting or offered


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "2"])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    with pytest.raises(SubscriptionError, match="batch must be how many payloads"):

        @on_event("order.created", batch=size)
        async def store(event_type: str, payloads: list[Any]) -> None: ...


def test_a_signature_that_does_not_fit_is_refused_in_its_own_words() -> None:
    with pytest.raises(SubscriptionError, match=r"cannot be called with \(event_type, payloads\)"):

        @on_event("order.created", batch=10)
        async def store(payloads: list[Any]) -> None: ...


def test_a_delivery_may_be_through_a_second_batch_before_the_first_one_has_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop, seen, second_ran = Shop(concurrency=4), list[int](), asyncio.Event()
    write = letters.write

    async def refuse(event_type: str, payloads: list[dict[str, Any]]) -> None:
        raise BatchFailed({number: Reject("no") for number in range(len(payloads))})

    async def store(event_type: str, payloads: list[dict[str, Any]]) -> None:
        seen.extend(numbers(payloads))
        second_ran.set()

    async def late(letter: DeadLetter, hub: Hub) -> bool:
        if letter.delivery.offset:  # the first one's is written, and that one goes on
            await second_ran.wait()
        return await write(letter, hub)

    monkeypatch.setattr(letters, "write", late)
    shop.on("order.created", refuse, batch=10)
    shop.on("order.created", store, batch=10)
    work(shop, each_its_own_key(4))
    assert sorted(seen) == [0, 1, 2, 3]
    assert shop.report.dead_lettered == 4
    assert sum(shop.committed().values()) == 4
