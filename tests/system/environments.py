"""Empty virtual environments, and the folder of wheels that fills them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "vectis-core": "core",
    "vectis-bus": "plugins/bus",
    "vectis-redpanda": "plugins/redpanda",
    "vectis-sqlite": "contrib/sqlite",
    "vectis-commerce": "contrib/commerce",
    "vectis-hub": ".",
}


def ended(
    *command: str | Path, cwd: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command with these variables and nothing that this test run left in the environment."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COVERAGE", "PYTHON", "VECTIS_", "PYTEST"))
    }
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**env, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> str:
    """Run a command as `ended` does; fail with its output."""
    done = ended(*command, cwd=cwd, **variables)
    if done.returncode != 0:
        pytest.fail(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


class Environment:
    """An empty virtual environment and the pip that fills it from the wheelhouse alone."""

    def __init__(self, folder: Path, wheelhouse: Path) -> None:
        self.folder = folder
        self.wheelhouse = wheelhouse
        # pip stays outside; `pip --python` does the same work and saves its own installation.
        run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
        self.python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"

    def pip(self, *arguments: str | Path) -> str:
        return run(sys.executable, "-m", "pip", "--python", self.python, *arguments)

    def install(self, *what: str | Path) -> None:
        self.pip(
            "install", "-q", "--no-compile", "--no-index", "--find-links", self.wheelhouse, *what
        )

    def distributions(self) -> set[str]:
        listing = "from importlib.metadata import distributions as found\n"
        return set(self.run_script(f"{listing}print(*(one.name for one in found()))").split())

    def run_script(self, script: str, **variables: str) -> str:
        # Isolated: neither the working directory nor the user's packages are looked into.
        return run(self.python, "-I", "-W", "error", "-c", script, cwd=self.folder, **variables)

    def vectis(
        self, *arguments: str, cwd: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line that is installed here; its exit code may be any."""
        vectis = self.python.with_name("vectis")
        return ended(vectis, *arguments, cwd=cwd or self.folder, **(environ or {}))
