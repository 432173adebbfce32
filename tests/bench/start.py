"""What starting costs, measured as whole processes in an environment such as a user has (on POSIX).

The packages are installed as wheels there: an editable one costs every start of Python a little.
"""

from __future__ import annotations

import os
import subprocess
import textwrap
import venv
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from tests.bench.figures import Figure, of_rounds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["start_figures"]

ROOT = Path(__file__).parents[2]
_PACKAGES = ["./core", "./plugins/bus", "./plugins/redpanda"]

_FACADE = "from vectis.core.events import Event, event_bus"
_ATTRS = "import attrs"
_FIRST_EMIT = "up to the first emit"
_PARTS = "import asyncio, attrs, pluggy, importlib_metadata"
_LISTED = "vectis plugins, {count} distributions"

_EMIT = """
    import asyncio
    from vectis.core.events import Event, event_bus

    async def handler(event):
        pass

    async def main():
        event_bus.subscribe("order.created", handler)
        await event_bus.emit(Event("order.created", {"order_id": 7}))

    asyncio.run(main())
"""


def start_figures(rounds: int, folder: Path) -> list[Figure]:
    """Measure imports, the first emit, and the list of plugins among few and many distributions.

    Args:
        rounds: How often each process is started.
        folder: An empty one, for the environment and the distributions.

    Raises:
        subprocess.CalledProcessError: The packages cannot be installed, or a process failed.
    """
    python = _environment(folder / "environment")
    few, many = _LISTED.format(count=20), _LISTED.format(count=300)
    commands: dict[str, Sequence[str]] = {
        _ATTRS: [python, "-c", _ATTRS],
        _FACADE: [python, "-c", _FACADE],
        _PARTS: [python, "-c", _PARTS],
        _FIRST_EMIT: [python, "-c", textwrap.dedent(_EMIT)],
        few: [str(Path(python).parent / "vectis"), "plugins"],
        many: [str(Path(python).parent / "vectis"), "plugins"],
    }
    paths = {few: _distributions(folder / "few", 20), many: _distributions(folder / "many", 300)}
    passed: dict[str, list[float]] = {name: [] for name in commands}
    busy: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            times = _run(command, folder, paths.get(name))
            if number > 0:  # the first round fills the caches of files and bytecode
                passed[name].append(times[0])
                busy[name].append(times[1])

    figures = []
    bars = ((_FACADE, _ATTRS, 1.3), (_FIRST_EMIT, _PARTS, 1.6), (many, few, 2.0))
    for group, seconds, held in (
        ("process start, time passed", passed, True),
        ("process start, processor time (steadier on a busy machine)", busy, False),
    ):
        for name, yardstick, bar in bars:
            figures += [
                of_rounds(group, yardstick, seconds, unit="ms"),
                of_rounds(
                    group,
                    name,
                    seconds,
                    yardstick=yardstick,
                    bar=bar if held else None,
                    unit="ms",
                ),
            ]
    return figures


def _environment(folder: Path) -> str:
    """Make a virtual environment with the core and the default plugins; return its Python."""
    venv.create(folder, with_pip=True)
    python = str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", "constraints.txt", *_PACKAGES], cwd=ROOT, check=True)
    return python


def _distributions(folder: Path, count: int) -> Path:
    """Write the metadata of distributions as an installer leaves it: each tenth one is a plugin."""
    for number in range(count):
        name = f"acme-{number:03}"
        info = folder / f"acme_{number:03}-1.0.dist-info"
        info.mkdir(parents=True)
        description = "What it is for, how to install it, and how to use it.\n" * 100
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n\n{description}", encoding="utf-8"
        )
        group = "console_scripts" if number % 10 else "vectis.plugins"
        (info / "entry_points.txt").write_text(
            f"[{group}]\n{name} = acme_{number:03}:main\n", encoding="utf-8"
        )
    return folder


def _run(command: Sequence[str], folder: Path, distributions: Path | None) -> tuple[float, float]:
    """Run a process to its end; return the seconds that passed, and those of the processor."""
    environment = _without_settings(os.environ)
    if distributions is not None:
        environment["PYTHONPATH"] = str(distributions)
    start = perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    passed = perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return passed, usage.ru_utime + usage.ru_stime


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(("PYTHON", "VECTIS_"))
    }
