"""How somebody gets a distribution: pip's command, as it works today.

Vectis's own distributions are on no package index yet, so they are installed from a clone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectis.core.distributions import installed, normal

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FOLDERS", "installing", "lacking"]

FOLDERS = {
    "vectis-bus": "./plugins/bus",
    "vectis-commerce": "./contrib/commerce",
    "vectis-core": "./core",
    "vectis-hub": ".",
    "vectis-redpanda": "./plugins/redpanda",
    "vectis-sqlite": "./contrib/sqlite",
}
"""Where each of Vectis's own distributions is in a clone."""


def installing(*names: str) -> str:
    """Return the command that installs distributions.

    Args:
        names: Their names. They come from a clone when one of them is Vectis's own.

    Example:
        >>> from vectis.core.obtaining import installing
        >>> installing("acme-audit")
        '`pip install acme-audit`'
        >>> installing("vectis-bus", "vectis-sqlite")
        '`pip install ./plugins/bus ./contrib/sqlite` in a clone of Vectis'
    """
    places = [FOLDERS.get(normal(name), name) for name in names]
    clone = " in a clone of Vectis" if any(normal(name) in FOLDERS for name in names) else ""
    return f"`pip install {' '.join(places)}`{clone}"


def lacking(requirements: Iterable[str]) -> list[str]:
    """Return the names of the distributions that are required and not installed.

    Args:
        requirements: Those of a distribution; what only an extra needs is passed over.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    found = []
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and installed(requirement.name) is None:
            found.append(requirement.name)
    return found
