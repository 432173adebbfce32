"""What a delivery costs: no task, one decoding, and next to no commit."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tests.core.worker_world import Shop, eventually
from vectis.core.events import current_event, current_events
from vectis.core.exceptions import BatchFailed

HOOKS = pytest.mark.parametrize("hooks", [True, False], ids=["hooks", "no hooks"])
MANY = 1000


@HOOKS
@pytest.mark.parametrize("keys", [1, MANY], ids=["one key", "many keys"])
def test_handlers_that_finish_without_waiting_cost_no_task(hooks: bool, keys: int) -> None:
    shop, done, made = Shop(hooks=hooks), 0, 0

    async def first(event_type: str, payload: dict[str, Any]) -> None:
        pass

    async def second(event_type: str, payload: dict[str, Any]) -> None:
        nonlocal done
        done += 1

    shop.on("order.created", first)
    shop.on("order.created", second)

    def counting(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        nonlocal made
        made += 1
        return asyncio.Task(coro, loop=loop, **options)

    async def main() -> None:
        for number in range(MANY):
            await shop.publish(number, key=str(number % keys))
        asyncio.get_running_loop().set_task_factory(counting)
        await shop.work(lambda: done == MANY)

    asyncio.run(main())
    assert shop.report.handled == MANY
    assert made < MANY / 20, "the worker's own, however many deliveries there are"


@HOOKS
@pytest.mark.parametrize("kind", ["async", "in threads", "batch"])
def test_a_delivery_is_decoded_once_for_all_its_handlers(hooks: bool, kind: str) -> None:
    shop, events, payloads = Shop(hooks=hooks), list[Any](), list[Any]()

    def note(payload: Any, event: Any) -> None:
        payloads.append(payload)
        events.append(event)

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        note(payload, current_event())

    async def wait(event_type: str, payload: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        note(payload, current_event())

    def plain(event_type: str, payload: dict[str, Any]) -> None:
        note(payload, current_event())

    async def batch(event_type: str, several: list[dict[str, Any]]) -> None:
        (payload,), (event,) = several, current_events()
        note(payload, event)

    shop.on("order.created", handle)
    if kind == "batch":
        shop.on("order.created", batch, batch=10)
    else:
        shop.on("order.created", wait if kind == "async" else plain)
    shop.on("order.created", handle)

    async def main() -> None:
        await shop.publish(1)
        await shop.work(lambda: len(payloads) == 3)

    asyncio.run(main())
    assert len({id(payload) for payload in payloads}) == 1
    assert len({id(event) for event in events}) == 1


@pytest.mark.parametrize("batch", [None, 10], ids=["one by one", "in batches"])
def test_only_a_further_attempt_decodes_again_since_the_one_before_may_have_changed_it(
    batch: int | None,
) -> None:
    shop, payloads = Shop(hooks=False), list[Any]()

    async def changes_it(event_type: str, payload: Any) -> None:
        (one,) = payload if batch else [payload]
        payloads.append((one, dict(one)))
        one["n"] = "changed"
        if len(payloads) == 1:
            raise BatchFailed({0: ValueError()}) if batch else ValueError("after half of the work")

    async def after(event_type: str, payload: dict[str, Any]) -> None:
        payloads.append((payload, dict(payload)))

    shop.on("order.created", changes_it, batch=batch)
    shop.on("order.created", after)

    async def main() -> None:
        await shop.publish(1)
        await shop.work(lambda: len(payloads) == 3)

    asyncio.run(main())
    (failed, first), (passed, second), (later, _) = payloads
    assert first == second == {"n": 1}
    assert failed is not passed
    assert later is passed


def test_commits_are_as_far_apart_as_was_set_and_one_comes_in_the_end() -> None:
    shop = Shop(partitions=4, commit_interval=3600)
    shop.on("order.created", lambda event_type, payload: None)

    async def main() -> None:
        for number in range(100):
            await shop.publish(number, key=str(number))
        await shop.work(shop.finished(100))

    asyncio.run(main())
    (commit,) = shop.transport.commits
    assert len(commit) == 4
    assert sum(commit.values()) == 100


def test_what_is_finished_in_the_meantime_goes_into_one_commit() -> None:
    shop, handled = Shop(partitions=4, commit_interval=0.05, hooks=False), 0

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        nonlocal handled
        handled += 1

    shop.on("order.created", handle)

    async def main() -> None:
        for number in range(MANY):
            await shop.publish(number, key=str(number))
        async with shop.at_work():
            await eventually(lambda: sum(shop.committed().values()) == MANY)

    asyncio.run(main())
    assert handled == MANY
    assert len(shop.transport.commits) < MANY / 4


def test_a_plain_handler_blocks_nobody() -> None:
    shop, release, seen = Shop(), threading.Event(), list[int]()

    def blocks(event_type: str, payload: dict[str, Any]) -> None:
        assert release.wait(60)

    async def after(event_type: str, payload: dict[str, Any]) -> None:
        seen.append(payload["n"])

    shop.on("order.created", blocks)
    shop.on("order.paid", after)

    async def main() -> None:
        await shop.publish(1, key="a")
        await shop.publish(2, event_type="order.paid", key="b")
        async with shop.at_work():
            await eventually(lambda: seen == [2])
            release.set()
            await eventually(lambda: shop.committed() == {0: 2})

    asyncio.run(main())
