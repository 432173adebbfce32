"""What commands show: tables and lines for people, JSON for programs.

On a terminal rich draws them; piped they are plain aligned text, every name whole, no colours.
rich is imported only on a terminal, and never sees markup: names and errors may hold anything.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import attrs
import click

from vectis.core.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console
    from rich.text import Text

__all__ = [
    "NOTHING",
    "Styled",
    "heading",
    "line",
    "note",
    "on_terminal",
    "show_json",
    "table",
    "warn",
]

_GAP = 2  # spaces between columns
_LONGEST = 2_000  # characters of one cell; a cause can be a whole page of HTML

STYLES = {
    "bad": "bold red",
    "good": "green",
    "hint": "dim",
    "key": "bold",
    "warn": "yellow",
}


@attrs.frozen
class Styled:
    """Text with a meaning that a terminal shows as a colour.

    Args:
        text: What is written, in any case.
        style: `good`, `warn`, `bad`, `hint` or `key`.
    """

    text: str
    style: str


Cell = str | Styled

NOTHING = Styled("-", "hint")
"""A cell without anything to say."""


def on_terminal() -> bool:
    """Tell whether a person reads this on a terminal that can do more than lines of text."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def show_json(value: Any) -> None:
    """Write a value as indented JSON with sorted keys, the same bytes for the same value."""
    import orjson

    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    click.echo(orjson.dumps(value, default=str, option=options))


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    indent: int = 0,
    spill: Sequence[str] = (),
) -> None:
    """Show rows under column titles.

    Args:
        columns: The titles.
        rows: As many cells each; `Styled` ones in their colour on a terminal.
        indent: Spaces in front of every line.
        spill: Columns that a terminal too narrow for all shows below their row, as many as needed
            in this order; cells of style `hint` are then left out.
    """
    if not on_terminal():
        _plain_table(columns, rows, indent)
        return
    room = _console().width - indent
    for count in range(len(spill) + 1):
        kept = [place for place, title in enumerate(columns) if title not in spill[:count]]
        if sum(_widths(columns, rows, kept)) - _GAP <= room:
            _padded(columns, rows, kept, indent)
            return
    _folded(columns, rows, indent)


def heading(text: str) -> None:
    """Show the title of what follows, after an empty line."""
    line()
    line(Styled(text, "key"))


def line(*parts: Cell, indent: int = 0, lead: Cell = "") -> None:
    """Show one paragraph made of parts; a terminal wraps it, a pipe does not.

    Args:
        parts: Written one after another, without anything in between.
        indent: Spaces in front, of the wrapped lines too.
        lead: What comes first; wrapped lines begin below what follows it.
    """
    if not on_terminal():
        click.echo((" " * indent + "".join(map(_clean, (lead, *parts)))).rstrip())
        return
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    text = Text.assemble(*map(_text, parts))
    if not text and not lead:
        _console().print()  # padding around nothing would print nothing
    elif not lead:
        _console().print(Padding(text, (0, 0, 0, indent), expand=False))
    else:
        grid = Table.grid()
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(_text(lead), text)
        _console().print(Padding(grid, (0, 0, 0, indent), expand=False))


def note(text: str) -> None:
    """Write a remark to stderr, so that stdout stays what was asked for."""
    click.echo(_clean(text), err=True)


def warn(text: str) -> None:
    """Write a warning to stderr."""
    note(f"Warning: {text}")


def _plain_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], indent: int) -> None:
    texts = [list(columns)] + [[_clean(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        padded = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        click.echo((" " * indent + "  ".join(padded)).rstrip())


def _widths(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], places: Iterable[int]
) -> list[int]:
    from rich.cells import cell_len

    return [
        max(cell_len(columns[place]), *(cell_len(_clean(row[place])) for row in rows), 0) + _GAP
        for place in places
    ]


def _padded(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], places: Sequence[int], indent: int
) -> None:
    from rich.text import Text

    widths = _widths(columns, rows, places)
    spilled = [place for place in range(len(columns)) if place not in places]
    shown = []
    for number, row in enumerate([[Styled(title, "hint") for title in columns], *rows]):
        text = Text(" " * indent)
        for place, width in zip(places, widths, strict=True):
            cell = _text(row[place])
            text.append_text(cell).append(" " * (width - cell.cell_len))
        text.rstrip()
        shown.append(text)
        for place in spilled if number else ():
            if _worth_a_line(row[place]):
                below = Text(" " * (indent + 4)).append(f"{columns[place]} ", STYLES["hint"])
                shown.append(below.append_text(_text(row[place])))
    # All at once: rich takes a millisecond for every call.
    _console().print(Text("\n").join(shown), overflow="fold")


def _worth_a_line(cell: Cell) -> bool:
    return not (isinstance(cell, Styled) and cell.style == "hint")


def _folded(columns: Sequence[str], rows: Sequence[Sequence[Cell]], indent: int) -> None:
    from rich.padding import Padding
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, header_style="dim", padding=(0, _GAP, 0, 0))
    for title in columns:
        drawn.add_column(title, overflow="fold")
    for row in rows:
        drawn.add_row(*map(_text, row))
    _console().print(Padding(drawn, (0, 0, 0, indent), expand=False))


def _text(cell: Cell) -> Text:
    from rich.text import Text

    style = STYLES[cell.style] if isinstance(cell, Styled) else ""
    return Text(_clean(cell), style=style, overflow="fold")


def _clean(cell: Cell) -> str:
    text = cell.text if isinstance(cell, Styled) else cell
    if text.isprintable() and len(text) <= _LONGEST:
        return text  # keeps spaces as they are, which one_line would only do for short ones
    return one_line(text, limit=_LONGEST)


@lru_cache(maxsize=1)
def _console() -> Console:
    from rich.console import Console

    # The highlighter would colour numbers and quotes in other people's words.
    return Console(highlight=False, markup=False, emoji=False)
