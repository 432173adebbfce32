"""A command that is a fork answers as a process that was started does."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.core.cli_forks import can_fork, run
from tests.core.cli_world import World

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not can_fork({}), reason="this system does not fork")

LOOK = """
import json, os, sys
print(json.dumps([
    sys.argv, sys.path, os.getcwd(), sys.stdin.read(), dict(os.environ), sys.flags.dev_mode,
    [stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)],
    sorted(name for name in sys.modules if name.startswith(("vectis", "tests"))),
]))
"""
ENDS = {
    "well": "",
    "with a number": "import sys; sys.exit(3)",
    "with a text": "import sys; sys.exit('no')",
    "by a signal": "import os; os.kill(os.getpid(), 9)",
    "with a last word": "import atexit; atexit.register(print, 'bye'); print('here')",
    "after its threads": "import threading; threading.Timer(0.1, print, ['late']).start()",
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def both(world: World, source: str) -> tuple[tuple[int, str, str], tuple[int, str, str]]:
    """Return how a script ends, and what it writes, as a fork and as a process."""
    script = world.here / "script"
    script.write_text(source)
    environ = {
        name: value
        for name, value in world.environment(SEEN="yes").items()
        if not name.startswith("COVERAGE")
    }
    code, out, err = run(script, "a", "b", stdin=b"said", cwd=world.here, environ=environ)
    real = world.start([sys.executable, str(script), "a", "b"], b"said", environ)
    return (code, out.decode(), err.decode()), (real.code, real.out, real.err)


def test_it_finds_what_a_process_finds(world: World) -> None:
    fork, process = both(world, LOOK)
    assert fork == process
    assert '"said"' in fork[1]


@pytest.mark.parametrize("source", ENDS.values(), ids=ENDS)
def test_it_ends_as_a_process_ends(world: World, source: str) -> None:
    fork, process = both(world, source)
    assert fork == process


def test_commands_leave_nothing_to_those_after_them(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="import os; os.environ['LEFT'] = '1'")
    loaded = world.vectis("plugins", "--load", "--json").json
    assert "acme" in {row["name"] for row in loaded}
    (world.site / "acme.py").write_text("import os; assert 'LEFT' not in os.environ; 1 / 0")
    assert "ZeroDivisionError" in world.vectis("plugins", "--load").out
