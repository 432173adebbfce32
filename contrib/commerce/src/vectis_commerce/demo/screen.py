"""What a person sees: progress while the demo runs, and the result at the end.

On a terminal with colour and moving bars, in a pipe plain lines. Numbers are computed elsewhere.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from vectis_commerce.demo.letters import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

    from vectis_commerce.demo.check import Reckoning
    from vectis_commerce.demo.letters import Letter
    from vectis_commerce.demo.orders import OrdersFile
    from vectis_commerce.demo.producer import Cancelled
    from vectis_commerce.demo.report import Report, Speed
    from vectis_commerce.demo.run import Plan

__all__ = ["Screen", "Silence"]

_FACTS = 10  # columns before a fact
_FIRST = 5  # of what may be many
_FIRST_DIFFERENCES = 20


class Silence:
    """Shows nothing: `--json` writes the result itself."""

    @contextmanager
    def following(self, plan: Plan) -> Iterator[None]:
        """While the demo runs."""
        yield

    def progress(self, *, done: int, published: int, entered: int) -> None:
        """How far it is."""

    def say(self, text: str) -> None:
        """What happened."""

    def show(self, report: Report) -> None:
        """The result."""


class Screen(Silence):
    """Writes to standard output."""

    def __init__(self, console: Console | None = None) -> None:
        # `highlight` would colour every number on its own.
        self._console = console or Console(highlight=False)
        if not self._console.is_terminal:
            self._console.width = 1_000  # nothing is wrapped that a program may want to read
        self._bars: Progress | None = None
        self._orders: Any = None
        self._entries: Any = None
        self._most = 0

    # ------------------------------------------------------------ while it runs

    @contextmanager
    def following(self, plan: Plan) -> Iterator[None]:
        """Say what is going to happen, and show bars while it does."""
        console, file = self._console, plan.file
        lines = sum(len(order.lines) for order in file.orders)
        total = sum(order.grand_total for order in file.orders)
        console.print(Text("Vectis demo", "bold"))
        self._fact("orders", f"{len(file.orders):,} with {lines:,} lines, {total:,.2f} in total")
        self._fact("from", _shortened(str(file.path), console.width - _FACTS))
        self._fact("folder", _shortened(str(plan.directory), console.width - _FACTS))
        for name, text in plan.transport.facts:
            self._fact(name, _shortened(text, console.width - _FACTS))
        if plan.processes > 1:
            self._fact("workers", f"{plan.processes} processes and their supervisor")
        self._show_broken(file)
        console.print()
        if not console.is_terminal:
            yield
            return
        with Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description:<13}"),
            BarColumn(bar_width=26),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            console=console,
        ) as self._bars:
            self._orders = self._bars.add_task("orders sent", total=len(file.orders), text="")
            self._most = lines + 3 * len(file.orders)
            self._entries = self._bars.add_task("in the ledger", total=self._most, text="")
            yield
        self._bars = None

    def progress(self, *, done: int, published: int, entered: int) -> None:
        """Move the bars."""
        if self._bars is None:
            return
        self._bars.update(self._orders, completed=done, text=f"{done:,} orders")
        self._bars.update(
            self._entries,
            completed=entered,
            # What is cancelled is never published: the end is known when all is sent.
            total=published if done == self._bars.tasks[0].total else self._most,
            text=f"{entered:,} of {published:,}",
        )

    def say(self, text: str) -> None:
        """Print a line, above the bars."""
        self._console.print(Text(f"! {text}", "yellow"))

    # ------------------------------------------------------------ the result

    def show(self, report: Report) -> None:
        """Print the result; the verdict comes last but for the advice."""
        self._show_handlers(report.handlers)
        self._show_cancelled(report.cancelled)
        self._show_speed(report)
        self._show_letters(report)
        self._show_totals(report.reckoning)
        self._show_verdict(report)

    def _show_broken(self, file: OrdersFile) -> None:
        if not file.broken:
            return
        self._console.print(Text(f"  broken  {len(file.broken):,} lines, left out:", "yellow"))
        for line in file.broken[:_FIRST]:
            self._indented(Text(str(line)), 10)
        self._more(len(file.broken), 10)

    def _show_handlers(self, handlers: Sequence[tuple[str, int, str]]) -> None:
        self._heading("Handled inside emit, by plugins of this process, in order of priority")
        table = Table.grid(padding=(0, 2))
        before = ""
        for event_type, priority, handler in handlers:
            table.add_row("" if event_type == before else event_type, f"{priority:>3}", handler)
            before = event_type
        self._indented(table)

    def _show_cancelled(self, cancelled: Sequence[Cancelled]) -> None:
        self._heading(f"Cancelled before anything was published: {len(cancelled):,}")
        if not cancelled:
            return
        table = Table.grid(padding=(0, 2))
        for one in cancelled[:_FIRST]:
            table.add_row(f"order {one.order.order_id}", f"{one.plugin}: {one.reason}")
        self._indented(table)
        self._more(len(cancelled))

    def _show_speed(self, report: Report) -> None:
        self._heading("Speed")
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("")
        for column in ("messages", "seconds", "a second", "p50", "p99"):
            table.add_column(column, justify="right")
        for what, speed in (("publish", report.publish), ("end to end", report.end_to_end)):
            table.add_row(what, *_speed(speed))
        self._indented(table)
        if report.kills:
            kills = len(report.kills)
            times = "once" if kills == 1 else f"{kills} times"
            absorbed = (
                f"{report.redeliveries:,} redeliveries, all absorbed by the ledger"
                if report.redeliveries
                else "no redelivery could be provoked"
            )
            who = "A worker" if report.processes > 1 else "The worker"
            self._indented(Text(f"{who} was killed {times}: {absorbed}."))

    def _show_letters(self, report: Report) -> None:
        letters: Sequence[Letter] = report.letters
        self._heading(f"Dead letters: {count(letters)}")
        for letter in letters[:_FIRST]:
            table = Table.grid(padding=(0, 2))
            for name, text in letter.rows:
                table.add_row(name, Text(text))
            self._indented(table)
        self._more(len(letters))

    def _show_totals(self, reckoning: Reckoning) -> None:
        self._heading("Totals")
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("")
        for column in ("file", "ledger", "cancelled", "difference"):
            table.add_column(column, justify="right")
        for row in reckoning.rows:
            style = "bold red" if row.difference else ""
            numbers = (row.file, row.ledger, row.cancelled, row.difference)
            table.add_row(row.what, *map(_number, numbers), style=style)
        self._indented(table)

    def _show_verdict(self, report: Report) -> None:
        reckoning, console = report.reckoning, self._console
        console.print()
        if not reckoning.matches:
            console.print(
                Text(
                    f"Differs: {len(reckoning.differences):,} things are not as they should be.",
                    "bold red",
                )
            )
            for difference in reckoning.differences[:_FIRST_DIFFERENCES]:
                self._indented(Text(difference))
            self._more(len(reckoning.differences), first=_FIRST_DIFFERENCES)
            return
        verdict = "Matches: file = ledger + cancelled, to the cent and to the piece."
        console.print(Text(verdict, "bold green"))
        left_out = (
            f" {len(report.file.broken):,} broken lines were left out."
            if report.file.broken
            else ""
        )
        console.print(
            f"Every order and line arrived once, every order's changes in sequence.{left_out}"
        )
        console.print()
        self._show_advice(report)

    def _show_advice(self, report: Report) -> None:
        self._heading("Next", blank=False)
        vectis = _how_to_call_vectis(report.folder)
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)  # so that it can be copied as it stands
        table.add_column()
        table.add_row(Text(f"cd {report.folder}", "cyan"), "the config and files of this demo")
        for command, why in _NEXT:
            table.add_row(Text(f"{vectis} {command}", "cyan"), why)
        self._indented(table)
        if report.broker is not None:
            name = report.topics[0].rpartition(".")[0]
            stay = f"The topics {name}.* stay on {report.broker} until you delete them."
            self._console.print()
            self._console.print(stay, soft_wrap=True)

    # ------------------------------------------------------------ pieces

    def _heading(self, text: str, *, blank: bool = True) -> None:
        if blank:
            self._console.print()
        self._console.print(Text(text, "bold"))

    def _fact(self, name: str, text: str) -> None:
        line = Text.assemble((f"  {name:<8}", "dim"), text)
        self._console.print(line, soft_wrap=True)

    def _indented(self, what: Table | Text, by: int = 2) -> None:
        padded = Padding(what, (0, 0, 0, by), expand=False)
        if self._console.is_terminal:
            self._console.print(padded)
            return
        with self._console.capture() as captured:
            self._console.print(padded)
        for line in captured.get().splitlines():
            self._console.print(Text(line.rstrip()))

    def _more(self, count: int, by: int = 2, *, first: int = _FIRST) -> None:
        if count > first:
            self._indented(Text(f"and {count - first:,} more", "dim"), by)


_NEXT = (
    ("explain order.created", "where it goes, and who consumes it"),
    ("plugins --load", "what is installed, and what it adds"),
    ("doctor", "is everything well?"),
    ("dlq list", "the dead letters that wait"),
)


def _how_to_call_vectis(folder: Path) -> str:
    """Return `vectis`, or its path from the folder when it is on no PATH, as without activation."""
    script = Path(sys.argv[0])
    found = shutil.which("vectis")
    if script.name != "vectis" or not script.is_file():
        return "vectis"
    if found is not None and script.samefile(found):
        return "vectis"
    return os.path.relpath(script.absolute(), folder.absolute())


def _shortened(path: str, width: int) -> str:
    """Return the end of a path, whole parts only, in so many columns."""
    while len(path) > width and "/" in path.removeprefix("…/"):
        path = "…/" + path.removeprefix("…/").partition("/")[2]
    return path


def _speed(speed: Speed) -> tuple[str, ...]:
    return (
        f"{speed.messages:,}",
        f"{speed.seconds:.1f}",
        f"{speed.rate:,.0f}",
        f"{speed.p50 * 1000:,.1f} ms",
        f"{speed.p99 * 1000:,.1f} ms",
    )


def _number(value: Decimal) -> str:
    return f"{value:,}"
