"""What `vectis doctor` checks of versions: what is installed, and what requires another one.

pip refuses what does not fit when it installs it; afterwards anything can be replaced.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from vectis.core.cli.check import Check
from vectis.core.distributions import installed, normal
from vectis.core.fitting import CORE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.requirements import Requirement

    from vectis.core.plugins import Plugin

__all__ = ["versions"]


def versions(plugins: Iterable[Plugin]) -> Iterator[Check]:
    """Tell the versions of Python, of core and plugins' requirements, and which do not fit.

    Args:
        plugins: Those whose distributions are looked at, besides the core.
    """
    system = (
        f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}"
    )
    yield Check("python", "ok", system)
    core = installed(CORE)
    owners = {CORE: (f"{CORE} {core.version}", core.requires)} if core is not None else {}
    for plugin in plugins:
        if plugin.distribution:
            named = f"{plugin.distribution} {plugin.version}"
            owners.setdefault(normal(plugin.distribution), (named, plugin.requirements))
    found = {} if core is None else {CORE: core.version}
    unmet = []
    for owner, texts in owners.values():
        for requirement in _read(texts):
            there = installed(requirement.name)
            optional = not _wanted(requirement)
            if there is None:
                if not optional:
                    unmet.append((owner, requirement, "it is not installed"))
                continue
            found.setdefault(normal(requirement.name), there.version)
            if not requirement.specifier.contains(there.version, prereleases=True):
                unmet.append((owner, requirement, f"{there.version} is installed"))
    ordered = [CORE, *sorted(found.keys() - {CORE})]
    yield Check(
        "packages", "ok", ", ".join(f"{name} {found[name]}" for name in ordered if name in found)
    )
    for owner, requirement, problem in unmet:
        wanted = f"{requirement.name}{requirement.specifier}"
        yield Check(
            "packages",
            "warn",
            f"{owner} requires {wanted}, and {problem}",
            f'pip install "{wanted}"',
        )


def _read(texts: Iterable[str]) -> Iterator[Requirement]:
    from packaging.requirements import InvalidRequirement, Requirement

    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # about the core it is a quarantine; of others pip has made something
        # One for other systems, or an extra of an extra, says nothing about what is here.
        if _wanted(requirement) or "extra" in str(requirement.marker):
            yield requirement


def _wanted(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})
