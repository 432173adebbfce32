"""What runs in a child: one part of the check, whose answer is written to a file as JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Literal

import attrs

__all__ = ["Part", "main"]

Part = Literal["importing", "elsewhere", "using"]


def main(part: Part, answer: str, task: str) -> None:
    """Do one part of a check.

    Args:
        part: Which one.
        answer: The file for what was found out.
        task: The file that says what is to be checked, as JSON.
    """
    wanted: dict[str, Any] = json.loads(Path(task).read_text(encoding="utf-8"))
    found = _DO[part](wanted)
    Path(answer).write_text(json.dumps(found, default=str), encoding="utf-8")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a thread that was left behind would keep the process from its end


def _importing(wanted: dict[str, Any]) -> Any:
    from vectis.core.conformance.importing import examine

    return [attrs.asdict(one) for one in examine(wanted["name"], wanted["module"])]


def _elsewhere(wanted: dict[str, Any]) -> Any:
    from vectis.core.conformance.elsewhere import look

    return attrs.asdict(look(wanted["name"], Path(wanted["start"])))


def _using(wanted: dict[str, Any]) -> Any:
    from vectis.core.conformance.elsewhere import Elsewhere
    from vectis.core.conformance.using import use

    elsewhere = Elsewhere.of(wanted["elsewhere"]) if wanted["call"] else None
    found = use(wanted["name"], wanted["config"], elsewhere=elsewhere, budget=wanted["budget"])
    return [attrs.asdict(one) for one in found]


_DO = {"importing": _importing, "elsewhere": _elsewhere, "using": _using}
