"""`vectis demo` as people run it: real orders, a real worker process, and every way it can end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.demos import DEMO, SHIPPED, TOTALS, demo, environment, result_of, shell, totals_of
from vectis_commerce.demo.folder import FolderError, prepare
from vectis_commerce.demo.orders import read_orders, shipped_orders
from vectis_commerce.demo.run import Plan, assemble, run
from vectis_commerce.demo.transport import SqliteFile

if TYPE_CHECKING:
    from collections.abc import Callable


def worker_is_running(folder: Path) -> bool:
    """Tell whether a process works in the folder, going by what Linux says of each."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder and process.name != str(os.getpid()):
                return True
        except OSError:
            continue  # gone, or somebody else's
    return False


def wait_until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def test_500_real_orders_arrive_to_the_cent_and_to_the_piece(tmp_path: Path) -> None:
    result = result_of(cwd=tmp_path)
    assert result["matches"]
    assert result["differences"] == []
    assert totals_of(result) == TOTALS
    assert {Decimal(row["difference"]) for row in result["totals"].values()} == {0}
    assert result["end_to_end"]["messages"] == 467 * 3 + 3237
    assert len(result["cancelled"]) == 33
    assert result["cancelled"][0]["plugin"] == "guard"
    assert [row["handler"].split(":")[0] for row in result["handlers"]] == [
        "guard",
        "audit",
        "cache",
    ]
    (letter,) = result["dead_letters"]
    assert bytes.fromhex(letter["bytes"]).endswith(b"\xe4\xf6\xfc")
    assert "not UTF-8" in letter["error"]
    assert (result["kills"], result["redeliveries"]) == (0, 0)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Run the demo once, in a pipe, with a worker that is killed; return its output and folder."""
    folder = tmp_path_factory.mktemp("killed")
    done = demo("--kill-worker", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout, folder / "vectis-demo"


def test_a_killed_worker_loses_nothing_and_counts_nothing_twice(killed: tuple[str, Path]) -> None:
    output, _ = killed
    killed_at = re.findall(
        r"killed the worker \(SIGKILL\) at ([\d,]+) entries, with ([\d,]+) messages committed",
        output,
    )
    kills = [[int(number.replace(",", "")) for number in at] for at in killed_at]
    assert kills
    assert all(committed > 0 for _, committed in kills), "killed before anything was committed"
    came_again = re.search(
        r"The worker was killed .*: "
        r"([\d,]+ redeliveries, all absorbed by the ledger|no redelivery could be provoked)",
        output,
    )
    assert came_again
    if came_again[1][0].isdigit():
        # What was committed did not come again; the record that is no event is no entry. The demo
        # kills once more when it has not heard yet that something came again.
        redeliveries = int(came_again[1].split()[0].replace(",", ""))
        assert redeliveries <= sum(entered - committed + 1 for entered, committed in kills)
    for row in TOTALS:
        assert re.search(rf"^  {row} .* 0(\.00)?$", output, re.MULTILINE)
    assert "Matches: file = ledger + cancelled, to the cent and to the piece." in output


def test_of_several_workers_one_is_killed_and_started_again_and_every_cent_is_there(
    tmp_path: Path,
) -> None:
    done = demo("--kill-worker", "--processes", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 processes and their supervisor" in done.stdout
    assert re.search(r"killed worker 1 of 2 \(SIGKILL\) at [\d,]+ entries", done.stdout)
    again = re.search(r"started worker 1 again, as process (\d+)", done.stdout)
    assert again
    assert "A worker was killed" in done.stdout
    for row in TOTALS:
        assert re.search(rf"^  {row} .* 0(\.00)?$", done.stdout, re.MULTILINE)
    assert "Matches: file = ledger + cancelled, to the cent and to the piece." in done.stdout
    log = (tmp_path / "vectis-demo" / "worker.log").read_text(encoding="utf-8")
    assert f"member 1 started as process {again[1]}" in log
    assert "2 members stopped" in log


def test_piped_output_is_plain_and_tells_everything(killed: tuple[str, Path]) -> None:
    output, _ = killed
    assert "\x1b" not in output
    assert not [line for line in output.splitlines() if line != line.rstrip()]
    for said in (
        "500 with 4,846 lines, 13,853.88 in total",
        "Cancelled before anything was published: 33",
        "guard: 330.10 is above the limit of 100.00",
        "audit:Audit.record",
        "Dead letters: 1",
        "not UTF-8",
        "vectis explain order.created",
    ):
        assert said in output


def test_every_command_that_it_advises_works_and_shows_what_ran(killed: tuple[str, Path]) -> None:
    output, folder = killed
    advice = output.split("\nNext\n")[1].splitlines()
    enter, *commands = [re.split(r"  +", line.strip())[0] for line in advice]
    shown = {command: shell(f"{enter} && {command}", folder.parent) for command in commands}
    explained = shown["vectis explain order.created"]
    assert re.search(r"1 +20 +order\.created +audit:Audit\.record", explained)
    assert re.search(r"2 +50 +order\.created +cache:Cache\.add", explained)
    assert "carried by sqlite" in explained
    assert "commerce:enter_order" in explained
    assert "not UTF-8" in shown["vectis dlq list"]


def test_orders_that_are_done_before_the_worker_can_be_killed_are_told(tmp_path: Path) -> None:
    orders = tmp_path / "orders.jsonl"
    orders.write_text(SHIPPED[0], encoding="utf-8")
    done = demo("--kill-worker", "--orders", orders, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the worker was done before it could be killed" in done.stdout


def test_the_folder_that_it_leaves_is_one_that_the_other_commands_work_in(
    killed: tuple[str, Path],
) -> None:
    _, folder = killed
    explained = shell("vectis explain order.pre_create", folder)
    assert re.search(r"1 +10 +order\.pre_create +guard:Guard\.check_total", explained)
    handlers = shell("vectis handlers", folder)
    assert [name for name in re.findall(r"(\w+):\w+", handlers) if name != "commerce"] == [
        "guard",
        "audit",
        "cache",
    ]
    # Git leaves the folder alone, whatever repository it is in.
    assert (folder / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_broken_lines_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    lines = SHIPPED[:20]
    lines[4] = lines[4][:-2]
    lines[9] = (
        lines[9]
        .replace('"grand_total":"', '"grand_total":"9')
        .replace('"grand_total": "', '"grand_total": "9')
    )
    orders = tmp_path / "orders.jsonl"
    orders.write_text("\n".join(lines), encoding="utf-8")
    result = result_of("--orders", orders, cwd=tmp_path)
    assert result["matches"]
    assert [line["number"] for line in result["broken_lines"]] == [5, 10]
    assert "its lines add up to" in result["broken_lines"][1]["reason"]
    assert result["totals"]["orders"]["file"] == "18"


def test_a_limit_decides_what_is_cancelled(tmp_path: Path) -> None:
    orders = tmp_path / "orders.jsonl"
    orders.write_text("\n".join(SHIPPED[:30]), encoding="utf-8")
    everything = result_of("--orders", orders, "--limit", "1000", cwd=tmp_path)
    assert everything["cancelled"] == []
    nothing = result_of("--orders", orders, "--limit", "-1", cwd=tmp_path)
    assert nothing["totals"]["orders"] == {
        "file": "30",
        "ledger": "0",
        "cancelled": "30",
        "difference": "0",
    }


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--orders", "missing.jsonl"], "missing.jsonl cannot be read: No such file"),
        (["--orders", "."], "cannot be read: Is a directory"),
        (["--orders", "empty.jsonl"], "holds no order: it is empty"),
        (["--limit", "much"], "'much' is no amount of money"),
        (["--directory", "."], "holds files that are not of a demo"),
        (["--directory", "empty.jsonl/x"], "cannot be used"),
        (["--unknown"], "No such option"),
    ],
)
def test_what_cannot_be_used_is_refused_with_exit_code_2(
    arguments: list[str], complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "empty.jsonl").touch()
    done = demo(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""  # refused before anything is shown


def test_without_the_bus_it_is_refused_before_anything_is_shown(tmp_path: Path) -> None:
    info = tmp_path / "site" / "vectis_bus-0.1.0.dist-info"  # found before the real one
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vectis-bus\nVersion: 0.1.0\n")
    done = subprocess.run(
        DEMO,
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "the demo needs the plugin 'bus': `pip install ./plugins/bus`" in done.stderr
    assert done.stdout == ""


def test_the_settings_of_whoever_tries_it_stay_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "vectis.toml").write_text('[plugins]\ndisable = ["bus"]\n', encoding="utf-8")
    orders = tmp_path / "orders.jsonl"
    orders.write_text("\n".join(SHIPPED[:3]), encoding="utf-8")
    done = subprocess.run(
        [*DEMO, "--orders", str(orders)],
        cwd=tmp_path,
        env={**environment(), "VECTIS_PLUGINS_DISABLE": "sqlite", "VECTIS_CONSUMER_GROUP": "x"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("number", "code", "processes"),
    [(signal.SIGINT, 130, "1"), (signal.SIGTERM, 143, "1"), (signal.SIGTERM, 143, "2")],
    ids=["Ctrl-C", "SIGTERM", "SIGTERM to several"],
)
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the worker in /proc")
def test_it_takes_its_worker_along_when_it_is_ended(
    number: signal.Signals, code: int, processes: str, tmp_path: Path
) -> None:
    folder = tmp_path / "vectis-demo"
    command = [*DEMO, "--processes", processes]
    running = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE)
    wait_until(lambda: (folder / "ledger.db").exists(), "the worker")
    running.send_signal(number)
    _, said = running.communicate(timeout=60)
    assert running.returncode == code, said
    assert b"the worker has been ended" in said
    assert not worker_is_running(folder)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the worker in /proc")
@pytest.mark.parametrize("processes", ["1", "2"])
def test_workers_whose_demo_was_killed_end_by_themselves(tmp_path: Path, processes: str) -> None:
    folder = tmp_path / "vectis-demo"
    command = [*DEMO, "--processes", processes]
    running = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL)
    wait_until(lambda: (folder / "ledger.db").exists(), "the worker")
    running.kill()
    running.wait()
    wait_until(lambda: not worker_is_running(folder), "the worker to end")


class Meddler:
    """A watcher that does something to the demo, as soon as the ledger lets it be done."""

    def __init__(self, meddle: Callable[[], bool]) -> None:
        self._meddle = meddle
        self.done = False

    def progress(self, *, done: int, published: int, entered: int) -> None:
        if entered and not self.done:
            self.done = self._meddle()

    def say(self, text: str) -> None: ...


def test_a_fault_planted_in_the_ledger_is_found(tmp_path: Path) -> None:
    def take_one_piece() -> bool:
        with sqlite3.connect(tmp_path / "work" / "ledger.db") as ledger:
            taken = ledger.execute("UPDATE adjustments SET delta = delta + 1 WHERE rowid = 1")
        ledger.close()
        return taken.rowcount == 1  # the worker may have entered nothing but orders so far

    meddler = Meddler(take_one_piece)
    plan = Plan(read_orders(shipped_orders()), Decimal("100.00"), tmp_path / "work")
    folder = prepare(plan.directory, plan.transport)
    report = asyncio.run(run(plan, folder, assemble(plan, folder), meddler))
    assert meddler.done
    assert not report.reckoning.matches
    (difference,) = report.reckoning.differences
    assert "the stock adjustment for" in difference
    moved = next(row for row in report.reckoning.rows if row.what == "pieces off stock")
    assert moved.difference == 1


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the worker in /proc")
def test_a_worker_that_dies_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    folder = tmp_path / "vectis-demo"
    running = subprocess.Popen(
        DEMO, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    )

    def killed() -> bool:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cwd").readlink() == folder:
                    os.kill(int(process.name), signal.SIGKILL)
                    return True
            except OSError:
                continue
        return False

    wait_until(killed, "the worker")
    _, said = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "the worker ended by itself with exit code -9" in said
    assert "worker.log" in said


def test_a_new_demo_starts_anew_and_leaves_other_peoples_files_alone(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "demo", SqliteFile())
    folder.ledger.write_text("old", encoding="utf-8")
    (folder.path / "notes.txt").write_text("mine", encoding="utf-8")
    prepare(tmp_path / "demo", SqliteFile())
    assert not folder.ledger.exists()
    assert (folder.path / "notes.txt").read_text(encoding="utf-8") == "mine"
    (tmp_path / "vectis.toml").write_text("# an application's own", encoding="utf-8")
    with pytest.raises(FolderError, match="not of a demo"):
        prepare(tmp_path, SqliteFile())
