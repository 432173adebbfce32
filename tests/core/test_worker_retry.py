from __future__ import annotations

import asyncio
import logging
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.worker_world import Shop
from vectis.core.exceptions import Reject, RetryLater
from vectis.core.worker import Worker
from vectis.core.worker.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable

seconds = st.floats(min_value=0, max_value=1e9, allow_nan=False)
attempts = st.integers(min_value=1, max_value=10**12)
seeds = st.integers(min_value=0, max_value=2**32)


@given(seconds, seconds, attempts, seeds)
def test_a_wait_is_bounded_and_its_jitter_takes_away_at_most_half(
    initial: float, longest: float, attempt: int, seed: int
) -> None:
    wait = Retry(attempts=5, initial=initial, longest=longest).wait(attempt, Random(seed))
    bound = min(longest, initial * 2.0 ** min(attempt - 1, 60))
    assert 0.5 * bound <= wait <= bound <= longest


@given(seconds, seconds, attempts, seeds)
def test_waits_grow_with_the_attempts_until_the_longest(
    initial: float, longest: float, attempt: int, seed: int
) -> None:
    retry = Retry(attempts=5, initial=initial, longest=longest)
    assert retry.wait(attempt, Random(seed)) <= retry.wait(attempt + 1, Random(seed))


@given(seeds)
def test_waits_differ_so_that_workers_do_not_come_back_all_at_once(seed: int) -> None:
    random, retry = Random(seed), Retry(attempts=5, initial=1, longest=30)
    assert len({retry.wait(3, random) for _ in range(10)}) > 1


@given(st.integers(min_value=1, max_value=1000), attempts)
def test_there_are_as_many_attempts_as_were_set(allowed: int, attempt: int) -> None:
    assert Retry(allowed, 0.1, 30).again(attempt) == (attempt < allowed)


# ---------------------------------------------------------------- as the worker does it


class Flaky:
    """A handler that raises what it is given, one error a call, and then succeeds."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.__qualname__ = "flaky"

    async def __call__(self, event_type: str, payload: dict[str, Any]) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


def handled(shop: Shop, *handlers: Callable[..., Any]) -> None:
    """Publish one event to these handlers and return when it is finished."""
    for handler in handlers:
        shop.on("order.created", handler)

    async def main() -> None:
        await shop.publish(1)
        await shop.work(shop.finished(1))

    asyncio.run(main())


def test_a_failing_handler_is_tried_again_until_it_succeeds() -> None:
    shop, flaky = Shop(), Flaky(ValueError("1"), ValueError("2"))
    handled(shop, flaky)
    assert flaky.calls == 3
    assert [(f.attempt, f.will_retry) for f in shop.diary.failures] == [(1, True), (2, True)]
    assert (shop.report.handled, shop.report.retried, shop.report.dead_lettered) == (1, 2, 0)


def test_only_the_handler_that_failed_is_tried_again() -> None:
    shop = Shop()
    before, flaky, after = Flaky(), Flaky(ValueError("no")), Flaky()
    handled(shop, before, flaky, after)
    assert (before.calls, flaky.calls, after.calls) == (1, 2, 1)


def test_one_handler_that_never_succeeds_does_not_keep_the_others_from_theirs() -> None:
    shop = Shop(max_attempts=2)
    hopeless, after = Flaky(*[ValueError("never")] * 9), Flaky()
    handled(shop, hopeless, after)
    assert (hopeless.calls, after.calls) == (2, 1)
    (letter,) = shop.diary.letters
    assert (letter.handler, letter.attempts) == ("app:flaky", 2)
    (outcome,) = shop.diary.outcomes
    assert outcome.status == "dead_lettered"
    assert len(outcome.ran) == 1


def test_reject_sets_the_delivery_aside_at_once() -> None:
    shop, flaky = Shop(), Flaky(Reject("no such customer"))
    handled(shop, flaky)
    assert flaky.calls == 1
    (letter,) = shop.diary.letters
    assert (letter.error, letter.attempts) == ("Reject: no such customer", 1)
    (failure,) = shop.diary.failures
    assert not failure.will_retry


def test_retry_later_uses_no_attempt() -> None:
    shop = Shop(max_attempts=2)
    flaky = Flaky(*[RetryLater(0.001)] * 5, ValueError("once"), *[RetryLater(0)] * 5)
    handled(shop, flaky)
    assert flaky.calls == 12
    assert shop.report.handled == 1
    assert [attempt for _, attempt in shop.diary.attempts] == [1] * 6 + [2] * 6
    assert len(shop.diary.failures) == 1


def test_block_holds_the_delivery_beyond_its_attempts_until_it_succeeds() -> None:
    shop = Shop(max_attempts=2, on_exhausted="block")
    flaky = Flaky(*[ValueError("not yet")] * 7)
    handled(shop, flaky)
    assert flaky.calls == 8
    assert shop.report.handled == 1
    assert shop.diary.letters == []
    assert all(failure.will_retry for failure in shop.diary.failures)


def test_reject_is_final_even_with_block() -> None:
    shop = Shop(on_exhausted="block")
    handled(shop, Flaky(Reject("never")))
    assert shop.report.dead_lettered == 1


def test_an_attempt_gets_the_payload_as_it_came_whatever_the_one_before_did_to_it() -> None:
    shop, seen = Shop(), list[dict[str, Any]]()

    async def spoils(event_type: str, payload: dict[str, Any]) -> None:
        seen.append(dict(payload))
        payload.clear()
        if len(seen) == 1:
            raise ValueError("after half of the work")

    handled(shop, spoils)
    assert seen == [{"n": 1}] * 2


class Unspeakable(Exception):
    def __init__(self, instead: BaseException | None = None) -> None:
        self.instead = instead or RuntimeError("no text")

    def __str__(self) -> str:
        raise self.instead


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        KeyboardInterrupt(),
        asyncio.CancelledError(),
        BaseException("of the base"),
        StopIteration(),
        StopAsyncIteration(),
        GeneratorExit(),
        RecursionError(),
        Unspeakable(),
        Unspeakable(SystemExit(3)),
        ExceptionGroup("several", [ValueError("one")]),
        ValueError("\x1b[2J\r\nforged log line " + "x" * 100_000),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("way", ["at once", "after a wait", "in a thread"])
def test_whatever_a_handler_raises_is_a_failure_and_not_the_end_of_the_worker(
    error: BaseException, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop(max_attempts=2)
    calls: list[int] = []

    async def fails(event_type: str, payload: dict[str, Any]) -> None:
        calls.append(payload["n"])
        if way == "after a wait":
            await asyncio.sleep(0)
        if payload["n"] == 1:
            raise error

    def fails_plainly(event_type: str, payload: dict[str, Any]) -> None:
        calls.append(payload["n"])
        if payload["n"] == 1:
            raise error

    shop.on("order.created", fails_plainly if way == "in a thread" else fails)

    async def main() -> None:
        await shop.publish(1, 2)
        await shop.work(shop.finished(2))

    with caplog.at_level(logging.WARNING, "vectis.worker"):
        asyncio.run(main())
    assert calls == [1, 1, 2]
    assert (shop.report.dead_lettered, shop.report.handled) == (1, 1)
    assert shop.report.clean
    (letter,) = shop.diary.letters
    assert len(letter.error) <= 1000
    assert letter.error.isprintable()
    lines = [line for message in caplog.messages for line in message.splitlines()]
    assert all(len(line) < 1200 and line.isprintable() for line in lines)
    assert not any(line.startswith("forged") for line in lines)
    assert any(f'File "{__file__}", line' in line and "raise error" in line for line in lines)


@pytest.mark.parametrize("batch", [None, 10])
def test_a_handler_whose_event_loop_is_gone_has_not_failed(batch: int | None) -> None:
    shop, began, closed = Shop(), asyncio.Event(), list[str]()

    async def endless(event_type: str, payload: object) -> None:
        began.set()
        try:
            await asyncio.sleep(3600)
        except GeneratorExit:
            closed.append("closed")
            raise

    async def main() -> None:
        await shop.publish(1)
        asyncio.ensure_future(Worker(shop.hub).run())  # noqa: RUF006 - nothing is to keep it
        await began.wait()

    shop.on("order.created", endless, batch=batch)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main())
        tasks = asyncio.all_tasks(loop)
        for task in tasks:  # as the interpreter does at its end
            coroutine: Any = task.get_coro()
            if task.get_name() == "vectis-runner":
                coroutine.close()
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    finally:
        loop.close()
    assert closed == ["closed"]
    assert shop.diary.failures == []


def test_a_guard_around_the_handler_that_fails_is_a_failed_attempt() -> None:
    from vectis.core import hookimpl

    class Guard:
        refusals = 1

        @hookimpl
        def vectis_around_consume(self, delivery: object) -> None:
            if self.refusals:
                self.refusals -= 1
                raise ValueError("no database")

    shop, flaky = Shop(plugins={"guard": Guard()}), Flaky()
    handled(shop, flaky)
    assert flaky.calls == 1
    (failure,) = shop.diary.failures
    assert "vectis_around_consume of plugin 'guard' failed" in str(failure.error)


def test_what_is_called_may_be_async_in_many_ways() -> None:
    import functools

    shop, seen = Shop(), list[str]()

    async def two(name: str, event_type: str, payload: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        seen.append(name)

    class Service:
        async def method(self, event_type: str, payload: dict[str, Any]) -> None:
            seen.append("method")

    handled(
        shop,
        functools.partial(two, "partial"),
        lambda event_type, payload: two("returned by a lambda", event_type, payload),
        Service().method,
    )
    assert seen == ["partial", "returned by a lambda", "method"]


def test_a_handler_that_puts_off_for_no_time_at_all_leaves_the_worker_responsive() -> None:
    shop, calls = Shop(), 0

    async def not_now(event_type: str, payload: dict[str, Any]) -> None:
        nonlocal calls
        calls += 1
        raise RetryLater(0)

    shop.on("order.created", not_now)

    async def main() -> None:
        await shop.publish(1)
        await shop.work(lambda: calls > 100)

    asyncio.run(main())
    assert shop.report.clean
    assert shop.committed() == {}
