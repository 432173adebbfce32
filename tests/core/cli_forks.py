"""The command line in forks of one process, for the hundreds of commands that tests run.

Most of what it takes to start `vectis` is the interpreter, what others have written, and coverage.
One process does that once and forks for each command. From there on it is as if the script had been
started: the fork has arguments, an environment, a folder and files of its own, imports all of
Vectis, and ends as an interpreter ends. What a command starts itself is not measured.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

__all__ = ["can_fork", "run"]

PATIENCE = 60  # seconds for one command
TOO_LONG = "too long"
# What commands import that is not ours, and what measures them. None of it starts a thread.
OTHERS = (
    *("asyncio", "concurrent.futures", "difflib", "email.message", "inspect", "logging", "sqlite3"),
    *("tempfile", "tomllib", "traceback", "uuid"),
    *("attrs", "click", "coverage", "importlib_metadata", "packaging.requirements", "pluggy"),
)


def can_fork(variables: Mapping[str, str]) -> bool:
    """Whether a command with these variables may be a fork: none is for the interpreter."""
    return hasattr(os, "fork") and not any(name.startswith("PYTHON") for name in variables)


def run(
    script: Path, *arguments: str, stdin: bytes, cwd: Path, environ: Mapping[str, str]
) -> tuple[int, bytes, bytes]:
    """Run a script; return its exit code and what it wrote, as `subprocess.run` would."""
    with TemporaryDirectory(prefix="command-") as folder:
        given, out, err = (Path(folder, name) for name in ("in", "out", "err"))
        given.write_bytes(stdin)
        command = {
            "argv": [str(script), *arguments],
            "cwd": str(cwd),
            "environ": dict(environ),
            "streams": [str(given), str(out), str(err)],
        }
        stem = _stem()
        stem.write(json.dumps(command) + "\n")
        stem.flush()
        answer = stem.readline().strip()
        if answer == TOO_LONG:
            raise subprocess.TimeoutExpired([script, *arguments], PATIENCE)
        return int(answer), out.read_bytes(), err.read_bytes()


@cache
def _stem() -> TextIO:
    """Start the process that forks, and return what it is asked through; it ends with this one."""
    ours, its = socket.socketpair()
    with ours, its:
        process = subprocess.Popen(
            [sys.executable, __file__, str(its.fileno())],
            stdin=subprocess.DEVNULL,
            env={
                name: value
                for name, value in os.environ.items()
                if name != "PYTHONPATH" and not name.startswith("COVERAGE")
            },
            pass_fds=[its.fileno()],
        )
        stream = ours.makefile("rw", encoding="utf-8")

    def end() -> None:
        stream.close()
        process.wait()

    atexit.register(end)
    return stream


def _serve(stream: TextIO) -> dict[str, Any] | None:
    """Fork for each command and answer how it ended; return in a fork, and when nobody asks."""
    for line in iter(stream.readline, ""):
        child = os.fork()
        if not child:
            command: dict[str, Any] = json.loads(line)
            return command
        stream.write(f"{_end(child)}\n")
        stream.flush()
    return None


def _end(child: int) -> int | str:
    late = False

    def kill(number: int, frame: FrameType | None) -> None:
        nonlocal late
        late = True
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, kill)
    signal.alarm(PATIENCE)
    _, status = os.waitpid(child, 0)
    signal.alarm(0)
    return TOO_LONG if late else os.waitstatus_to_exitcode(status)


def _become(argv: list[str], cwd: str, environ: dict[str, str], streams: list[str]) -> None:
    """Make this process one in which a script begins."""
    import coverage

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for number, file in enumerate(streams):
        opened = os.open(file, os.O_CREAT | os.O_WRONLY if number else os.O_RDONLY)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv[:] = argv
    paths = [path for path in environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:1] = [str(Path(argv[0]).parent), *paths]
    sys.dont_write_bytecode = bool(environ.get("PYTHONDONTWRITEBYTECODE"))
    coverage.process_startup()
    for name in [name for name in os.environ if name.startswith("COVERAGE")]:
        del os.environ[name]


if __name__ == "__main__":
    for other in OTHERS:
        import_module(other)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        asked = _serve(connection.makefile("rw", encoding="utf-8"))
    if asked:
        _become(**asked)
        runpy.run_path(sys.argv[0], run_name="__main__")
