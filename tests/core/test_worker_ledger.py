"""Every handler has attempts of its own: the worker against a model too simple to be wrong."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any, Literal, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.worker_world import Shop
from vectis.core.exceptions import BatchFailed, Reject, RetryLater

Step = Literal["fail", "later", "reject"]
Kind = Literal["async", "waits", "plain", "batch"]
Call = tuple[int, int]  # delivery, handler

ATTEMPTS = 3
ERRORS: dict[Step, Exception] = {
    "fail": ValueError("it fails"),
    "later": RetryLater(0),
    "reject": Reject("never"),
}

scripts = st.lists(st.sampled_from(get_args(Step)), max_size=4)
"""What a handler does with a delivery, one step an attempt; after the last step it passes."""


def expected(script: list[Step]) -> tuple[int, int, bool]:
    """Return how often a handler is called, how often it is retried, and whether it gives up."""
    failed = 0
    for calls, step in enumerate(script, 1):
        if step == "reject":
            return calls, failed, True
        failed += step == "fail"
        if failed == ATTEMPTS:
            return calls, failed - 1, True
    return len(script) + 1, failed, False


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(get_args(Kind)), min_size=1, max_size=3),
    deliveries=st.lists(
        st.tuples(st.sampled_from("ab"), st.lists(scripts, min_size=3, max_size=3)),
        min_size=1,
        max_size=6,
    ),
    hooks=st.booleans(),
    concurrency=st.integers(1, 4),
)
def test_every_handler_is_called_as_often_as_it_takes_and_no_other_one_again(
    kinds: list[Kind],
    deliveries: list[tuple[str, list[list[Step]]]],
    hooks: bool,
    concurrency: int,
) -> None:
    shop = Shop(
        max_attempts=ATTEMPTS,
        retry_initial=0,
        concurrency=concurrency,
        hooks=hooks,
        dead_letters_per_minute=0,
    )
    left = {
        (number, handler): list(script)
        for number, (_, of_handlers) in enumerate(deliveries)
        for handler, script in enumerate(of_handlers[: len(kinds)])
    }
    plan = {call: expected(script) for call, script in left.items()}
    called: dict[str, list[Call]] = defaultdict(list)

    def attempt(number: int, handler: int) -> Exception | None:
        called[deliveries[number][0]].append((number, handler))
        script = left[number, handler]
        return ERRORS[script.pop(0)] if script else None

    for handler, kind in enumerate(kinds):
        shop.on("order.created", _handler(kind, handler, attempt), batch=_size(kind))

    async def main() -> None:
        for number, (key, _) in enumerate(deliveries):
            await shop.publish(number, key=key)
        await shop.work(lambda: shop.committed() == {0: len(deliveries)})

    asyncio.run(main())
    for key, calls in called.items():
        # One delivery of a key after another, and for each one handler after another.
        assert calls == [
            call for call in plan if deliveries[call[0]][0] == key for _ in range(plan[call][0])
        ]
    given_up = [call for call, (_, _, gives_up) in plan.items() if gives_up]
    report = shop.report
    assert report.dead_lettered == len({number for number, _ in given_up})
    assert report.handled == len(deliveries) - report.dead_lettered
    assert report.retried == sum(retried for _, retried, _ in plan.values())
    letters = asyncio.run(shop.letters()) if given_up else []
    assert len(letters) == len(given_up)


def _size(kind: Kind) -> int | None:
    return 3 if kind == "batch" else None


def _handler(kind: Kind, handler: int, attempt: Any) -> Any:
    async def at_once(event_type: str, payload: dict[str, Any]) -> None:
        if error := attempt(payload["n"], handler):
            raise error

    async def waits(event_type: str, payload: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        await at_once(event_type, payload)

    def plain(event_type: str, payload: dict[str, Any]) -> None:
        if error := attempt(payload["n"], handler):
            raise error

    async def batch(event_type: str, payloads: list[dict[str, Any]]) -> None:
        errors = {at: attempt(payload["n"], handler) for at, payload in enumerate(payloads)}
        failed = {at: error for at, error in errors.items() if error is not None}
        if failed:
            raise BatchFailed(failed)

    return {"async": at_once, "waits": waits, "plain": plain, "batch": batch}[kind]
