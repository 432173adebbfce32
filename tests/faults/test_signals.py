"""SIGTERM while handlers run, and a worker that is paused for longer than its lease."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.faults.scene import SHORT_LEASE
from tests.faults.stage import TOPIC

if TYPE_CHECKING:
    from random import Random

    from tests.faults.scene import Scene

KEYS = 12


def _work(count: int) -> list[dict[str, str]]:
    return [{"key": f"key-{n % KEYS}", "id": f"work-{n}"} for n in range(count)]


SLOW = """
@on_event("work.asked")
async def work(event_type: str, payload: dict) -> None:
    await asyncio.sleep(0.02)
"""


def test_after_sigterm_what_runs_is_finished_by_who_began_it(
    scene: Scene, random: Random, full: bool
) -> None:
    times = 30 if full else 3
    scene.handlers(SLOW)
    scene.publish(*_work(40 * times))
    for _ in range(times):
        worker = scene.worker()
        done = len(scene.did("finished")) + random.randint(1, 20)
        _until_begun(scene, done)
        assert worker.stop() == 0, worker.said()
    scene.worker()
    scene.until(lambda: scene.behind() == 0, "for the rest")
    findings = scene.findings()
    assert not findings.problems, findings
    assert _ends(scene, "finished") == _ends(scene, "started"), "who began it has finished it"


def _ends(scene: Scene, what: str) -> list[tuple[str, str]]:
    return sorted((step.worker, step.id) for step in scene.steps() if step.what == what)


def _until_begun(scene: Scene, count: int) -> None:
    scene.until(lambda: len(scene.did("started")) > count, f"for {count} to be begun")


def test_after_sigterm_a_handler_longer_than_the_time_to_drain_comes_again(scene: Scene) -> None:
    scene.configure(consumer={"shutdown_timeout": 0.1})
    scene.handlers(
        """
        @on_event("work.asked")
        async def work(event_type: str, payload: dict) -> None:
            while payload["id"] == "work-3" and not (here / "go").exists():
                await asyncio.sleep(0.01)
        """
    )
    scene.publish(*_work(40))
    worker = scene.worker()
    scene.until(lambda: "work-3" in scene.did("started"), "for the long one")
    assert worker.stop() == 1
    assert "app:work at faults.work/" in worker.said()
    assert "work-3" not in scene.did("finished")
    (scene.folder / "go").touch()
    scene.worker()
    scene.until(lambda: scene.behind() == 0, "for the rest")
    findings = scene.findings()
    assert not findings.problems, findings


def test_a_worker_that_was_paused_past_its_lease_cannot_commit_any_more(scene: Scene) -> None:
    scene.configure(sqlite=SHORT_LEASE)
    scene.handlers(
        """
        @on_event("work.asked")
        async def work(event_type: str, payload: dict) -> None:
            while payload["id"] == "work-3" and not (here / "go").exists():
                await asyncio.sleep(0.01)
        """
    )
    scene.publish(*_work(40))
    paused = scene.worker()
    scene.until(lambda: "work-3" in scene.did("started"), "for the long one")
    paused.signal(signal.SIGSTOP)
    (scene.folder / "go").touch()
    other = scene.worker()
    scene.until(lambda: scene.behind() == 0, "for the other worker")
    before = scene.committed(TOPIC)

    paused.signal(signal.SIGCONT)
    scene.until(
        lambda: any(
            step.worker == paused.name and step.what in ("refused", "revoked")
            for step in scene.steps()
        ),
        "for it to learn that it lost its partitions",
    )
    assert paused.stop() == 0, paused.said()
    assert other.stop() == 0, other.said()
    assert scene.committed(TOPIC) == before
    findings = scene.findings()
    assert not findings.problems, findings
    assert findings.repeated >= 1
    assert findings.across >= 1
    late = [step for step in scene.steps() if step.worker == paused.name and step.what == "refused"]
    assert late, "it finished what it had begun, and tried to commit that"
