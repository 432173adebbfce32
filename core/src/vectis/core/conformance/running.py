"""Runs one part of a check in a process of its own, and tells how that went.

What runs there is `vectis.core.conformance.child`'s.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from vectis.core.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vectis.core.conformance.child import Part

__all__ = ["Ran", "clean", "run"]

_TAIL = 300  # characters of what a child said last


@attrs.frozen
class Ran:
    """How a part of a check went.

    Args:
        answer: What it found out, as JSON; None when it broke off.
        said: What it wrote to stdout and stderr.
        ended: How it broke off, such as `did not end within 60 s`; empty when it did not.
        hung: Whether it was ended because it took too long.
    """

    answer: Any
    said: str = ""
    ended: str = ""
    hung: bool = False


def run(
    part: Part,
    task: Mapping[str, Any],
    *,
    timeout: float,
    environment: Mapping[str, str],
) -> Ran:
    """Run one part of a check.

    Args:
        part: Which one.
        task: What is to be checked.
        timeout: Seconds that it may take.
        environment: Its environment. It begins in an empty folder, which is gone afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="vectis-check-") as folder:
        answer, asked, empty = (Path(folder, name) for name in ("answer.json", "task.json", "here"))
        # A file, since an argument of a process has a bound.
        asked.write_text(json.dumps(task, default=str), encoding="utf-8")
        empty.mkdir()
        # -B, because the interpreter's own cache of what it compiled is not the plugin's doing.
        command = [sys.executable, "-B", "-W", "ignore", "-c", _START]
        try:
            done = subprocess.run(
                [*command, part, str(answer), str(asked)],
                cwd=empty,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Ran(None, ended=f"did not end within {timeout:g} s", hung=True)
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        try:
            return Ran(json.loads(answer.read_text(encoding="utf-8")), said)
        except (OSError, ValueError):
            last = f": {one_line(said[-_TAIL:])}" if said else ", and printed nothing"
            return Ran(None, said, f"ended its process with exit code {done.returncode}{last}")


def clean(own: str) -> dict[str, str]:
    """Return the environment without Vectis's variables, but for those of one table.

    Args:
        own: What these begin with.
    """
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("VECTIS_") or key.startswith(own)
    }


# The parent's import path first of all: the plugin, and core, may be found there alone.
_START = (
    "import json, sys; sys.path[:] = json.load(open(sys.argv[3], encoding='utf-8'))['path']; "
    "from vectis.core.conformance.child import main; main(*sys.argv[1:])"
)
