"""Putting a hub together: which plugins, then their settings, event types and handlers.

A plugin that fails in any step is taken out again whole and quarantined; the others go on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from vectis.core import loader
from vectis.core.exceptions import ConfigError, PluginError
from vectis.core.marks import marked
from vectis.core.needs import missing
from vectis.core.plugins import Plugin, decide, discover, unknown_names
from vectis.core.redact import ended
from vectis.core.subscription import APP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vectis.core.hub import Hub
    from vectis.core.settings import Config, HubSettings, PluginsSettings

__all__ = ["assemble", "choose", "not_assembled", "not_yet"]

logger = logging.getLogger("vectis.hub")


def choose(
    config: Config,
    hub_settings: HubSettings,
    settings: PluginsSettings,
    given: Mapping[str, Any],
    *,
    look: bool,
) -> tuple[Plugin, ...]:
    """Return every plugin with the config's decision about it; nothing is imported yet.

    Args:
        config: Says which line decided.
        hub_settings: `[hub]`, whose `transport` must be one of them.
        settings: `[plugins]`.
        given: Plugins passed to `Hub(plugins=...)`, by name.
        look: Whether installed ones are looked for.

    Raises:
        ConfigError: `[hub] transport` names no plugin.
        PluginError: `[plugins] require` names one that is missing or disabled.
    """
    found = discover() if look else []
    found += [
        Plugin(name=name, object=plugin, entry_point=getattr(plugin, "__name__", ""))
        for name, plugin in given.items()
    ]
    decided = tuple(decide(found, config, settings))
    chosen = hub_settings.transport
    if chosen is not None and chosen not in {plugin.name for plugin in decided}:
        raise ConfigError(
            f"{config.origin('hub', 'transport')}: [hub] transport = {chosen!r} is no "
            f"installed plugin; there are {', '.join(p.name for p in decided) or 'none'}"
        )
    return decided


async def not_assembled() -> None:
    """Stand in for the start of a hub until it is assembled: whoever needs it is refused."""
    raise not_yet()


def not_yet() -> PluginError:
    """Return what whoever emits or publishes is told while the hub is being put together."""
    return PluginError(
        "the hub is still being put together, so nothing can be emitted or published yet: "
        "do it in vectis_startup"
    )


def assemble(hub: Hub, settings: PluginsSettings) -> None:
    """Load the plugins of a hub and let them register.

    Raises:
        PluginError: One that `[plugins] require` names is not usable.
    """
    if hub.config.safe_mode:
        logger.warning(
            "VECTIS_SAFE_MODE is set, so only the default plugins are loaded; not loaded: %s",
            ", ".join(plugin.name for plugin in hub.plugins if plugin.state != "enabled") or "none",
        )
    for plugin in hub.plugins:
        if plugin.state == "quarantined":
            loader.report(plugin)  # found before any import
    order = loader.load(hub.plugins, hub.manager)
    # Step by step over all plugins: every setting is known before any handler registers.
    for step in (_read_settings, _register_events, _register_handlers):
        for plugin in order:
            if plugin.state == "loaded":
                _try(hub, plugin, step)
    for warning in hub.config.warnings(plugin.name for plugin in hub.plugins):
        logger.warning("%s", warning)
    for warning in unknown_names(hub.plugins, hub.config, settings, hub.consumer_settings.tolerate):
        logger.warning("%s", warning)
    for plugin in hub.plugins:
        if plugin.name in settings.require:
            reason = hub.unavailable(plugin)
            if reason is not None:
                way = f" What to do: {plugin.remedy}" if plugin.remedy else ""
                raise PluginError(f"required plugin {plugin} is not usable: {ended(reason)}{way}")


def _try(hub: Hub, plugin: Plugin, step: Callable[[Hub, Plugin], None]) -> None:
    # What it needs comes earlier in the order: when that failed in this step, it is seen here.
    lost = missing(plugin, hub.plugins)
    if lost is not None:
        _take_out(hub, plugin, lost)
        return
    hub.owner = hub.catalogue.owner = plugin.name
    try:
        step(hub, plugin)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin's SystemExit must not end the process
        # A setting that is wrong says everything by itself.
        doing = "" if isinstance(error, ConfigError) else "failed while it was put in place"
        _take_out(hub, plugin, error, doing)
    finally:
        hub.owner = hub.catalogue.owner = APP


def _take_out(hub: Hub, plugin: Plugin, cause: BaseException, doing: str = "") -> None:
    loader.unload(plugin, hub.manager)
    hub.catalogue.forget(plugin.name)
    for owned in hub.subscriptions:
        if owned.plugin == plugin.name:
            hub.unsubscribe(owned)
    plugin.quarantine(cause, doing)
    loader.report(plugin)


def _read_settings(hub: Hub, plugin: Plugin) -> None:
    settings_class = loader.call_own(hub.manager, plugin, "vectis_settings")
    if settings_class is not None:
        plugin.settings = hub.config.table(plugin.name, settings_class)


def _register_events(hub: Hub, plugin: Plugin) -> None:
    loader.call_own(hub.manager, plugin, "vectis_register_events", hub.catalogue)


def _register_handlers(hub: Hub, plugin: Plugin) -> None:
    for handler, mark in marked(plugin.object):
        hub.place(mark.subscription(handler, plugin.name))
    loader.call_own(hub.manager, plugin, "vectis_register_handlers", hub)
