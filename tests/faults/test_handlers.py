"""Handlers at their worst: one hangs, one blocks the event loop, one raises what none should."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.scene import SHORT_LEASE
from tests.faults.stage import TOPIC

if TYPE_CHECKING:
    from tests.faults.scene import Scene

LEASE = 1.5


def _work(count: int, keys: int = 12) -> list[dict[str, str]]:
    return [{"key": f"key-{n % keys}", "id": f"work-{n}"} for n in range(count)]


def _finished(scene: Scene) -> bool:
    return scene.behind() == 0


def test_a_handler_that_hangs_holds_its_key_and_its_offset_and_nobody_else(scene: Scene) -> None:
    scene.configure(sqlite=SHORT_LEASE)
    scene.handlers(
        """
        @on_event("work.asked")
        async def work(event_type: str, payload: dict) -> None:
            if payload["id"] == "work-5" and not (here / "mended").exists():
                await asyncio.Event().wait()
        """
    )
    work = _work(60)
    scene.publish(*work)
    hangs = scene.worker()
    others = {one["id"] for one in work if one["key"] != "key-5"}
    scene.until(lambda: others <= set(scene.did("finished")), "for all other keys")
    assert "work-5" in scene.did("started")
    (bad,) = [step for step in scene.steps() if step.what == "started" and step.id == "work-5"]
    assert scene.committed(TOPIC).get(bad.partition, 0) <= bad.offset
    (scene.folder / "mended").touch()
    hangs.kill()
    scene.worker()
    scene.until(lambda: _finished(scene), "for the rest")
    findings = scene.findings()
    assert not findings.problems, findings


def test_a_handler_that_blocks_the_event_loop_past_the_lease_keeps_its_partitions(
    scene: Scene,
) -> None:
    scene.handlers(
        f"""
        @on_event("work.asked")
        async def work(event_type: str, payload: dict) -> None:
            if payload["id"] == "work-5":
                time.sleep({2 * LEASE})
        """
    )
    scene.configure(sqlite={"lease": LEASE})
    first, second = scene.worker(), scene.worker()
    scene.until(lambda: len(_holders(scene)) == 2, "for both to hold partitions")
    before = _assignments(scene)
    scene.publish(*_work(60))
    scene.until(lambda: _finished(scene), "for everything")
    assert _assignments(scene) == before
    assert [first.stop(), second.stop()] == [0, 0]
    findings = scene.findings()
    assert not findings.problems, findings
    assert findings.repeated == 0


def _assignments(scene: Scene) -> list[tuple[str, int, int]]:
    return [
        (step.worker, step.partition, step.generation)
        for step in scene.steps()
        if step.what == "assigned"
    ]


def _holders(scene: Scene) -> set[str]:
    held: dict[int, str] = {}
    for step in scene.steps():
        if step.what == "assigned":
            held[step.partition] = step.worker
        elif step.what == "revoked":
            held.pop(step.partition, None)
    return set(held.values()) if len(held) == 8 else set()


ERRORS = ("SystemExit(3)", "KeyboardInterrupt()", "asyncio.CancelledError()", "Own()")


@pytest.mark.parametrize("define", ["async def", "def"])
def test_whatever_a_handler_raises_it_gets_a_letter_and_the_worker_goes_on(
    scene: Scene, define: str
) -> None:
    scene.configure(consumer={"max_attempts": 2})
    scene.handlers(
        f"""
        class Own(BaseException):
            pass

        def errors():
            return [{", ".join(ERRORS)}]

        @on_event("work.asked")
        {define} work(event_type: str, payload: dict) -> None:
            number = int(payload["id"].removeprefix("work-"))
            if number < len(errors()):
                raise errors()[number]
        """
    )
    scene.publish(*_work(30))
    worker = scene.worker()
    scene.until(lambda: _finished(scene), "for everything")
    assert worker.stop() == 0, worker.said()
    bad = [f"work-{number}" for number in range(len(ERRORS))]
    assert sorted(scene.did("set aside")) == bad
    assert sorted(scene.did("failed")) == sorted(bad * 2)
    findings = scene.findings()
    assert not findings.problems, findings


def test_while_a_dead_letter_cannot_be_written_its_offset_waits(scene: Scene) -> None:
    scene.configure(consumer={"max_attempts": 1}, sqlite=SHORT_LEASE)
    scene.handlers(
        """
        @on_event("work.asked")
        async def work(event_type: str, payload: dict) -> None:
            if payload["id"] == "work-5":
                raise ValueError("never")
        """
    )
    scene.publish(*_work(60))
    refused = scene.folder / "letters-refused"
    refused.touch()
    worker = scene.worker()
    scene.until(lambda: len(scene.did("letter refused")) >= 3, "for three tries")
    (bad,) = [step for step in scene.steps() if step.what == "failed"]
    assert scene.committed(TOPIC).get(bad.partition, 0) <= bad.offset

    worker.kill()  # not even now is it skipped
    worker = scene.worker()
    tries = len(scene.did("letter refused"))
    scene.until(lambda: len(scene.did("letter refused")) > tries, "for another try")
    assert scene.committed(TOPIC).get(bad.partition, 0) <= bad.offset
    refused.unlink()
    scene.until(lambda: _finished(scene), "for everything")
    assert worker.stop() == 0, worker.said()
    assert scene.did("set aside") == ["work-5"]
    findings = scene.findings()
    assert not findings.problems, findings
