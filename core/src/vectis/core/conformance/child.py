"""What runs in a child: one part of the check, whose findings are written to a file as JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from vectis.core.conformance.findings import Finding

__all__ = ["main"]


def main(part: str, answer: str, task: str) -> None:
    """Do one part of a check.

    Args:
        part: `importing` or `using`.
        answer: The file for the findings.
        task: What is to be checked, as JSON.
    """
    wanted: dict[str, Any] = json.loads(task)
    findings: list[Finding]
    if part == "importing":
        from vectis.core.conformance.importing import examine

        findings = examine(wanted["name"], wanted["module"])
    else:
        from vectis.core.conformance.using import use

        findings = use(
            wanted["name"], wanted["config"], call=wanted["call"], budget=wanted["budget"]
        )
    found = [attrs.asdict(finding) for finding in findings]
    Path(answer).write_text(json.dumps(found, default=str), encoding="utf-8")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a thread that was left behind would keep the process from its end
