"""`vectis plugins`: the installed plugins, and what decided about each.

The listing imports no plugin, and neither hub nor hooks: it is what one turns to when something is
broken. `--load` imports those that are enabled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import click

from vectis.core.cli.group import Deferred
from vectis.core.cli.screen import Styled, heading, line, show_json, table, warn
from vectis.core.distributions import normal
from vectis.core.exceptions import PluginError
from vectis.core.fitting import CORE
from vectis.core.obtaining import installing
from vectis.core.plugins import decide, discover, unknown_names
from vectis.core.redact import one_line
from vectis.core.safemode import HUB, default_distributions, uninstalled
from vectis.core.settings import Config, ConsumerSettings, PluginsSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from vectis.core.plugins import Plugin

__all__ = ["plugins"]

_STYLES = {"disabled": "warn", "enabled": "good", "loaded": "good", "quarantined": "bad"}


_SUBCOMMANDS = {
    "bisect": ("bisecting", "Find the plugin that breaks a command, in log2(n) runs of it."),
    "check": ("checking", "Check that a plugin behaves as its host may expect."),
    "disable": ("enabling", "Disable plugins in the config file, and show what goes with them."),
    "enable": ("enabling", "Enable plugins in the config file."),
}


@click.group(
    cls=Deferred,
    deferred=_SUBCOMMANDS,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND [ARGS]...]",
)
@click.option("--load", is_flag=True, help="Import the enabled ones; show hooks and handlers.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
def plugins(context: click.Context, load: bool, as_json: bool) -> int:
    """List the installed plugins, and what decided about each.

    None is imported, unless you say --load. STATE is enabled, disabled by the config, or
    quarantined: broken, and set aside. REASON names the line of the config.

    With --load, enabled ones are loaded, or quarantined when they do not import, or need a plugin
    that is not loaded: that stands in the plugin itself, and nobody can know it before.

    Exit code 1 when --load has found one in quarantine that is not in [consumer] tolerate. 2 when
    one is missing that [plugins] require names.
    """
    if context.invoked_subcommand is not None:
        return 0
    found, handlers, problem = _loaded() if load else _listed()
    if as_json:
        defaults = default_distributions()
        show_json([_plain(p, handlers.get(p.name, []), load, defaults) for p in found])
    else:
        _show(found, handlers)
    config = Config.load()
    if config.safe_mode:
        warn("VECTIS_SAFE_MODE is set, and only the default plugins are loaded")
    for name in uninstalled(found):
        warn(f"{name} is not installed, though {HUB} requires it: {installing(name)}")
    settings = config.table("plugins", PluginsSettings)
    tolerate = config.table("consumer", ConsumerSettings).tolerate
    for warning in unknown_names(found, config, settings, tolerate):
        warn(one_line(warning, limit=500))
    if problem is not None:
        raise problem
    broken = any(p.state == "quarantined" and p.name not in tolerate for p in found)
    return 1 if load and broken else 0


def _listed() -> tuple[Sequence[Plugin], dict[str, list[str]], PluginError | None]:
    config = Config.load()
    settings = config.table("plugins", PluginsSettings)
    found = discover()
    try:
        return decide(found, config, settings), {}, None
    except PluginError as error:
        # A required one is missing: show the list all the same, it is how to find out why.
        lenient = attrs.evolve(settings, require=())
        return decide(found, config, lenient), {}, error


def _loaded() -> tuple[Sequence[Plugin], dict[str, list[str]], PluginError | None]:
    from vectis.core.cli.application import assemble, quiet

    quiet("vectis.plugins", "vectis.hub")
    assembled = assemble()
    handlers: dict[str, list[str]] = {}
    for subscription in assembled.hub.subscriptions:
        handlers.setdefault(subscription.plugin, []).append(str(subscription))
    return assembled.hub.plugins, handlers, assembled.problem


def _plain(
    plugin: Plugin, handlers: list[str], load: bool, defaults: Collection[str]
) -> dict[str, Any]:
    from vectis.core.places import place

    plain: dict[str, Any] = {
        "name": plugin.name,
        "version": plugin.version,
        "distribution": plugin.distribution,
        "entry_point": plugin.entry_point,
        "state": plugin.state,
        "reason": plugin.reason,
        "remedy": plugin.remedy,
        "default": normal(plugin.distribution) in defaults,
    }
    if load:
        plain["hooks"] = plugin.hooks
        plain["handlers"] = handlers
        plain["requires"] = plugin.requires
        plain["after"] = plugin.after
        plain["outdated"] = plugin.outdated
        plain["place"] = place(plugin.cause, plugin.module) if plugin.cause else ""
    return plain


def _show(found: Sequence[Plugin], handlers: dict[str, list[str]]) -> None:
    if not found:
        get = installing(*sorted(default_distributions() - {CORE}))
        line(f"No plugins are installed. Without one even emit does nothing: {get}")
        return
    # A cause and its remedy are a sentence or more, too long for a column on a screen.
    table(
        ["NAME", "VERSION", "DISTRIBUTION", "ENTRY POINT", "STATE", "REASON"],
        [
            [
                Styled(plugin.name, "key"),
                plugin.version,
                plugin.distribution,
                plugin.entry_point,
                Styled(plugin.state, _STYLES[plugin.state]),
                "see below" if plugin.state == "quarantined" else plugin.reason,
            ]
            for plugin in found
        ],
        spill=["ENTRY POINT", "DISTRIBUTION", "VERSION"],
    )
    if any(plugin.state == "enabled" for plugin in found):
        line()
        line(
            Styled(
                "Enabled is what may be loaded. Whether it works, and has the plugins that it "
                "needs, is known once it is imported: see --load",
                "hint",
            )
        )
    for plugin in found:
        if plugin.state == "quarantined":
            _show_cause(plugin)
        elif plugin.state == "loaded":
            heading(plugin.name)
            line(", ".join(plugin.hooks) or "none", indent=2, lead="hooks:    ")
            line(", ".join(handlers.get(plugin.name, [])) or "none", indent=2, lead="handlers: ")
            if plugin.requires or plugin.after:
                both = [*plugin.requires, *(f"{name} if it is there" for name in plugin.after)]
                line(", ".join(both), indent=2, lead="follows:  ")
            for sentence in plugin.outdated:
                line(sentence, indent=2, lead=Styled("outdated: ", "warn"))


def _show_cause(plugin: Plugin) -> None:
    from vectis.core.places import place

    heading(plugin.name)
    line(plugin.reason, indent=2, lead=Styled("quarantined: ", "bad"))
    where = place(plugin.cause, plugin.module) if plugin.cause else ""
    if where:
        line(where, indent=2, lead="at:          ")
    line(plugin.remedy, indent=2, lead="->           ")
