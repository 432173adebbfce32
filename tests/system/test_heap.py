"""The memory of a worker's own process, in a process of its own: what is tuned stays tuned."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import gc, resource
from vectis.core.worker.heap import tune_heap

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def fetch():  # what a broker sends at once
    for _ in range(20):
        [bytearray(4 << 20) for _ in range(4)]

threshold, frozen = gc.get_threshold()[0], gc.get_freeze_count()  # Python may have some of its own
{tuned}
fetch()
begun = faults()
fetch()
print(faults() - begun, gc.get_freeze_count() > frozen, gc.get_threshold()[0] > threshold)
"""


def run(tuned: str) -> list[str]:
    program = PROGRAM.format(tuned=tuned)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()


@pytest.mark.skipif(
    "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", ()), reason="only glibc is tuned"
)
def test_memory_is_kept_and_cycles_are_looked_for_less_often() -> None:
    pages = (20 * 4 * 4 << 20) // os.sysconf("SC_PAGESIZE")
    faults, frozen, seldom = run("")
    assert (int(faults) > pages / 2, frozen, seldom) == (True, "False", "False")
    faults, frozen, seldom = run("tune_heap()")
    assert (int(faults) < pages / 20, frozen, seldom) == (True, "True", "True")
