"""What a worker says about itself, asked from another thread, and what its watchdog reports."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs
import orjson
import pytest

from tests.core.worker_world import FailingTransport, Shop, a_status, eventually
from vectis.core import hookimpl
from vectis.core.blame import Blame
from vectis.core.message import Message
from vectis.core.worker import Worker
from vectis.core.worker.status import LoopStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vectis.core.message import Delivery
    from vectis.core.transport import Consumer
    from vectis.core.worker.status import WorkerStatus

SOON = 0.05  # `[consumer] stuck_after` of these tests, in seconds
DEADLINE = 30.0


def ask(worker: Worker) -> WorkerStatus:
    """Ask for the status in a thread that has nothing to do with the event loop."""
    answers: list[WorkerStatus] = []
    thread = threading.Thread(target=lambda: answers.append(worker.status()))
    thread.start()
    thread.join(DEADLINE)
    return answers[0]


def said(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    return [r.getMessage() for r in caplog.records if text in r.getMessage()]


async def run(
    worker: Worker, until: Callable[[], bool], then: Callable[[], Any] = lambda: None
) -> None:
    running = asyncio.ensure_future(worker.run())
    try:
        await eventually(lambda: until() or running.done())
        then()
    finally:
        worker.stop()
        await running


# ---------------------------------------------------------------- a worker that works


def test_the_status_counts_what_was_done_by_handler_and_knows_its_partitions() -> None:
    shop = Shop(partitions=2, max_attempts=2)

    async def fails_twice(event_type: str, payload: dict[str, Any]) -> None:
        raise ValueError("no")

    async def works(event_type: str, payload: dict[str, Any]) -> None:
        pass

    shop.on("order.created", works)
    shop.on("order.created", fails_twice)
    worker = Worker(shop.hub)
    found: list[WorkerStatus] = []
    assert worker.status().state == "starting"
    assert worker.status().unready == "it is starting"

    async def main() -> None:
        await shop.publish(1)
        await shop.publish(2, event_type="order.unknown")
        done = shop.finished(2)
        await run(
            worker,
            lambda: done() and worker.status().since_commit is not None,
            lambda: found.append(ask(worker)),
        )

    asyncio.run(main())
    (status,) = found
    assert (status.group, status.transport, status.topics) == ("shop", "memory", ("vectis.orders",))
    assert (status.state, status.dead, status.unready) == ("running", "", "")
    assert [(p.topic, p.partition) for p in status.partitions] == [
        ("vectis.orders", 0),
        ("vectis.orders", 1),
    ]
    assert (status.handled, status.skipped, status.dead_lettered, status.retried) == (0, 1, 1, 1)
    by_name = {handler.handler.removeprefix("app:"): handler for handler in status.handlers}
    good, bad = by_name["works"], by_name["fails_twice"]
    assert (good.handled, good.failed, good.retried, good.dead_lettered) == (1, 0, 0, 0)
    assert (bad.handled, bad.failed, bad.retried, bad.dead_lettered) == (0, 2, 1, 1)
    assert status.published == {"acknowledged": 2}
    assert status.since_fetch is not None
    assert (status.running, status.in_flight, status.oldest, status.stuck) == (0, 0, None, ())
    assert worker.status().state == "stopped"


def test_everything_in_the_status_is_json_and_a_key_cannot_forge_a_line() -> None:
    shop, entered = Shop(), threading.Event()

    async def hangs(event_type: str, payload: dict[str, Any]) -> None:
        entered.set()
        await asyncio.sleep(3600)

    shop.on("order.created", hangs)
    shop.hub.lifecycle.errors["vectis_after_emit", "acme"] += 1
    worker = Worker(shop.hub)
    found: list[WorkerStatus] = []

    async def main() -> None:
        value = b'{"event_type": "order.created", "payload": {}}'
        await shop.put(Message("vectis.orders", b"7\nERROR \xff" + b"x" * 999, value))
        running = asyncio.ensure_future(worker.run())
        await eventually(entered.is_set)
        found.append(ask(worker))
        running.cancel()
        await asyncio.wait([running])

    shop.hub.consumer_settings = attrs.evolve(shop.hub.consumer_settings, shutdown_timeout=0)
    worker = Worker(shop.hub)
    asyncio.run(main())
    shown = orjson.loads(orjson.dumps(found[0].as_dict()))
    oldest = shown["oldest"]
    assert oldest["place"] == "vectis.orders/0@0"
    assert oldest["handler"].endswith("hangs")
    assert oldest["key"].startswith("7 ERROR \N{REPLACEMENT CHARACTER}xxx")
    assert len(oldest["key"]) <= 80
    assert shown["hook_errors"] == {"acme vectis_after_emit": 1}
    assert shown["unready"] == ""
    assert datetime.fromisoformat(shown["time"]).tzinfo is not None


def test_plugins_are_told_the_status_with_the_lag() -> None:
    told: list[WorkerStatus] = []

    class Watch:
        @hookimpl
        def vectis_worker_status(self, status: WorkerStatus) -> None:
            told.append(status)

    shop, go = Shop(plugins={"watch": Watch()}, max_in_flight=10), asyncio.Event()

    async def waits(event_type: str, payload: dict[str, Any]) -> None:
        await go.wait()

    shop.on("order.created", waits)
    transport = shop.transport

    async def main() -> None:
        await shop.publish(*range(600))  # more than may be held

        def far_behind() -> bool:
            if any(status.lag == 590 for status in told):
                go.set()
            return go.is_set()

        await shop.work(far_behind)

    asyncio.run(main())
    behind = next(status for status in told if status.lag == 590)
    (partition,) = behind.partitions
    assert (partition.lag, partition.in_flight, partition.paused) == (590, 10, True)
    assert behind.lag_age is not None
    assert behind.oldest is not None
    assert behind.oldest.place == "vectis.orders/0@0"
    assert told[-1].state == "stopped"
    assert transport.consumers


# ---------------------------------------------------------------- one that does not


def test_a_handler_that_hangs_is_reported_once_when_it_begins_and_once_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop, go = Shop(stuck_after=SOON), asyncio.Event()

    async def inner() -> None:
        await go.wait()

    async def hangs(event_type: str, payload: dict[str, Any]) -> None:
        await inner()

    shop.on("order.created", hangs)
    worker = Worker(shop.hub)
    found: list[WorkerStatus] = []

    async def main() -> None:
        for number in range(3):
            await shop.publish(number, key=f"key-{number}")
        running = asyncio.ensure_future(worker.run())
        await eventually(lambda: bool(said(caplog, "hangs at vectis.orders/0@0 is stuck")))
        await eventually(lambda: ask(worker).stuck_count == 3)
        found.append(ask(worker))
        go.set()
        await eventually(lambda: bool(said(caplog, "is not stuck any more")))
        worker.stop()
        await running

    with caplog.at_level(logging.INFO, "vectis.worker"):
        asyncio.run(main())
    (status,) = found
    assert status.oldest is not None
    assert status.oldest.running > SOON
    assert "inner" in status.oldest.where
    assert [(one.key, one.place) for one in status.stuck] == [
        (f"key-{number}", f"vectis.orders/0@{number}") for number in range(3)
    ]
    assert all(one.running > SOON for one in status.stuck)
    assert all("inner" in one.where for one in status.stuck)
    assert status.dead == ""
    report, *_ = said(caplog, "is stuck")  # the others may have come a moment later
    assert "await inner()" in report
    assert "await go.wait()" in report
    assert len(said(caplog, "is not stuck any more")) == 1


def test_the_time_since_the_last_fetch_grows_until_the_next_one() -> None:
    shop = Shop()
    shop.on("order.created", handler_of_nothing)
    worker = Worker(shop.hub)

    def since() -> float:
        seconds = ask(worker).since_fetch
        return -1.0 if seconds is None else seconds

    async def main() -> None:
        running = asyncio.ensure_future(worker.run())
        await eventually(lambda: since() > 0.2)  # long enough to see the next one come
        await shop.publish(1)
        await eventually(lambda: 0 <= since() < 0.1)
        await eventually(lambda: since() > 0.2)
        worker.stop()
        await running

    asyncio.run(main())


async def handler_of_nothing(event_type: str, payload: dict[str, Any]) -> None: ...


def test_another_delivery_that_hangs_in_the_same_handler_is_told_of_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = Shop(stuck_after=SOON)

    async def hangs(event_type: str, payload: dict[str, Any]) -> None:
        await asyncio.sleep(3600)

    shop.on("order.created", hangs)
    worker = Worker(shop.hub)

    async def main() -> None:
        await shop.publish(1, key="key-1")
        running = asyncio.ensure_future(worker.run())
        await eventually(lambda: bool(said(caplog, "hangs at vectis.orders/0@0 is stuck")))
        await shop.publish(2, key="key-2")
        await eventually(lambda: bool(said(caplog, "hangs at vectis.orders/0@1 is stuck")))
        running.cancel()
        await asyncio.wait([running])

    with caplog.at_level(logging.INFO, "vectis.worker"):
        asyncio.run(main())
    _, second = said(caplog, "is stuck")
    assert "and 1 more of its deliveries" in second


def test_a_plain_handler_that_hangs_in_its_thread_is_reported_with_that_threads_stack(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop, go = Shop(stuck_after=SOON), threading.Event()

    def hangs(event_type: str, payload: dict[str, Any]) -> None:
        go.wait(DEADLINE)

    shop.on("order.created", hangs)
    worker = Worker(shop.hub)

    async def main() -> None:
        await shop.publish(1)
        running = asyncio.ensure_future(worker.run())
        await eventually(lambda: bool(said(caplog, "is stuck")))
        (stuck,) = ask(worker).stuck
        go.set()
        await eventually(lambda: bool(said(caplog, "is not stuck any more")))
        worker.stop()
        await running
        assert stuck.handler.endswith("hangs")
        assert "hangs" in stuck.where

    with caplog.at_level(logging.INFO, "vectis.worker"):
        asyncio.run(main())
    (report,) = said(caplog, "is stuck")
    assert "go.wait(DEADLINE)" in report


def test_a_batch_handler_that_hangs_is_named(caplog: pytest.LogCaptureFixture) -> None:
    shop, go = Shop(stuck_after=SOON), threading.Event()

    def hangs(event_type: str, payloads: Sequence[dict[str, Any]]) -> None:
        go.wait(DEADLINE)

    shop.hub.on_event("order.created", hangs, topic="vectis.orders", batch=10)
    worker = Worker(shop.hub)

    async def main() -> None:
        await shop.publish(1, key="1")
        await shop.publish(2, key="2")
        running = asyncio.ensure_future(worker.run())
        await eventually(lambda: bool(said(caplog, "is stuck")))
        status = ask(worker)
        go.set()
        worker.stop()
        await running
        assert [one.key for one in status.stuck] == ["1", "2"]
        assert all("hangs" in one.where for one in status.stuck)

    with caplog.at_level(logging.INFO, "vectis.worker"):
        asyncio.run(main())
    (report,) = said(caplog, "is stuck")
    assert "and 1 more of its deliveries" in report


def test_a_handler_that_blocks_the_loop_is_named_while_it_does_with_its_stack(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop, go = Shop(stuck_after=SOON), threading.Event()
    found: list[WorkerStatus] = []

    async def blocks(event_type: str, payload: dict[str, Any]) -> None:
        go.wait(DEADLINE)

    shop.on("order.created", blocks)
    worker = Worker(shop.hub)

    def look() -> None:
        """In another thread: nobody on the loop could."""
        patience = threading.Event()
        while not said(caplog, "now by handler app:blocks") and not patience.wait(0.002):
            pass
        while not worker.status().dead and not patience.wait(0.002):
            pass
        found.append(worker.status())
        go.set()

    async def main() -> None:
        await shop.publish(1)
        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        running = asyncio.ensure_future(worker.run())
        await eventually(lambda: bool(found) and bool(said(caplog, "the event loop runs again")))
        worker.stop()
        await running
        thread.join(DEADLINE)

    with caplog.at_level(logging.INFO, "vectis.worker"):
        asyncio.run(main())
    (status,) = found
    assert status.loop.blocked > SOON
    assert status.loop.by.endswith("blocks at vectis.orders/0@0")
    assert "blocks" in "\n".join(status.loop.stack)
    assert "the event loop has been blocked for" in status.dead
    assert status.unready == status.dead
    assert [one.place for one in status.stuck] == ["vectis.orders/0@0"]
    assert status.oldest is not None
    assert status.oldest.handler == "app:blocks"
    assert status.oldest.running > SOON
    assert "in test_a_handler_that_blocks" in status.oldest.where
    (report,) = said(caplog, "now by handler app:blocks at vectis.orders/0@0")
    assert "go.wait(DEADLINE)" in report
    assert worker.status().loop.blocked == 0.0


def test_a_batch_handler_that_blocks_the_loop_is_told_of_all_its_deliveries(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop, go = Shop(stuck_after=SOON), threading.Event()
    found: list[WorkerStatus] = []

    async def blocks(event_type: str, payloads: Sequence[dict[str, Any]]) -> None:
        go.wait(DEADLINE)

    shop.hub.on_event("order.created", blocks, topic="vectis.orders", batch=10)
    worker = Worker(shop.hub)

    def look() -> None:
        patience = threading.Event()
        while not said(caplog, "now by handler app:blocks") and not patience.wait(0.002):
            pass
        found.append(worker.status())
        go.set()

    async def main() -> None:
        await shop.publish(1, key="1")
        await shop.publish(2, key="2")
        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        running = asyncio.ensure_future(worker.run())
        await eventually(lambda: bool(found))
        worker.stop()
        await running
        thread.join(DEADLINE)

    with caplog.at_level(logging.INFO, "vectis.worker"):
        asyncio.run(main())
    (status,) = found
    assert status.running == 2
    assert status.oldest is not None
    assert status.oldest.running > SOON
    assert "blocks" in status.oldest.where


@pytest.mark.parametrize("kind", ["awaits", "blocks", "in a thread"])
def test_a_stack_begins_with_the_handler_also_when_it_is_timed(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    blame = Blame()
    shop = Shop(stuck_after=SOON, observers=[blame])
    released, go = threading.Event(), asyncio.Event()
    found: list[WorkerStatus] = []

    async def blocks(event_type: str, payload: dict[str, Any]) -> None:
        released.wait(DEADLINE)

    async def awaits(event_type: str, payload: dict[str, Any]) -> None:
        await go.wait()

    def in_a_thread(event_type: str, payload: dict[str, Any]) -> None:
        released.wait(DEADLINE)

    handler = {"awaits": awaits, "blocks": blocks, "in a thread": in_a_thread}[kind]
    shop.on("order.created", handler)
    worker = Worker(shop.hub)
    worker.measure(blame)

    def look() -> None:
        patience = threading.Event()
        while not (said(caplog, "is stuck") or said(caplog, "now by handler")):
            patience.wait(0.002)
        found.append(worker.status())
        released.set()

    async def main() -> None:
        await shop.publish(1)
        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        running = asyncio.ensure_future(worker.run())
        await eventually(lambda: bool(found))
        go.set()
        worker.stop()
        await running
        thread.join(DEADLINE)

    with caplog.at_level(logging.INFO, "vectis.worker"):
        asyncio.run(main())
    (report,) = [r for r in caplog.messages if "is stuck" in r or "now by handler" in r]
    first = report.splitlines()[1]
    assert f"{handler.__code__.co_filename}" in first
    assert handler.__name__ in first
    assert "blame.py" not in report
    assert found[0].oldest is not None
    assert handler.__name__ in found[0].oldest.where


def test_a_transport_that_is_away_makes_the_worker_unready_but_not_dead() -> None:
    shop = Shop(stuck_after=3600)
    shop.on("order.created", lambda event_type, payload: None)
    shop.transport.failing = {"fetch"}
    worker = Worker(shop.hub)

    async def main() -> None:
        running = asyncio.ensure_future(worker.run())
        await eventually(lambda: "the broker is away" in ask(worker).unready)
        assert ask(worker).dead == ""
        shop.transport.failing = set()
        await eventually(lambda: ask(worker).unready == "")
        worker.stop()
        assert ask(worker).unready == "it is draining"
        await running

    asyncio.run(main())


class SilentTransport(FailingTransport):
    """One whose fetch neither answers nor fails until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    def consumer(self, topics: Sequence[str], group: str | None) -> Consumer:
        consumer: Any = super().consumer(topics, group)
        fetch = consumer.fetch

        async def silent(*, max_records: int, timeout: float) -> list[Delivery]:
            await self.go.wait()
            deliveries: list[Delivery] = await fetch(max_records=max_records, timeout=0)
            return deliveries

        consumer.fetch = silent
        return consumer  # type: ignore[no-any-return]  # the same object, with a method replaced


def test_a_fetch_that_never_comes_back_is_reported_and_makes_the_worker_dead(
    caplog: pytest.LogCaptureFixture,
) -> None:
    transport = SilentTransport()
    shop = Shop(transport=transport, stuck_after=SOON)
    shop.on("order.created", lambda event_type, payload: None)
    worker = Worker(shop.hub)

    async def main() -> None:
        running = asyncio.ensure_future(worker.run())
        await eventually(lambda: bool(said(caplog, "a fetch should have come back")))
        assert ask(worker).dead.startswith("a fetch should have come back")
        transport.go.set()
        await eventually(lambda: bool(said(caplog, "fetches come back again")))
        await eventually(lambda: ask(worker).unready == "")
        worker.stop()
        await running

    with caplog.at_level(logging.INFO, "vectis.worker"):
        asyncio.run(main())
    assert len(said(caplog, "a fetch should have come back")) == 1


# ---------------------------------------------------------------- what follows from a status


@pytest.mark.parametrize(
    ("values", "dead", "unready"),
    [
        ({}, "", ""),
        ({"partitions": ()}, "", ""),
        ({"state": "starting"}, "", "it is starting"),
        ({"state": "draining"}, "", "it is draining"),
        ({"state": "stopped"}, "", "it is stopped"),
        ({"since_fetch": None}, "", "it has not fetched yet"),
        ({"fetch_error": "gone"}, "", "it cannot fetch: gone"),
        ({"overdue": 59.0}, "", ""),
        ({"overdue": 61.0}, *["a fetch should have come back 61 s ago"] * 2),
        ({"overdue": 61.0, "state": "draining"}, "", "it is draining"),
        ({"loop": LoopStatus(blocked=59.0)}, "", ""),
        (
            {"loop": LoopStatus(blocked=61.0, by="app:sync at vectis.orders/0@7")},
            *["the event loop has been blocked for 61 s by app:sync at vectis.orders/0@7"] * 2,
        ),
    ],
)
def test_dead_and_unready_follow_from_the_rest(
    values: dict[str, Any], dead: str, unready: str
) -> None:
    status = a_status(**values)
    assert (status.dead, status.unready) == (dead, unready)
