"""Whether a plugin fits the core that is installed, by what its distribution requires of it.

A plugin says `dependencies = ["vectis-core>=0.2,<0.4"]` in its pyproject.toml, the line that pip
reads. pip is not asked again when the core is replaced with `--no-deps` or from a checkout; then it
is this line that keeps a plugin from failing somewhere in the middle. It needs no import.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vectis.core.distributions import installed, normal
from vectis.core.exceptions import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vectis.core.plugins import Plugin

__all__ = ["CORE", "core_version", "quarantine_unfit", "unfit"]

CORE = "vectis-core"

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_PLAIN = re.compile(r"\d+(?:\.\d+)*")
_SIMPLE = re.compile(r"\s*(>=|<=|==|>|<)\s*(\d+(?:\.\d+)*)\s*")
_HOLDS = {
    ">=": lambda order: order >= 0,
    "<=": lambda order: order <= 0,
    "==": lambda order: order == 0,
    ">": lambda order: order > 0,
    "<": lambda order: order < 0,
}


def core_version() -> str:
    """Return the version of the installed core; empty when it was not installed but copied."""
    found = installed(CORE)
    return found.version if found else ""


def unfit(requirements: Iterable[str], version: str) -> str | None:
    """Return the first requirement that this version of the core does not meet, or None.

    Args:
        requirements: Those of a distribution; other packages' are passed over.
        version: The core's.

    Raises:
        ValueError: One about the core is no requirement.

    Example:
        >>> from vectis.core.fitting import unfit
        >>> unfit(["attrs>=23.2", "vectis-core>=0.2,<0.4"], "0.3.1")
        >>> unfit(["attrs>=23.2", "vectis-core>=0.2,<0.4"], "0.4.0")
        'vectis-core>=0.2,<0.4'
    """
    for text in requirements:
        name = _NAME.match(text)
        if name is None or normal(name[1]) != CORE or not version:
            continue
        met = _met_simply(text[name.end() :], version)
        if not (_met(text, version) if met is None else met):
            return text
    return None


def quarantine_unfit(plugins: Iterable[Plugin]) -> None:
    """Set those aside that are enabled and made for another version of the core.

    Args:
        plugins: None of them is imported for it.
    """
    version: str | None = None
    for plugin in plugins:
        if plugin.state != "enabled" or not plugin.requirements:
            continue
        version = core_version() if version is None else version
        try:
            wanted = unfit(plugin.requirements, version)
        except ValueError as error:
            plugin.quarantine(error, "cannot tell which versions of the core it is for")
            continue
        if wanted is not None:
            plugin.quarantine(
                PluginError(
                    f"it is made for another version of the core: it requires {wanted}, and "
                    f"{CORE} {version} is installed",
                    # Not another core: it may be none that the other plugins are made for.
                    remedy=f"install a version of {plugin.distribution} that is made for {CORE} "
                    f"{version}, or {plugin.without}",
                )
            )


def _met_simply(specifier: str, version: str) -> bool | None:
    """Compare plain release numbers; None for what is not that simple.

    Nearly every requirement is, and importing `packaging` takes 25 ms, half as long as a hub.
    """
    if not _PLAIN.fullmatch(version):
        return None
    met = True
    for clause in specifier.split(",") if specifier.strip() else ():
        simple = _SIMPLE.fullmatch(clause)
        if simple is None:
            return None
        met = met and _HOLDS[simple[1]](_order(version, simple[2]))
    return met


def _order(one: str, other: str) -> int:
    left, right = _release(one), _release(other)
    return (left > right) - (left < right)


def _release(version: str) -> list[int]:
    numbers = [int(number) for number in version.split(".")]
    while numbers and numbers[-1] == 0:  # 0.2 and 0.2.0 are the same
        numbers.pop()
    return numbers


def _met(text: str, version: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
    else:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            return True
        return requirement.specifier.contains(version, prereleases=True)
    raise ValueError(f"Requires-Dist: {text} is no requirement: {reason}")
