"""`vectis demo` as people run it, for several tests: what it is called with, and what comes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from vectis_commerce.demo.orders import shipped_orders

__all__ = ["DEMO", "SHIPPED", "TOTALS", "demo", "environment", "result_of", "shell", "totals_of"]

DEMO = [sys.executable, "-c", "from vectis.core.cli import main; raise SystemExit(main())", "demo"]
SHIPPED = shipped_orders().read_text(encoding="utf-8").splitlines()

# The first 500 orders against the limit of 100.00.
TOTALS = {
    "orders": ("500", "467", "33"),
    "grand total": ("13853.88", "9143.01", "4710.87"),
    "order lines": ("4846", "3237", "1609"),
    "amount of the lines": ("13853.88", "9143.01", "4710.87"),
    "pieces ordered": ("236384", "234273", "2111"),
    "stock adjustments": ("4846", "3237", "1609"),
    "pieces off stock": ("236384", "234273", "2111"),
    "status changes": ("1000", "934", "66"),
}


def environment() -> dict[str, str]:
    """Return the environment, activated, without what would change the output or the config."""
    unwanted = ("VECTIS_", "FORCE_COLOR", "COLUMNS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return {**kept, "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])}


def demo(*arguments: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it in a folder, with variables besides."""
    return subprocess.run(
        [*DEMO, *map(str, arguments)],
        cwd=cwd,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def result_of(*arguments: str | Path, cwd: Path, **variables: str) -> dict[str, Any]:
    """Run it to the end, and return what it wrote as JSON."""
    done = demo("--json", *arguments, cwd=cwd, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def totals_of(result: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    """Return the sums of a result in the form of `TOTALS`."""
    return {
        what: (row["file"], row["ledger"], row["cancelled"])
        for what, row in result["totals"].items()
    }


def shell(command: str, cwd: Path) -> str:
    """Run a line as a person would."""
    done = subprocess.run(
        command,
        shell=True,
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
