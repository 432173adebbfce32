"""That no broker is left behind, whatever ends the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.kafka.leash import Leashed

ROOT = Path(__file__).parents[2]

PARENT = """
import os, signal, sys
from pathlib import Path
from tests.kafka.leash import Leashed

child = Leashed(["sleep", "600"], Path.cwd(), sys.stdout.buffer)
child.popen.send_signal(signal.SIGSTOP)
print("there", flush=True)
signal.pause()
"""


def test_a_child_ends_when_its_parent_is_killed_even_when_it_was_paused() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"there\n"
        parent.kill()
        # The child holds the other end as well: the output ends when both are gone.
        assert parent.stdout.read() == b""


def test_a_child_that_has_ended_leaves_nothing_to_kill(tmp_path: Path) -> None:
    with (tmp_path / "output").open("wb") as output:
        child = Leashed(["sh", "-c", "echo done; exit 3"], tmp_path, output)
        assert child.wait(30) == 3
    assert (tmp_path / "output").read_bytes() == b"done\n"
