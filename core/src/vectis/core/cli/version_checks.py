"""What `vectis doctor` checks of versions: what is installed, and what requires another one.

pip refuses what does not fit when it installs it; afterwards anything can be replaced.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import attrs

from vectis.core.cli.check import Check
from vectis.core.distributions import installed, normal
from vectis.core.fitting import CORE
from vectis.core.obtaining import FOLDERS, installing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

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
    owners = _owners(plugins)
    found: dict[str, str] = {}
    needs: list[_Need] = []
    for owner in owners:
        for requirement in _read(owner.requires):
            there = installed(requirement.name)
            if there is not None:
                found.setdefault(normal(requirement.name), there.version)
            if there is not None or _wanted(requirement):
                needs.append(_Need(owner, requirement, there.version if there else None))
    if owners and owners[0].name == CORE:
        found[CORE] = owners[0].version
    ordered = [CORE, *sorted(found.keys() - {CORE})]
    yield Check(
        "packages", "ok", ", ".join(f"{name} {found[name]}" for name in ordered if name in found)
    )
    for need in needs:
        if need.met or need.owner.disabled:
            continue
        problem = f"{need.version} is installed" if need.version else "it is not installed"
        said = f"{need.owner} requires {need}, and {problem}"
        yield Check("packages", "warn", said, _advice(need, needs))


@attrs.frozen
class _Owner:
    """A distribution that requires others: the core, or that of plugins."""

    name: str
    version: str
    requires: tuple[str, ...]
    plugins: tuple[Plugin, ...] = ()

    @property
    def disabled(self) -> bool:
        return bool(self.plugins) and all(p.state == "disabled" for p in self.plugins)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@attrs.frozen
class _Need:
    """What a distribution requires of another one, of which a version is installed or none."""

    owner: _Owner
    requirement: Requirement
    version: str | None

    @property
    def met(self) -> bool:
        specifier = self.requirement.specifier
        return self.version is not None and specifier.contains(self.version, prereleases=True)

    def __str__(self) -> str:
        return f"{self.requirement.name}{self.requirement.specifier}"


def _owners(plugins: Iterable[Plugin]) -> list[_Owner]:
    core = installed(CORE)
    owners = {CORE: _Owner(CORE, core.version, core.requires)} if core is not None else {}
    for plugin in plugins:
        if not plugin.distribution:
            continue
        name = normal(plugin.distribution)
        first = owners.get(name) or _Owner(plugin.distribution, plugin.version, plugin.requirements)
        owners[name] = attrs.evolve(first, plugins=(*first.plugins, plugin))
    return list(owners.values())


def _advice(need: _Need, needs: list[_Need]) -> str:
    """Say how to meet a requirement without taking from others what they require."""
    name = normal(need.requirement.name)
    others = [
        other
        for other in needs
        if other.owner.name != need.owner.name and normal(other.requirement.name) == name
    ]
    together = need.requirement.specifier
    for other in others:
        together &= other.requirement.specifier
    if name == CORE:
        return f"{CORE} {need.version} is what all plugins run on: {_instead(need)}"
    if need.owner.plugins and not _possible(together):
        clash = next(
            (
                o
                for o in others
                if not _possible(need.requirement.specifier & o.requirement.specifier)
            ),
            others[0] if others else None,
        )
        return f"{clash.owner} requires {clash}: {_instead(need)}" if clash else _instead(need)
    if name in FOLDERS:
        return installing(name)
    wanted = together if _possible(together) else need.requirement.specifier
    return f'pip install "{need.requirement.name}{wanted}"'


def _instead(need: _Need) -> str:
    names = " ".join(plugin.name for plugin in need.owner.plugins)
    return f"install a version of {need.owner.name} that fits, or `vectis plugins disable {names}`"


def _possible(specifier: SpecifierSet) -> bool:
    """Tell whether some version meets all clauses: one that they name, just above one, or 0."""
    from packaging.version import InvalidVersion, Version

    tried = [Version("0")]
    for clause in specifier:
        try:
            named = Version(clause.version.removesuffix(".*"))
        except InvalidVersion:
            continue
        tried += [named, Version(".".join(map(str, (*named.release, 0, 0, 1))))]
    return any(specifier.contains(version, prereleases=True) for version in tried)


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
