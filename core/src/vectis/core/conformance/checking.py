"""Runs the two children in which a plugin is imported and used, and gathers what they found.

In processes of their own, because a process that has imported a plugin cannot tell any more what
the import did, and because a plugin that ends or blocks its process must not end the check.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vectis.core._environment import variable
from vectis.core.conformance.findings import RULES, Finding, not_checked
from vectis.core.exceptions import PluginError
from vectis.core.plugins import discover, nearest
from vectis.core.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vectis.core.conformance.findings import Rule
    from vectis.core.plugins import Plugin

__all__ = ["check_plugin"]

_IN_USE: tuple[Rule, ...] = ("settings", "handlers", "shutdown")
_TAIL = 300  # characters of what a child said last


def check_plugin(
    name: str,
    *,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    call: bool = False,
    budget: float = 0.1,
    timeout: float = 60.0,
) -> tuple[Finding, ...]:
    """Check an installed plugin against the rules of conformance.

    Args:
        name: The plugin, as its entry point is called.
        config: Tables that it needs to work; of the environment, the variables of its own table
            count as well.
        call: Whether its handlers are called, with made-up events of their event classes. They do
            then what they do: not to be asked for where that matters.
        budget: Seconds that a handler on the bus may take, and that one of the worker may keep the
            event loop from everything else.
        timeout: Seconds that each of the two processes may take.

    Returns:
        What was found, in the order of the rules; faults, and what could not be checked.

    Raises:
        PluginError: No plugin of this name is installed, or two are.

    Example:
        >>> from vectis.core.conformance import check_plugin
        >>> [finding for finding in check_plugin("bus") if finding.fault]
        []
    """
    plugin = _installed(name)
    task = {
        "name": name,
        "module": plugin.module,
        "config": {table: dict(keys) for table, keys in (config or {}).items()},
        "call": call,
        "budget": budget,
        "path": [entry or str(Path.cwd()) for entry in sys.path],
    }
    findings = _child("importing", task, timeout)
    if not _stopped(findings):
        findings += _child("using", task, timeout)
    if _stopped(findings):
        findings += map(not_checked, _IN_USE)
    order = list(RULES)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.rule)))


def _stopped(findings: list[Finding]) -> bool:
    """Tell whether what was found kept the check from going on."""
    return any(finding.rule == "hooks" and finding.fault for finding in findings)


def _installed(name: str) -> Plugin:
    installed = discover()
    found = [plugin for plugin in installed if plugin.name == name]
    if not found:
        near = nearest(name, [plugin.name for plugin in installed])
        raise PluginError(
            f"no plugin {name!r} is installed{near or '; `vectis plugins` lists those that are'}"
        )
    if len(found) > 1:
        both = " and ".join(plugin.distribution for plugin in found)
        raise PluginError(f"{both} both bring a plugin {name!r}: uninstall one")
    return found[0]


def _child(part: str, task: dict[str, Any], timeout: float) -> list[Finding]:
    """Run one child; what it writes counts as a finding when it only imports."""
    own = variable(task["name"])
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("VECTIS_") or key.startswith(own)
    }
    with tempfile.TemporaryDirectory(prefix="vectis-check-") as folder:
        answer = Path(folder, "answer.json")
        here = Path(folder, "here")
        here.mkdir()
        # -B, because the interpreter's own cache of what it compiled is not the plugin's doing.
        command = [sys.executable, "-B", "-W", "ignore", "-c", _START]
        try:
            done = subprocess.run(
                [*command, part, str(answer), json.dumps(task, default=str)],
                cwd=here,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            text = f"{part} it did not end within {timeout:g} s"
            return _broken_off(part, text, "Let nothing wait without a bound, or give a timeout=")
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        try:
            found = [Finding(**each) for each in json.loads(answer.read_text(encoding="utf-8"))]
        except (OSError, ValueError):
            last = one_line(said[-_TAIL:])
            text = f"{part} it ended its process with exit code {done.returncode}: {last}"
            return _broken_off(part, text, "An import, a hook or a handler must not end a process")
    if said and part == "importing":
        advice = "Write nothing on import; log through logging.getLogger(__name__) when it is used"
        found.append(
            Finding("import", f"it writes {one_line(said[:_TAIL])!r} when imported", advice)
        )
    return found


def _broken_off(part: str, text: str, advice: str) -> list[Finding]:
    found = [Finding("hooks", text, advice)]
    return [*found, not_checked("import")] if part == "importing" else found


# The parent's import path first of all: the plugin, and core, may be found there alone.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3])['path']; "
    "from vectis.core.conformance.child import main; main(*sys.argv[1:])"
)
