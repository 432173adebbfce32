"""Workers that come and go while events are published: nothing is lost, every key in order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.orders import plan, publications
from tests.faults.trace import sent_in, steps_of
from vectis_commerce.demo.orders import read_orders

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.scene import Scene

HANDLERS = """
async def work(event_type: str, payload: dict) -> None:
    await asyncio.sleep({pause})

for type in ("order.created", "order.status_changed", "inventory.adjusted"):
    on_event(type)(work)
"""


@pytest.mark.parametrize("order", ["key", "partition"])
def test_two_workers_that_join_and_leave_in_turn_lose_nothing(
    scene: Scene, orders_file: Path, full: bool, order: str
) -> None:
    # Handlers wait so that there is work to do until the last turn: a key's come one by one.
    turns, pace, pause = (15, 2.0, 0.1) if full else (3, 0.0, 0.02)
    scene.configure(consumer={"order": order})
    scene.handlers(HANDLERS.format(pause=pause))
    planned = plan(read_orders(orders_file).orders)
    workers = [scene.worker(), scene.worker()]
    publisher = scene.publisher(orders_file)
    for turn in range(turns):
        until = time.monotonic() + pace
        scene.until_at_work(*workers)
        time.sleep(max(until - time.monotonic(), 0))  # the pace is what is asked for
        leaving = workers[turn % 2]
        assert leaving.stop() == 0, leaving.said()
        workers[turn % 2] = scene.worker()
    scene.until_at_work(*workers)
    scene.until(
        lambda: publisher.popen.poll() == 0 and scene.behind() == 0, "for the rest", patience=600
    )
    assert [worker.stop() for worker in workers] == [0, 0]
    steps = steps_of(scene.folder)
    left = [step.at for step in steps if step.what == "gone"][:turns]
    meanwhile = [step for step in steps if step.what == "finished" and left[0] < step.at < left[-1]]
    assert meanwhile, "nothing was handled while members came and went"
    findings = scene.findings(publications(planned, sent_in(scene.folder)))
    assert not findings.problems, findings
    if order == "partition":
        # Otherwise what was finished above a delivery that had not begun yet comes again.
        assert findings.repeated == 0, "who leaves in good order commits what it finished"
