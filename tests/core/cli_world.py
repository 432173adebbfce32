"""A small world for tests of the command line: distributions as folders, commands as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs

from tests.core import cli_forks

VECTIS = Path(sys.executable).with_name("vectis")


@attrs.frozen
class Answer:
    """What a command wrote, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class World:
    """A folder with installed distributions and a working directory.

    Args:
        folder: Where everything goes.
    """

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site"
        self.here = folder / "here"
        self.site.mkdir()
        self.here.mkdir()

    def install(
        self,
        name: str,
        *,
        plugin: str = "",
        command: str = "",
        version: str = "1.0",
        **modules: str,
    ) -> None:
        """Install a distribution.

        Args:
            name: The distribution's name.
            plugin: The line of its entry point, such as `acme = acme_audit`.
            command: That of its command.
            version: The distribution's version.
            modules: The source of each of its modules.
        """
        info = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nLong text\n"
        (info / "METADATA").write_text(metadata)
        points = f"[vectis.plugins]\n{plugin}\n" * bool(plugin)
        points += f"[vectis.commands]\n{command}\n" * bool(command)
        (info / "entry_points.txt").write_text(points)
        for module, source in modules.items():
            (self.site / f"{module}.py").write_text(source)

    def config(self, text: str) -> None:
        """Write the config file of the working directory."""
        (self.here / "vectis.toml").write_text(text)

    def module(self, name: str, source: str) -> None:
        """Write a module of the application."""
        (self.here / f"{name}.py").write_text(source)

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment of a command: nothing of Vectis's in it but these variables."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("VECTIS_")}
        kept.pop("NO_COLOR", None)
        # Of a module that is written twice in a second, Python would run the first one, compiled.
        own = {"PYTHONPATH": str(self.site), "PYTHONDONTWRITEBYTECODE": "1"}
        return {**kept, **own, **variables}

    def vectis(self, *arguments: str, **variables: str) -> Answer:
        """Run the command line, in a process of its own that is no terminal."""
        return self.feed(b"", *arguments, **variables)

    def feed(self, stdin: bytes, *arguments: str, **variables: str) -> Answer:
        """Run the command line with something on its stdin."""
        if not cli_forks.can_fork(variables):
            return self.start([str(VECTIS), *arguments], stdin, self.environment(**variables))
        code, out, err = cli_forks.run(
            VECTIS,
            *arguments,
            stdin=stdin,
            cwd=self.here,
            environ=self.environment(**variables),
        )
        return Answer(code, out.decode(), err.decode())

    def python(self, *arguments: str, **variables: str) -> Answer:
        """Run Python in the working directory."""
        return self.start([sys.executable, *arguments], b"", self.environment(**variables))

    def start(self, command: list[str], stdin: bytes, environ: dict[str, str]) -> Answer:
        """Start a program in the working directory, and wait for its end."""
        done = subprocess.run(
            command,
            cwd=self.here,
            env=environ,
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())
