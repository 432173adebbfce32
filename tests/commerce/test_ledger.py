"""The ledger of the demo: every event once, however often it comes, and there before it says so."""

from __future__ import annotations

import signal
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from vectis_commerce.demo.ledger import Adjustment, Contents, Ledger, OrderEntry, count, read

if TYPE_CHECKING:
    from pathlib import Path

ORDER: dict[str, Any] = {
    "order_id": "1",
    "grand_total": "3.50",
    "lines": [
        {"product_id": "a", "quantity": 2, "amount": "1.00"},
        {"product_id": "b", "quantity": 0, "amount": "2.50"},
    ],
}
ADJUSTED: dict[str, Any] = {"reference": "1/1", "product_id": "a", "delta": -2}

WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from vectis_commerce.demo.ledger import Ledger

ledger = Ledger(Path(sys.argv[1]))
for n in range(100):
    ledger.record_adjustment(str(n), 0.1, {"reference": f"1/{n}", "product_id": "a", "delta": -n})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_order_is_entered_with_what_its_lines_add_up_to(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.record_order("e1", 0.25, ORDER)
    ledger.record_adjustment("e2", 0.5, ADJUSTED)
    ledger.close()
    contents = read(tmp_path / "ledger.db")
    assert contents.orders == (OrderEntry("1", Decimal("3.50"), 2, Decimal("3.50"), 2),)
    assert contents.adjustments == (Adjustment("1/1", "a", -2),)
    assert contents.seconds == (0.25, 0.5)
    assert count(tmp_path / "ledger.db") == (2, 0)


def test_an_event_that_comes_again_changes_nothing_and_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    for _ in range(3):
        ledger = Ledger(path)  # as a worker that was started again would
        ledger.record_order("e1", 0.25, ORDER)
        ledger.close()
    assert len(read(path).orders) == 1
    assert count(path) == (1, 2)


def test_what_was_entered_survives_the_death_of_the_worker(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    died = subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert [adjustment.delta for adjustment in read(path).adjustments] == [-n for n in range(100)]


def test_a_ledger_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    assert count(path) == (0, 0)
    path.touch()
    assert read(path) == Contents((), (), ())
    assert [found.name for found in tmp_path.iterdir()] == ["ledger.db"]


def test_several_workers_may_open_a_new_ledger_at_the_same_moment(tmp_path: Path) -> None:
    open_it = (
        "import sys; from pathlib import Path; from vectis_commerce.demo.ledger import Ledger; "
        "sys.stdin.readline(); Ledger(Path(sys.argv[1]))"
    )
    for attempt in range(10):
        command = [sys.executable, "-c", open_it, str(tmp_path / f"{attempt}.db")]
        workers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("now\n")
            worker.stdin.flush()
        errors = [worker.communicate()[1] for worker in workers]
        assert [worker.returncode for worker in workers] == [0, 0], errors
