"""SIGKILL of workers and publishers at random moments, on real orders."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.orders import plan, publications
from tests.faults.scene import SHORT_LEASE
from tests.faults.trace import sent_in
from vectis_commerce.demo import ledger
from vectis_commerce.demo.check import reckon
from vectis_commerce.demo.orders import read_orders

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tests.faults.scene import Scene
    from tests.faults.stage import Process

HANDLERS = "vectis_commerce.demo.consumer"
TRACED = 400  # bytes of trace for one message, roughly: sent, handled, committed
TRACED_BARE = 130  # only sent
AT_START = 0.2  # of the kills hit a process that has only just begun

AT_PUBLISHER = 0.4  # of the kills, as long as there is one


@pytest.mark.parametrize("bare", [False, True], ids=["recorded", "bare"])
def test_the_ledger_is_exact_however_often_a_worker_or_the_publisher_is_killed(
    scene: Scene, orders_file: Path, random: Random, full: bool, bare: bool
) -> None:
    kills = 50 if full else 3
    scene.configure(sqlite=SHORT_LEASE)
    orders = read_orders(orders_file).orders
    planned = plan(orders)
    traced = len(planned) * (TRACED_BARE if bare else TRACED)
    workers = [scene.worker(HANDLERS, bare=bare), scene.worker(HANDLERS, bare=bare)]
    publisher = scene.publisher(orders_file)

    for moment in sorted(random.uniform(0, traced) for _ in range(kills)):
        _until_due(scene, publisher, moment)
        if random.random() < AT_START:
            time.sleep(random.uniform(0, 0.5))  # no condition to wait for: any moment will do
        if publisher.popen.poll() is None and random.random() < AT_PUBLISHER:
            publisher.kill()
            publisher = scene.publisher(orders_file)
        else:
            victim = random.randrange(len(workers))
            workers[victim].kill()
            workers[victim] = scene.worker(HANDLERS, bare=bare)

    scene.until(lambda: _all_done(scene, publisher), "for the rest", patience=600)
    scene.until_at_work(*workers)
    assert [worker.stop() for worker in workers] == [0, 0]
    if not bare:  # nobody wrote down what bare workers did, and the ledger speaks for itself
        findings = scene.findings(publications(planned, sent_in(scene.folder)))
        assert not findings.problems, findings
    reckoning = reckon(orders, (), ledger.read(scene.folder / "ledger.db"))
    assert reckoning.matches, reckoning.differences[:10]


def test_the_ledger_is_exact_however_often_members_of_a_supervised_group_are_killed(
    scene: Scene, orders_file: Path, random: Random, full: bool
) -> None:
    if not full:
        pytest.skip("in full only: a test of the demo kills one member")
    scene.configure(sqlite=SHORT_LEASE)
    orders = read_orders(orders_file).orders
    traced = len(plan(orders)) * TRACED_BARE
    # One process for the scenario: nobody can tell in a trace which of the members it was.
    supervisor = scene.worker(HANDLERS, "--processes", "3", bare=True)
    publisher = scene.publisher(orders_file)
    for moment in sorted(random.uniform(0, traced) for _ in range(12)):
        _until_due(scene, publisher, moment)
        scene.until(lambda: _members(scene, supervisor), "for a member that lives")
        number, pid = random.choice(sorted(_members(scene, supervisor).items()))
        os.kill(pid, signal.SIGKILL)
        death = f"member {number} (process {pid}) was killed by SIGKILL"
        _until_said(scene, supervisor, death)
    scene.until(lambda: _all_done(scene, publisher), "for the rest", patience=600)
    scene.until(lambda: len(_members(scene, supervisor)) == 3, "for all to live again")
    reckoning = reckon(orders, (), ledger.read(scene.folder / "ledger.db"))
    assert reckoning.matches, reckoning.differences[:10]
    assert supervisor.stop() == 0, supervisor.said()


def _until_said(scene: Scene, process: Process, text: str) -> None:
    scene.until(lambda: text in process.said(), f"for {text!r}")


def _members(scene: Scene, supervisor: Process) -> dict[int, int]:
    """Return the processes of the members that live, as the supervisor tells of them."""
    told = re.findall(
        r"member (\d+) (?:started as process |\(process )(\d+)(\))?", supervisor.said()
    )
    last = {int(number): (int(pid), bool(died)) for number, pid, died in told}
    return {number: pid for number, (pid, died) in last.items() if not died}


def _until_due(scene: Scene, publisher: Process, moment: float) -> None:
    scene.until(lambda: _traced(scene) > moment or _all_done(scene, publisher), "to kill")


def _traced(scene: Scene) -> int:
    return sum(file.stat().st_size for file in scene.folder.glob("*.trace"))


def _all_done(scene: Scene, publisher: Process) -> bool:
    return publisher.popen.poll() == 0 and scene.behind() == 0
