"""Prints what Vectis costs beside its yardsticks and peers, and which of the promised bars hold.

    python tests/bench/run.py [--json FILE] [emit] [start] [messages] [worker] [broker]

Five minutes, most of it for the broker. It exits with 0 whatever it measured: figures of a busy
machine are to be read, and fail no build.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from rich.console import Console
from rich.markup import escape
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, it finds only its own folder

from tests.bench.broker import broker_figures
from tests.bench.emit import emit_figures
from tests.bench.start import start_figures
from tests.bench.throughput import throughput_figures
from tests.bench.wakeup import wakeup_figures
from tests.bench.worker import worker_figures

if TYPE_CHECKING:
    from tests.bench.figures import Figure

PARTS = ("emit", "start", "messages", "worker", "broker")


def main() -> None:
    """Measure, print the table, and write the figures as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Plain)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--rounds", type=int, default=100, help="turns of each emit, 100")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    figures = measure(given.parts or PARTS, given.rounds)
    show(figures)
    if given.json is not None:
        rows = [{**attrs.asdict(figure), "holds": figure.holds} for figure in figures]
        report = {"python": platform.python_version(), "figures": rows}
        given.json.write_text(json.dumps(report, indent=2), encoding="utf-8")


def measure(parts: tuple[str, ...] | list[str], rounds: int) -> list[Figure]:
    """Measure the parts that are named, one after another."""
    screen = Console(stderr=True)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name, screen.status("emit") as status:
        folder = Path(name)
        if "emit" in parts:
            figures += asyncio.run(emit_figures(rounds))
        if "start" in parts:
            status.update("process start: installing the packages, then starting them in turns")
            figures += start_figures(max(3, rounds // 5), folder)
        if "messages" in parts:
            status.update("messages")
            figures += asyncio.run(throughput_figures(max(1, rounds // 20), folder))
            figures += asyncio.run(wakeup_figures(max(20, 5 * rounds), folder))
        if "worker" in parts:
            status.update("worker")
            figures += asyncio.run(worker_figures(max(1, rounds // 20)))
        if "broker" in parts:
            status.update("broker: starting it, then publishing and consuming in turns")
            figures += broker_figures(max(1, rounds // 20), folder)
    return figures


def show(figures: list[Figure]) -> None:
    """Print the table: a section for each group, the yardstick first."""
    table = Table(title=f"Vectis on Python {platform.python_version()}", title_justify="left")
    table.add_column("medians of interleaved rounds", overflow="fold")
    table.add_column("value", justify="right")
    table.add_column("ratio", justify="right")
    table.add_column("bar", justify="right")
    table.add_column("")
    group = ""
    for figure in figures:
        if figure.group != group:
            group = figure.group
            table.add_section()
            table.add_row(f"[bold]{escape(group)}[/bold]")
        table.add_row(
            f"  {escape(figure.name)}",
            f"{figure.value:,.0f} {figure.unit}"
            if figure.value >= 1000
            else f"{figure.value:.3g} {figure.unit}",
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            "" if figure.bar is None else str(figure.bar),
            {None: "", True: "[green]holds[/green]", False: "[red]missed[/red]"}[figure.holds],
        )
    Console().print(table)


class _Plain(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the description as they are."""


if __name__ == "__main__":
    main()
