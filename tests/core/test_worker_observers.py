"""Observers and transports that go wrong: the first end nothing, the second tell why."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.core.worker_world import FailingTransport, Shop, eventually
from vectis.core import hookimpl
from vectis.core.events import Event
from vectis.core.exceptions import EmitLoopError
from vectis.core.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectis.core import Hub
    from vectis.core.transport import Consumer


async def cancelled_push() -> None:
    """Await what somebody else has cancelled, such as a push whose client has gone."""
    push = asyncio.ensure_future(asyncio.sleep(3600))
    push.cancel()
    await push


class Observer:
    """An observer of every delivery that always fails in the same way."""

    def __init__(self, fail: Callable[[], Any]) -> None:
        self.fail = fail

    @hookimpl
    async def vectis_after_consume(self) -> None:
        await self.fail()

    @hookimpl
    async def vectis_handler_error(self) -> None:
        await self.fail()

    @hookimpl
    async def vectis_dead_letter(self) -> None:
        await self.fail()


class PlainObserver:
    """The same with plain functions."""

    def __init__(self, fail: Callable[[], Any]) -> None:
        self.fail = fail

    @hookimpl
    def vectis_after_consume(self) -> None:
        self.fail()

    @hookimpl
    def vectis_handler_error(self) -> None:
        self.fail()

    @hookimpl
    def vectis_dead_letter(self) -> None:
        self.fail()


def raiser(error: BaseException) -> Callable[[], Any]:
    def fail() -> None:
        raise error

    return fail


def work_with(observer: object) -> Shop:
    """Work with a delivery that fails once, one that always does, and one that passes."""
    shop = Shop(max_attempts=2, plugins={"observer": observer})
    failed: list[int] = []

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        number = payload["n"]
        if number == 2 or (number == 1 and number not in failed):
            failed.append(number)
            raise ValueError("no stock")

    shop.on("order.created", handle)

    async def main() -> None:
        await shop.publish(1, 2, 3)
        await shop.work(lambda: shop.committed() == {0: 3})

    asyncio.run(main())
    return shop


@pytest.mark.parametrize(
    "observer",
    [
        Observer(cancelled_push),
        *(
            kind(raiser(error))
            for kind in (Observer, PlainObserver)
            for error in (
                asyncio.CancelledError(),
                EmitLoopError("in a circle"),
                SystemExit(3),
                GeneratorExit(),
                BaseException("of the base"),
            )
        ),
    ],
)
def test_whatever_an_observer_raises_is_counted_and_the_worker_goes_on(observer: object) -> None:
    shop = work_with(observer)
    assert (shop.report.handled, shop.report.dead_lettered) == (2, 1)
    assert shop.report.clean
    assert dict(shop.hub.lifecycle.errors) == {
        ("vectis_after_consume", "observer"): 3,
        ("vectis_handler_error", "observer"): 3,
        ("vectis_dead_letter", "observer"): 1,
    }


def test_an_alert_that_fails_itself_ends_in_its_own_circle() -> None:
    class Alerts:
        @hookimpl
        async def vectis_handler_error(self, hub: Hub) -> None:
            await hub.emit(Event("alert"))

    async def page(event: Event) -> None:
        raise ConnectionError("the pager is away")

    shop = Shop(plugins={"alerts": Alerts()})
    shop.hub.subscribe("alert", page)
    failed: list[int] = []

    async def handle(event_type: str, payload: dict[str, Any]) -> None:
        if not failed:
            failed.append(payload["n"])
            raise ValueError("once")

    shop.on("order.created", handle)

    async def main() -> None:
        await shop.publish(1, 2)
        await shop.work(lambda: shop.committed() == {0: 2})

    asyncio.run(main())
    assert (shop.report.handled, shop.report.retried) == (2, 1)
    assert shop.hub.lifecycle.errors["vectis_handler_error", "alerts"] > 0


def test_a_failed_push_of_the_status_is_not_the_last_one() -> None:
    told: list[str] = []

    class Pushes:
        @hookimpl
        async def vectis_worker_status(self) -> None:
            told.append("told")
            await cancelled_push()

    shop = Shop(plugins={"pushes": Pushes()})
    shop.on("order.created", lambda event_type, payload: None)
    asyncio.run(shop.work(lambda: len(told) == 2))
    assert shop.report.clean
    assert shop.hub.lifecycle.errors["vectis_worker_status", "pushes"] == len(told)


def test_an_observer_that_does_not_come_back_ends_with_the_worker() -> None:
    told: list[str] = []

    class Hangs:
        @hookimpl
        async def vectis_worker_status(self) -> None:
            told.append("told")
            if len(told) > 1:
                return  # the last word, once everything is closed
            try:
                await asyncio.sleep(3600)
            finally:
                told.append("cancelled")

    shop = Shop(plugins={"hangs": Hangs()})
    shop.on("order.created", lambda event_type, payload: None)
    asyncio.run(shop.work(lambda: bool(told)))
    assert told == ["told", "cancelled", "told"]
    assert dict(shop.hub.lifecycle.errors) == {}


# ---------------------------------------------------------------- the worker's own tasks


class Mistaken(FailingTransport):
    """A transport with a mistake in one of its methods.

    Args:
        method: The consumer's method.
        *errors: What it raises, call by call, once it may.
    """

    def __init__(self, method: str, *errors: BaseException) -> None:
        super().__init__()
        self.method = method
        self.errors = list(errors)
        self.may = asyncio.Event()

    def consumer(self, topics: Any, group: str | None) -> Consumer:
        consumer: Any = super().consumer(topics, group)
        usual = getattr(consumer, self.method)

        async def call(*arguments: Any, **more: Any) -> Any:
            if self.errors and self.may.is_set():
                raise self.errors.pop(0)
            return await usual(*arguments, **more)

        setattr(consumer, self.method, call)
        return consumer  # type: ignore[no-any-return]  # the same object, with a method replaced


def others() -> set[asyncio.Task[Any]]:
    """The tasks beside the one that asks."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


@pytest.mark.parametrize(("method", "task"), [("fetch", "worker"), ("commit", "commits")])
def test_a_task_that_is_cancelled_from_inside_does_not_end_the_worker_without_a_word(
    method: str, task: str
) -> None:
    transport = Mistaken(method, asyncio.CancelledError())
    shop = Shop(transport=transport)

    async def handle(event_type: str, payload: object) -> None:
        transport.may.set()

    shop.on("order.created", handle)

    async def main() -> None:
        await shop.publish(1)
        with pytest.raises(RuntimeError, match=f"vectis-{task} was cancelled, and not by the work"):
            await Worker(shop.hub).run()
        assert others() == set()

    asyncio.run(main())
    assert transport.consumers[0].assignment() == frozenset()


def test_a_last_commit_that_fails_leaves_no_task_behind() -> None:
    shop = Shop(transport=(transport := Mistaken("commit", *[ValueError("a mistake")] * 2)))

    async def handle(event_type: str, payload: object) -> None:
        transport.may.set()

    shop.on("order.created", handle)

    async def main() -> None:
        await shop.publish(1)
        with pytest.raises(ValueError, match="a mistake"):
            await Worker(shop.hub).run()
        assert others() == set()

    asyncio.run(main())


def test_a_worker_that_is_cancelled_twice_leaves_nothing_that_runs_on() -> None:
    shop, began = Shop(), list[int]()

    async def endless(event_type: str, payload: dict[str, Any]) -> None:
        began.append(payload["n"])
        await asyncio.sleep(3600)

    shop.on("order.created", endless)

    async def main() -> Worker:
        await shop.publish(1, 2)
        worker = Worker(shop.hub)
        running = asyncio.ensure_future(worker.run())
        await eventually(lambda: bool(began))
        running.cancel()
        await eventually(lambda: worker.status().state == "draining")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert others() == set()
        return worker

    worker = asyncio.run(main())
    assert began == [1]
    assert len(worker.report.abandoned) == 1
    assert shop.committed() == {}
