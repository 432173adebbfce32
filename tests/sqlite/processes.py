"""Child processes for the tests: run a script, read its lines, let it go on, have it gone."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def child(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a script in a process of its own; it is gone afterwards, whatever happens.

    It is not measured for coverage: that costs a third of a second each, and most are killed.
    """
    with subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={name: v for name, v in os.environ.items() if not name.startswith("COVERAGE")},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    """Return the next line that the child printed; fail when it has ended instead."""
    assert process.stdout is not None
    text = process.stdout.readline()
    assert text, "the child ended"
    return text.strip()


def say(process: subprocess.Popen[str]) -> None:
    """Let the child go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
