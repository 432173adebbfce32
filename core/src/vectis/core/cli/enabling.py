"""`vectis plugins enable` and `disable`: one name in one list of the config file.

What the file says afterwards is decided anew before it is written, so that a variable that
overrules it is named, and with `disable` also what will no longer be handled.
"""

from __future__ import annotations

import os
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from vectis.core._config_edit import ConfigEdit
from vectis.core.cli.screen import Styled, line, note, warn
from vectis.core.exceptions import ConfigError, PluginError
from vectis.core.plugins import decide, discover, nearest
from vectis.core.safemode import hidden
from vectis.core.settings import PluginsSettings
from vectis.core.without import without

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from vectis.core.hub import Hub
    from vectis.core.plugins import Plugin
    from vectis.core.settings import Config
    from vectis.core.without import Loss

__all__ = ["disable", "enable"]


def _arguments(command: Callable[..., Any]) -> Callable[..., Any]:
    dry = click.option("--dry-run", is_flag=True, help="Show the change, and write nothing.")
    return click.argument("name")(dry(command))


@click.command()
@_arguments
def enable(name: str, dry_run: bool) -> None:
    """Enable a plugin in the config file.

    Takes NAME out of [plugins] disable, and puts it into the allow-list [plugins] enable when there
    is one. The file keeps its comments and its layout. It is found as the settings are; without
    one, vectis.toml is made in the working directory. The plugin is loaded to show what comes with
    it, or why it cannot be used.

    Exit code 2 when no installed plugin has this name, or the file cannot be changed.
    """
    edit = _edit(name)
    edit.plan(name, enable=True)
    _finish(edit, name, "enabled", dry_run)
    plugin = _decided(edit, name)
    if plugin.state == "disabled":
        note(f"{name} stays disabled nevertheless: it is {plugin.reason}, which overrules the file")
        return
    hub, plugin = _loaded(name, edit)
    if plugin.state == "quarantined":
        warn(f"{name} is quarantined nevertheless: {plugin.reason}")
        note(f"  -> {plugin.remedy}")
    comes = without(hub, plugin)
    _show(
        f"What comes with {name}:",
        [
            ("handlers", comes.handlers),
            ("hooks", comes.hooks),
            ("event types", comes.event_types),
        ],
    )


@click.command()
@_arguments
@click.option("--force", is_flag=True, help="Even when something else needs it.")
def disable(name: str, dry_run: bool, force: bool) -> int:
    """Disable a plugin in the config file, and show what goes with it.

    Takes NAME out of the allow-list [plugins] enable when it is there, else puts it into [plugins]
    disable. The file keeps its comments and its layout. It is found as the settings are; without
    one, vectis.toml is made in the working directory. The enabled plugins are loaded, and
    the modules of [consumer] modules imported, to show what will no longer be handled.

    Exit code 1 when another plugin or the config needs it, and nothing is changed then; 2 when no
    installed plugin has this name, or the file cannot be changed.
    """
    edit = _edit(name)
    edit.plan(name, enable=False)
    if edit.changes:
        hub, plugin = _loaded(name, None)
        if hub.config.safe_mode:
            hides = f"{plugin}, and" if hidden(plugin, hub.config) else "the handlers of"
            note(
                f"VECTIS_SAFE_MODE hides {hides} every plugin but the default ones: what goes with "
                f"{name} is not fully told. Unset it, and ask again"
            )
        elif variable := _variable(plugin, hub.config):
            note(
                f"{plugin} is {plugin.reason}, so it is not loaded, and what goes with it cannot "
                f"be told. As long as {variable} is set, it decides and not the file; once it is "
                f"unset, the file keeps {name} disabled"
            )
        elif plugin.state != "loaded":
            note(f"{plugin} is not loaded now, so nothing is lost: {plugin.reason}")
        loss = without(hub, plugin)
        _show_loss(name, loss)
        if loss.needed_by and not force:
            for reason in loss.needed_by:
                note(f"{name} is not disabled: {reason}")
            note("Nothing was changed. Settle that first, or say --force")
            return 1
    _finish(edit, name, "disabled", dry_run)
    plugin = _decided(edit, name)
    if plugin.state != "disabled":
        variable = edit.config().origin("plugins", "disable")
        if not variable.startswith("VECTIS_"):
            variable = edit.config().origin("plugins", "enable")
        note(f"{name} stays enabled nevertheless: {variable} overrules the file")
    return 0


def _edit(name: str) -> ConfigEdit:
    known = {plugin.name for plugin in discover()}
    if name not in known:
        hint = nearest(name, known) or "; `vectis plugins` lists them"
        raise PluginError(f"no installed plugin is called {name!r}{hint}")
    return ConfigEdit(Path(), os.environ)


def _decided(edit: ConfigEdit, name: str) -> Plugin:
    config = edit.config()
    settings = attrs.evolve(config.table("plugins", PluginsSettings), require=())
    return next(p for p in decide(discover(), config, settings) if p.name == name)


def _variable(plugin: Plugin, config: Config) -> str:
    """Return the variable that has disabled a plugin; empty when none has."""
    if plugin.state != "disabled":
        return ""
    origins = [config.origin("plugins", key) for key in ("disable", "enable")]
    return next((o for o in origins if o.startswith("VECTIS_") and o in plugin.reason), "")


def _finish(edit: ConfigEdit, name: str, state: str, dry_run: bool) -> None:
    if not edit.changes:
        line(f"{edit.label}: {name} is {state} there already, so nothing changes")
        return
    if dry_run:
        for text in unified_diff(
            (edit.before or "").splitlines(),
            edit.after.splitlines(),
            edit.label if edit.before is not None else "no file yet",
            edit.label,
            lineterm="",
        ):
            click.echo(text)
        note("Nothing was written")
        return
    made = edit.before is None
    edit.write()
    for change in edit.changes:
        line(Styled(f"{edit.path if made else edit.label}: ", "key"), str(change))
    if made:
        note(f"There was no config file from here upwards, so {edit.path} was made")
    note("Processes that run already go on as they are until they are started again")


def _loaded(name: str, edit: ConfigEdit | None) -> tuple[Hub, Plugin]:
    from vectis.core.cli.application import assemble, import_modules, quiet
    from vectis.core.default import use_hub

    quiet("vectis.plugins", "vectis.hub")
    hub = (assemble(edit.config) if edit else assemble()).hub
    before = use_hub(hub)
    try:
        import_modules(hub.consumer_settings.modules)
    except ConfigError as error:
        note(f"The application's own handlers are not counted: {error}")
    finally:
        use_hub(before)
    return hub, next(plugin for plugin in hub.plugins if plugin.name == name)


def _show_loss(name: str, loss: Loss) -> None:
    _show(
        f"What goes with {name}:",
        [
            ("handlers", loss.handlers),
            ("no other handler", loss.unhandled),
            ("hooks", loss.hooks),
            ("event types", loss.event_types),
            ("no longer read", loss.topics),
            ("without a topic", loss.stranded),
            ("carries", loss.carries),
            ("no longer called", loss.idle),
            ("not carried", loss.uncarried),
        ],
    )
    if loss.stranded:
        line(
            "no worker starts until [topics] or @on_event names their topics", indent=2, lead="-> "
        )


def _show(title: str, rows: list[tuple[str, tuple[str, ...]]]) -> None:
    told = [(what, found) for what, found in rows if found]
    if told:
        line(Styled(title, "key"))
    for what, found in told:
        line(", ".join(found), indent=2, lead=f"{what}: ".ljust(18))
