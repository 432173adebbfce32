"""`vectis plugins check`: whether a plugin behaves as its host may expect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import click

from vectis.core.cli.screen import Styled, line, show_json
from vectis.core.conformance import RULES, check_plugin
from vectis.core.redact import ended

if TYPE_CHECKING:
    from vectis.core.conformance import Finding

__all__ = ["check"]


@click.command()
@click.argument("name")
@click.option("--call", is_flag=True, help="Call its handlers, with made-up events.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    default=100.0,
    show_default=True,
    metavar="MS",
    help="Milliseconds that a handler may take.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def check(name: str, call: bool, budget: float, as_json: bool) -> int:
    """Check that a plugin behaves as its host may expect.

    It is imported and used in two processes of its own, with the memory transport, and what they
    do beside that is watched. Of the settings those in the variables of its own table count. With
    --call its handlers do what they do, whatever that is; without, their time is not known. They
    are called with events of the classes that are registered here, by it or by another plugin that
    is installed and enabled.

    Exit code 1 when it does not conform, 2 when no installed plugin has this name.
    """
    findings = check_plugin(name, call=call, budget=budget / 1000)
    faults = [finding for finding in findings if finding.fault]
    if as_json:
        show_json(
            {
                "plugin": name,
                "conforms": not faults,
                "rules": {rule: _state(rule, findings) for rule in RULES},
                "findings": [attrs.asdict(finding) for finding in findings],
            }
        )
    else:
        _show(name, findings, len(faults))
    return 1 if faults else 0


_STYLES = {"ok": "good", "fault": "bad", "note": "warn"}


def _state(rule: str, findings: tuple[Finding, ...]) -> str:
    """Return `fault`; `note` when there is only something to know; or `ok`."""
    faults = [finding.fault for finding in findings if finding.rule == rule]
    return "ok" if not faults else "fault" if any(faults) else "note"


def _show(name: str, findings: tuple[Finding, ...], faults: int) -> None:
    for rule, words in RULES.items():
        state = _state(rule, findings)
        line(words, lead=Styled(f"{state:7}", _STYLES[state]))
        for finding in findings:
            if finding.rule == rule:
                lead = "" if finding.fault or state != "fault" else Styled("note: ", "warn")
                line(f"{ended(finding.text)} {finding.advice}", indent=7, lead=lead)
    line()
    line(f"{name} conforms" if not faults else f"{name} does not conform: {faults} to mend")
