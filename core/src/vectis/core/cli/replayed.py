"""How `vectis dlq` shows what a replay or a purge did, or would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from vectis.core.cli.letters import counted
from vectis.core.cli.screen import Styled, line, show_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectis.core.letters.attempt import Became
    from vectis.core.letters.replay import Replay
    from vectis.core.letters.shelf import Waiting

__all__ = ["Planned", "show_became", "show_plan", "show_purged", "show_report"]

_BECAME: dict[Became, tuple[str, str]] = {
    "replayed": ("replayed", "good"),
    "failed_again": ("failed again", "bad"),
    "stays": ("stays", "warn"),
    "unfinished": ("unfinished", "warn"),
    "gone": ("gone", "hint"),
}


@attrs.frozen
class Planned:
    """What a replay would do with a letter.

    Args:
        id: The letter.
        handlers: Who would be called.
        stays: Why nobody would be.
    """

    id: str
    handlers: tuple[str, ...]
    stays: str


def show_became(record: Waiting, became: Became, why: str) -> None:
    """Show what became of a letter."""
    word, style = _BECAME[became]
    line(f"{record.id}  {why}", lead=Styled(word.ljust(14), style))


def show_plan(plan: Sequence[Planned], group: str, topics: Sequence[str], *, as_json: bool) -> None:
    """Show what a replay would do."""
    if as_json:
        show_json(
            {
                "group": group,
                "replay": {one.id: list(one.handlers) for one in plan if not one.stays},
                "stays": {one.id: one.stays for one in plan if one.stays},
            }
        )
        return
    if not plan:
        line(f"nothing to replay: no letters chosen wait for group {group} on {', '.join(topics)}")
        return
    for one in plan:
        if one.stays:
            line(f"{one.id}  {one.stays}", lead=Styled("would stay    ", "warn"))
        else:
            line(f"{one.id}  {', '.join(one.handlers)}", lead=Styled("would replay  ", "good"))
    line()
    stays = sum(bool(one.stays) for one in plan)
    line(f"{counted(len(plan) - stays, 'letter')} would be replayed, {stays:,} would stay")


def show_report(replay: Replay, group: str, topics: Sequence[str], *, as_json: bool) -> None:
    """Show what a replay did."""
    report = replay.report
    if as_json:
        show_json(
            {
                "group": group,
                "letters": {
                    id: {"became": became, "why": why}
                    for id, (became, why) in report.became.items()
                },
                "counts": {became: report.count(became) for became in _BECAME},
                "left": report.left,
                "gave_up": report.gave_up or None,
            }
        )
        return
    if not report.became and not report.left:
        line(f"nothing to replay: no letters chosen wait for group {group} on {', '.join(topics)}")
        return
    counts = [
        f"{report.count(became):,} {'left waiting' if became == 'stays' else word}"
        for became, (word, _) in _BECAME.items()
        if report.count(became) or became == "replayed"
    ]
    if report.left:
        counts.append(f"{report.left:,} not begun")
    line()
    line(Styled(", ".join(counts), "good" if report.clean and not report.left else "warn"))
    if report.gave_up:
        line(
            f"it gave up because {report.gave_up}: mend the handler, or say --max-failures 0 to go "
            "on whatever happens"
        )
    for what in replay.abandoned:
        line(Styled(f"cut off, it comes again: {what}", "warn"))


def show_purged(number: int, group: str) -> None:
    """Show that letters were given up."""
    line(Styled("purged", "good"), f" {counted(number, 'letter')} of group {group}")
