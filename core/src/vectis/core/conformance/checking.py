"""Runs the children in which a plugin is imported and used, and gathers what they found.

In processes of their own, because a process that has imported a plugin cannot tell any more what
the import did, and because a plugin that ends or blocks its process must not end the check.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vectis.core._environment import variable
from vectis.core.conformance.findings import RULES, Finding, not_checked
from vectis.core.conformance.running import clean, run
from vectis.core.exceptions import PluginError
from vectis.core.fitting import quarantine_unfit
from vectis.core.plugins import discover, nearest
from vectis.core.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vectis.core.conformance.findings import Rule
    from vectis.core.conformance.running import Ran
    from vectis.core.plugins import Plugin

__all__ = ["check_plugin"]

_IN_USE: tuple[Rule, ...] = ("settings", "handlers", "shutdown")
_SHOWN = 300  # characters of what an import writes


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
            then what they do: not to be asked for where that matters. For classes that others
            register, the plugins that are installed and enabled here are loaded as well, in a third
            process; what is wrong with them is no fault of this one.
        budget: Seconds that a handler on the bus may take, and that one of the worker may keep the
            event loop from everything else.
        timeout: Seconds that each of the processes may take.

    Returns:
        What was found, in the order of the rules; of each first the faults, and then what could not
        be checked.

    Raises:
        PluginError: No plugin of this name is installed, or two are.

    Example:
        >>> from vectis.core.conformance import check_plugin
        >>> [finding for finding in check_plugin("bus") if finding.fault]
        []
    """
    plugin = _installed(name)
    quarantine_unfit([plugin])
    if plugin.state == "quarantined":  # before it is imported, which would fail somewhere
        advice = plugin.remedy[:1].upper() + plugin.remedy[1:]
        unfit = Finding("hooks", f"it is quarantined: {plugin.reason}", advice)
        return _sorted([unfit, not_checked("import"), *map(not_checked, _IN_USE)])
    task = {
        "name": name,
        "module": plugin.module,
        "config": {table: dict(keys) for table, keys in (config or {}).items()},
        "call": call,
        "budget": budget,
        "path": [entry or str(Path.cwd()) for entry in sys.path],
        "start": str(Path.cwd()),
    }
    environment = clean(variable(name))
    findings = _importing(run("importing", task, timeout=timeout, environment=environment))
    if not _stopped(findings):
        if call:
            task["elsewhere"] = _elsewhere(task, timeout)
        findings += _using(run("using", task, timeout=timeout, environment=environment))
    if _stopped(findings):
        findings += map(not_checked, _IN_USE)
    return _sorted(findings)


def _sorted(findings: list[Finding]) -> tuple[Finding, ...]:
    order = list(RULES)
    return tuple(sorted(findings, key=lambda one: (order.index(one.rule), not one.fault)))


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


def _importing(ran: Ran) -> list[Finding]:
    if ran.answer is None:
        return [_broken_off("importing", ran), not_checked("import")]
    found = [Finding(**each) for each in ran.answer]
    if ran.said:
        advice = "Write nothing on import; log through logging.getLogger(__name__) when it is used"
        text = f"it writes {one_line(ran.said[:_SHOWN])!r} when imported"
        found.append(Finding("import", text, advice))
    return found


def _elsewhere(task: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Ask the other plugins, with the config and the environment that they have here."""
    ran = run("elsewhere", task, timeout=timeout, environment=os.environ)
    if ran.answer is None:
        return {"examples": [], "silent": [], "failure": f"loading them {ran.ended}"}
    answer: dict[str, Any] = ran.answer
    return answer


def _using(ran: Ran) -> list[Finding]:
    if ran.answer is None:
        return [_broken_off("using", ran)]
    return [Finding(**each) for each in ran.answer]


def _broken_off(part: str, ran: Ran) -> Finding:
    advice = "An import, a hook or a handler must not end a process"
    if ran.hung:
        advice = "Let nothing wait without a bound, or give a timeout="
    return Finding("hooks", f"{part} it {ran.ended}", advice)
