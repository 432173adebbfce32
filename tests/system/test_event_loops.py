"""A worker on another event loop than asyncio's own, as a process with signals."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.system.workers import NEEDS_UVLOOP, ORDERS, refused

if TYPE_CHECKING:
    from tests.system.workers import Place

UVLOOP = '"uvloop"'


@NEEDS_UVLOOP
class TestUvloop:
    def test_it_runs_the_handlers(self, place: Place) -> None:
        place.config(event_loop=UVLOOP)
        place.module(
            """
            @on_event("order.created")
            async def handle(event_type: str, payload: dict) -> None:
                record(type(asyncio.get_running_loop()).__module__, payload["n"])
            """
        )
        place.publish({"n": 1})
        worker = place.start()
        place.until_handled(1)
        assert worker.stop() == 0
        assert place.handled() == ["uvloop 1"]

    def test_a_signal_ends_it_while_nothing_happens(self, place: Place) -> None:
        place.config(event_loop=UVLOOP)
        place.module(ORDERS)
        worker = place.start()
        worker.until_said("consuming ")
        assert worker.stop() == 0
        assert worker.report == "0 handled, 0 skipped, 0 dead letters, 0 retries"

    def test_a_handler_that_blocks_it_is_told_and_a_second_signal_leaves(
        self, place: Place
    ) -> None:
        place.config(event_loop=UVLOOP, stuck_after=0.5)
        place.module(
            """
            @on_event("order.created")
            async def sync_erp(event_type: str, payload: dict) -> None:
                while True:
                    time.sleep(0.01)
            """
        )
        place.publish({"n": 1})
        worker = place.start()
        worker.until_said("time.sleep(0.01)")
        assert "sync_erp" in worker.said()

        def gone() -> bool:
            worker.signal(signal.SIGTERM)
            return worker.process.poll() is not None

        place.until(gone, "for it to leave")
        assert worker.end() == 128 + signal.SIGTERM


def test_one_that_is_not_installed_is_refused_with_what_to_install(place: Place) -> None:
    place.config(event_loop=UVLOOP)
    place.module(ORDERS)
    site = place.folder / "site"
    site.mkdir()
    (site / "uvloop.py").write_text("raise ModuleNotFoundError(\"No module named 'uvloop'\")\n")
    answer = place.run("shop_handlers")
    refused(answer, "No module named 'uvloop'", "pip install uvloop")
