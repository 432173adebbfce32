"""`vectis doctor`: shows what `checks` found, and what to do about it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs
import click

from vectis.core.cli.application import quiet
from vectis.core.cli.checks import examine
from vectis.core.cli.group import module_option
from vectis.core.cli.screen import Styled, line, show_json

if TYPE_CHECKING:
    from vectis.core.cli.check import Check

__all__ = ["doctor"]

_STYLES = {"ok": "good", "warn": "warn", "fail": "bad"}


@click.command()
@module_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def doctor(modules: tuple[str, ...], as_json: bool) -> int:
    """Check that everything fits together, and say what to do.

    Plugins are loaded and the modules of [consumer] modules imported. Only the transport in use is
    connected to, and nothing is stored.

    Exit code 1 when a check failed; warnings leave it at 0.
    """
    quiet("vectis.plugins", "vectis.hub")
    checks = examine(modules)
    counts = Counter(check.status for check in checks)
    if as_json:
        show_json(
            {
                "checks": [attrs.asdict(check) for check in checks],
                "failed": counts["fail"],
                "warnings": counts["warn"],
            }
        )
    else:
        for check in checks:
            _show(check)
        line()
        line(
            Styled(f"{counts['fail']} failed", "bad" if counts["fail"] else "good"),
            f", {counts['warn']} to look at, {counts['ok']} fine",
        )
    return 1 if counts["fail"] else 0


def _show(check: Check) -> None:
    line(
        Styled(check.name, "key"),
        f": {check.message}",
        lead=Styled(check.status.ljust(6), _STYLES[check.status]),
    )
    if check.remedy:
        line(check.remedy, indent=6, lead="-> ")
