"""Which plugins are the default ones: safe mode loads no other, and the missing ones are named.

They are not known by their names: they are those whose distributions the metadistribution requires,
as its metadata says. They have no other privilege.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vectis.core.distributions import installed, normal
from vectis.core.fitting import CORE
from vectis.core.settings import PluginsSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vectis.core.plugins import Plugin
    from vectis.core.settings import Config

__all__ = ["HUB", "default_distributions", "hidden", "only_hidden", "uninstalled"]

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


def hidden(plugin: Plugin, config: Config) -> bool:
    """Tell whether safe mode keeps a plugin from being loaded.

    Args:
        plugin: Any.
        config: Tells whether safe mode is on.
    """
    return config.safe_mode and normal(plugin.distribution) not in default_distributions()


def only_hidden(plugin: Plugin, config: Config) -> bool:
    """Tell whether a plugin would be enabled, were it not for safe mode.

    Args:
        plugin: Any.
        config: Tells whether safe mode is on, and what the operator disables.
    """
    settings = config.table("plugins", PluginsSettings)
    left_out = plugin.name in settings.disable or (
        settings.enable is not None and plugin.name not in settings.enable
    )
    return hidden(plugin, config) and not left_out


def uninstalled(plugins: Iterable[Plugin]) -> list[str]:
    """Return the default distributions that are gone although the metadistribution is there.

    Args:
        plugins: All that were found.
    """
    if installed(HUB) is None:
        return []  # whoever installs the parts one by one chose them
    found = {normal(plugin.distribution) for plugin in plugins}
    return sorted(default_distributions() - found - {CORE})
