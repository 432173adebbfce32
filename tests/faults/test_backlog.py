"""A large backlog is worked off in flat memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.faults.scene import Scene

BULK = 50_000
GROWTH = 16.0  # MB between the first tenth and the end
MOST = 100.0  # MB at any moment

KEYS = 1000

# Of a million steps no trace is kept: each key counts up by itself, and says where it does not.
HANDLERS = f"""
import pathlib
latest = {{}}

@on_event("work.asked")
async def work(event_type: str, payload: dict) -> None:
    key, n = payload["key"], payload["n"]
    expected = latest.get(key, int(key.removeprefix("key-")) - {KEYS}) + {KEYS}
    if n != expected:
        pathlib.Path("wrong").write_text(f"{{key}}: {{n}} came in place of {{expected}}")
    latest[key] = n
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_backlog_is_worked_off_in_flat_memory(scene: Scene, full: bool) -> None:
    count = 1_000_000 if full else 100_000
    scene.configure(plugins={"enable": ["bus", "sqlite"]}, hub={"transport": "sqlite"})
    scene.handlers(HANDLERS)
    for start in range(0, count, BULK):
        scene.publish_bulk([{"key": f"key-{n % KEYS}", "n": n} for n in range(start, start + BULK)])
    worker = scene.worker()
    sizes: list[tuple[int, float]] = []

    def watched() -> bool:
        behind = scene.behind()
        sizes.append((count - behind, worker.resident()))
        return behind == 0

    scene.until(watched, "for the end of the backlog", patience=900)
    early = max((size for done, size in sizes if done <= count / 10), default=sizes[0][1])
    largest = max(size for _, size in sizes)
    print(f"{count} messages: {early:.0f} MB after a tenth, {largest:.0f} MB at most")
    assert worker.stop() == 0, worker.said()
    assert f"{count} handled" in worker.said()
    wrong = scene.folder / "wrong"
    assert not wrong.exists(), wrong.read_text()
    assert largest - early < GROWTH
    assert largest < MOST
