"""That processes which share a run keep together what belongs together, and lose no report."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ["-n", "2", "--dist", "loadfile"]
# What this run is told must not reach the runs in here.
OURS = ("CI", "COVERAGE", "PYTEST", "VECTIS_")


def run_tests(folder: Path, *options: str, **files: str) -> subprocess.CompletedProcess[str]:
    """Run tests by their files, in a folder of their own with our rule of who shares what."""
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    for name, source in files.items():
        file = folder / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(source), encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "tests.sharing", *options, folder],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


MANY = """
import pytest

@pytest.mark.parametrize("n", range(10))
def test_it(n): ...
"""


def test_files_that_share_something_dear_run_in_one_process(tmp_path: Path) -> None:
    names = ("tests/kafka/test_one", "tests/redpanda/test_two", "tests/bus/test_plain")
    done = run_tests(tmp_path, *SHARED, **dict.fromkeys(names, MANY))
    assert done.returncode == 0, done.stdout
    ran = re.findall(r"\[(gw\d)\].* PASSED .*test_(\w+)\.py", done.stdout)
    assert len(ran) == 30
    where = {file: {worker for worker, of in ran if of == file} for _, file in ran}
    assert where["one"] == where["two"] != where["plain"]
    assert [len(workers) for workers in where.values()] == [1, 1, 1]


def test_what_takes_longest_comes_first(tmp_path: Path) -> None:
    names = ("tests/bus/test_a", "tests/kafka/test_b", "tests/system/test_wheels")
    shared = ("-n", "1", "--dist", "loadfile", "--no-loadscope-reorder")
    done = run_tests(tmp_path, *shared, **dict.fromkeys(names, "def test_it(): ..."))
    assert re.findall(r"PASSED .*test_(\w+)\.py", done.stdout) == ["b", "wheels", "a"]


NOTES_THE_LAST = """
from pathlib import Path

from tests.sharing import is_last_of

def pytest_runtest_teardown(item, nextitem):
    if is_last_of("brokers", item, nextitem):
        with Path("last").open("a") as file:
            file.write(item.nodeid)
"""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("-n", "1", "--dist", "loadfile", "--no-loadscope-reorder"), "two.py::test_it[9]"),
        (("-n", "1", "--dist", "load"), ""),  # others of the group may come later
        ((), ""),
    ],
    ids=["by file", "one by one", "not shared"],
)
def test_a_process_that_is_handed_whole_groups_knows_the_last_test_of_one(
    tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    names = ("tests/kafka/test_one", "tests/redpanda/test_two", "tests/zone/test_plain")
    files = {"conftest": NOTES_THE_LAST, **dict.fromkeys(names, MANY)}
    done = run_tests(tmp_path, *options, **files)
    assert done.returncode == 0, done.stdout
    last = tmp_path / "last"
    assert (last.read_text(encoding="utf-8") if last.exists() else "").endswith(told)
    assert last.exists() == bool(told)


def test_a_file_that_belongs_to_none_is_told_where_to_register(tmp_path: Path) -> None:
    done = run_tests(tmp_path, test_stray="def test_it(wheelhouse): ...")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert "add test_stray.py to 'wheels' of TOGETHER in tests/sharing.py" in done.stderr


def test_half_a_character_in_a_log_reaches_the_other_process(tmp_path: Path) -> None:
    source = """
        import logging

        def test_passes():
            logging.warning("\\ud800")

        def test_fails():
            assert "\\ud800" == "whole"
    """
    done = run_tests(tmp_path, *SHARED, test_halves=source)
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert r"AssertionError: assert '\ud800' == 'whole'" in done.stdout


def test_it_does_without_xdist(tmp_path: Path) -> None:
    done = run_tests(tmp_path, "-p", "no:xdist", test_plain="def test_it(): ...")
    assert done.returncode == 0, done.stdout
