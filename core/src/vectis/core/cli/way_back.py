"""What somebody does to get a disabled plugin back: it depends on what disabled it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectis.core.safemode import hidden
from vectis.core.settings import PluginsSettings

if TYPE_CHECKING:
    from vectis.core.plugins import Plugin
    from vectis.core.settings import Config

__all__ = ["way_back"]


def way_back(config: Config, plugin: Plugin) -> str:
    """Return what enables a disabled plugin: a variable to change, or the command.

    The command edits the file, which a variable overrules.

    Args:
        config: The one that disabled it.
        plugin: The plugin.

    Example:
        >>> from vectis.core.cli.way_back import way_back
        >>> from vectis.core.plugins import Plugin
        >>> from vectis.core.settings import Config
        >>> config = Config.of({}, environ={"VECTIS_PLUGINS_DISABLE": "acme"})
        >>> way_back(config, Plugin(name="acme"))
        'take acme out of VECTIS_PLUGINS_DISABLE'
    """
    if hidden(plugin, config):
        return "unset VECTIS_SAFE_MODE"
    settings = config.table("plugins", PluginsSettings)
    if plugin.name in settings.disable:
        where = config.origin("plugins", "disable")
        if where.startswith("VECTIS_"):
            return f"take {plugin.name} out of {where}"
    elif (where := config.origin("plugins", "enable")).startswith("VECTIS_"):
        return f"put {plugin.name} into {where}"
    return f"`vectis plugins enable {plugin.name}`"
