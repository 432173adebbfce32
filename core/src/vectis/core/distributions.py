"""What an installed distribution says of itself, read from the first lines of its METADATA.

`Distribution.name`, `.version` and `.requires` of importlib-metadata parse the whole file as an
e-mail, description included: with 300 distributions that is most of the time of a listing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint

__all__ = ["About", "about", "distribution", "installed", "normal"]

_END = re.compile(r"\r?\n\r?\n")  # of the headers; the description follows


@attrs.frozen
class About:
    """The headers of a distribution that matter here.

    Args:
        name: Its name, as it writes it.
        version: Its version.
        requires: Its requirements, one text each, such as `vectis-core>=0.1.0`.
    """

    name: str = ""
    version: str = ""
    requires: tuple[str, ...] = ()


class _Readable(Protocol):
    def read_text(self, filename: str) -> str | None: ...


def about(found: _Readable | None) -> About:
    """Return what a distribution says of itself; empty for none."""
    text = found.read_text("METADATA") if found is not None else None
    name = version = ""
    requires = []
    for line in _END.split(text or "", maxsplit=1)[0].splitlines():
        field, _, value = line.partition(":")
        match field.lower():
            case "name":
                name = value.strip()
            case "version":
                version = value.strip()
            case "requires-dist":
                requires.append(value.strip())
    return About(name, version, tuple(requires))


def distribution(entry: EntryPoint) -> About:
    """Return what the distribution that an entry point belongs to says of itself."""
    return about(entry.dist)


def installed(name: str) -> About | None:
    """Return what the distribution of this name says of itself; None when it is not installed."""
    from importlib_metadata import Distribution, PackageNotFoundError

    try:
        return about(Distribution.from_name(name))
    except PackageNotFoundError:
        return None


def normal(name: str) -> str:
    """Return a distribution's name in its normal form, in which two spellings are the same.

    Example:
        >>> from vectis.core.distributions import normal
        >>> normal("Vectis_Hub")
        'vectis-hub'
    """
    return re.sub(r"[-_.]+", "-", name).lower()
