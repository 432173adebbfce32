"""Safe mode: a start with the default plugins only, to find out whether another one is at fault.

The default plugins are not known by name: they are those whose distributions the metadistribution
requires, as its metadata says. They have no other privilege.
"""

from __future__ import annotations

import re

from vectis.core.distributions import installed, normal

__all__ = ["HUB", "default_distributions"]

HUB = "vectis-hub"

# Where the metadistribution is not installed, what it would bring; a test holds them together.
_WITHOUT_HUB = frozenset({"vectis-bus", "vectis-redpanda"})

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def default_distributions() -> frozenset[str]:
    """Return the names of the distributions whose plugins are the default ones.

    Example:
        >>> from vectis.core.safemode import default_distributions
        >>> "vectis-bus" in default_distributions()
        True
    """
    hub = installed(HUB)
    if hub is None:
        return _WITHOUT_HUB
    required = [text.partition(";") for text in hub.requires]
    return frozenset(
        normal(name[0])
        for text, _, marker in required
        if "extra" not in marker and (name := _NAME.match(text))
    )
