"""`vectis plugins enable` and `disable`: names in the lists of the config file.

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
from vectis.core.cli.losing import listed, show, show_forced, show_loss, tell_refused
from vectis.core.cli.screen import Styled, line, note, warn
from vectis.core.exceptions import ConfigError
from vectis.core.places import place
from vectis.core.plugins import decide, discover, nearest, refuse_unknown
from vectis.core.redact import ended
from vectis.core.safemode import hidden
from vectis.core.settings import PluginsSettings
from vectis.core.without import without

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from vectis.core.hub import Hub
    from vectis.core.plugins import Plugin
    from vectis.core.settings import Config

__all__ = ["disable", "enable"]


def _arguments(command: Callable[..., Any]) -> Callable[..., Any]:
    dry = click.option("--dry-run", is_flag=True, help="Show the change, and write nothing.")
    return click.argument("names", nargs=-1, required=True, metavar="NAME...")(dry(command))


@click.command()
@_arguments
def enable(names: tuple[str, ...], dry_run: bool) -> int:
    """Enable plugins in the config file.

    Takes each NAME out of [plugins] disable, and puts it into the allow-list [plugins] enable when
    there is one. The file keeps its comments and its layout. It is found as the settings are;
    without one, vectis.toml is made in the working directory. The plugins are loaded to show what
    comes with them, or why they cannot be used. A NAME that no installed plugin has is taken out
    of [plugins] disable when it is there.

    Exit code 1 when the file enables them, and one does not run nevertheless: it is quarantined,
    not installed, or a variable overrules the file. 2 when no installed plugin has one of these
    names and the file does not disable it either, or the file cannot be changed, and nothing is
    changed then.
    """
    edit, names, absent = _edit(names, forgetting=True)
    for name in names:
        edit.plan(name, enable=True)
    for name in absent:
        edit.plan_to_forget(name)
    _finish(edit, names, "enabled", dry_run)
    for name in absent:
        hint = nearest(name, [plugin.name for plugin in discover()])
        warn(f"no installed plugin is called {name!r}, so this enables none{hint}")
    if not names:
        return 1
    overruled = [p for p in _decided(edit, names) if p.state == "disabled"]
    for plugin in overruled:
        note(
            f"{plugin.name} stays disabled nevertheless: it is {plugin.reason}, which overrules "
            f"the file. What brings it back: {plugin.remedy}"
        )
    if len(overruled) == len(names):
        return 1
    hub, plugins = _loaded(names, edit.config)
    broken = [plugin for plugin in plugins if plugin.state == "quarantined"]
    for plugin in broken:
        _tell_broken(plugin, hub)
    comes = without(hub, *plugins)
    show(
        f"What comes with {listed(names)}:",
        [
            ("handlers", comes.handlers),
            ("hooks", comes.hooks),
            ("event types", comes.event_types),
        ],
    )
    return 1 if broken or overruled or absent else 0


def _tell_broken(plugin: Plugin, hub: Hub) -> None:
    """Say that a plugin does not run, why, and what to do."""
    where = place(plugin.cause, plugin.module) if plugin.cause else ""
    at = f" (at {where})" if where else ""
    warn(f"{plugin.name} is quarantined nevertheless, so it does not run: {plugin.reason}{at}")
    tolerated = plugin.name in hub.consumer_settings.tolerate
    way = plugin.remedy if tolerated else f"{ended(plugin.remedy)} No worker starts before"
    note(f"  -> {way}")


@click.command()
@_arguments
@click.option("--force", is_flag=True, help="Even when something else needs it.")
def disable(names: tuple[str, ...], dry_run: bool, force: bool) -> int:
    """Disable plugins in the config file, and show what goes with them.

    Takes each NAME out of the allow-list [plugins] enable when it is there, else puts it into
    [plugins] disable. The file keeps its comments and its layout. It is found as the settings are;
    without one, vectis.toml is made in the working directory. The enabled plugins are loaded, and
    the modules of [consumer] modules imported, to show what will no longer be handled.

    Exit code 1 when something that is not named as well needs one of them, and nothing is changed
    then; also when the file disables them, and a variable overrules it. 2 when no installed plugin
    has one of these names, or the file cannot be changed.
    """
    edit, names, _ = _edit(names)
    for name in names:
        edit.plan(name, enable=False)
    if edit.changes:
        changed = {change.name for change in edit.changes}
        hub, plugins = _loaded([name for name in names if name in changed], None)
        for plugin in plugins:
            _tell_hidden(plugin, hub.config)
        loss = without(hub, *plugins)
        if loss.needed_by and not force:
            show_loss(plugins, loss)
            tell_refused(hub, plugins, loss)
            return 1
        show_forced(hub, plugins, loss) if loss.needed_by else show_loss(plugins, loss)
    _finish(edit, names, "disabled", dry_run)
    overruled = [p for p in _decided(edit, names) if p.state != "disabled"]
    for plugin in overruled:
        variable = edit.config().origin("plugins", "disable")
        if not variable.startswith("VECTIS_"):
            variable = edit.config().origin("plugins", "enable")
        note(f"{plugin.name} stays enabled nevertheless: {variable} overrules the file")
    return 1 if overruled else 0


def _tell_hidden(plugin: Plugin, config: Config) -> None:
    """Say of what is not loaded now whether anything goes with it."""
    if config.safe_mode:
        hides = f"{plugin}, and" if hidden(plugin, config) else "the handlers of"
        note(
            f"VECTIS_SAFE_MODE hides {hides} every plugin but the default ones: what goes with "
            f"{plugin.name} is not fully told. Unset it, and ask again"
        )
    elif variable := _variable(plugin, config):
        note(
            f"{plugin} is {plugin.reason}, so it is not loaded, and what goes with it cannot "
            f"be told. As long as {variable} is set, it decides and not the file; once it is "
            f"unset, the file keeps {plugin.name} disabled"
        )
    elif plugin.state != "loaded":
        note(f"{plugin} is not loaded now, so nothing is lost: {plugin.reason}")


def _edit(
    names: Sequence[str], *, forgetting: bool = False
) -> tuple[ConfigEdit, tuple[str, ...], tuple[str, ...]]:
    """Return the file to be changed, each name once, and apart from them those of no plugin.

    Args:
        names: As they were given.
        forgetting: Whether a name of no plugin may be one that the file disables.

    Raises:
        PluginError: No plugin of some of these names is installed.
    """
    known = {plugin.name for plugin in discover()}
    edit = ConfigEdit(Path(), os.environ)
    names = tuple(dict.fromkeys(names))
    absent = tuple(n for n in names if forgetting and n not in known and edit.disables(n))
    names = tuple(name for name in names if name not in absent)
    refuse_unknown(names, known, " Nothing was changed")
    return edit, names, absent


def _decided(edit: ConfigEdit, names: Sequence[str]) -> list[Plugin]:
    config = edit.config()
    settings = attrs.evolve(config.table("plugins", PluginsSettings), require=())
    return _named(names, decide(discover(), config, settings))


def _named(names: Sequence[str], plugins: Iterable[Plugin]) -> list[Plugin]:
    """Return the plugin of each name, in the order of the names."""
    first: dict[str, Plugin] = {}
    for plugin in plugins:
        first.setdefault(plugin.name, plugin)
    return [first[name] for name in names]


def _variable(plugin: Plugin, config: Config) -> str:
    """Return the variable that has disabled a plugin; empty when none has."""
    if plugin.state != "disabled":
        return ""
    origins = [config.origin("plugins", key) for key in ("disable", "enable")]
    return next((o for o in origins if o.startswith("VECTIS_") and o in plugin.reason), "")


def _finish(edit: ConfigEdit, names: Sequence[str], state: str, dry_run: bool) -> None:
    changed = {change.name for change in edit.changes}
    for name in names:
        if name not in changed:
            line(f"{edit.label}: {name} is {state} there already, so nothing changes")
    if not changed:
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


def _loaded(
    names: Sequence[str], load: Callable[[Mapping[str, str]], Config] | None
) -> tuple[Hub, list[Plugin]]:
    from vectis.core.cli.application import assemble, import_modules, quiet
    from vectis.core.default import use_hub

    quiet("vectis.plugins", "vectis.hub")
    hub = (assemble(load) if load else assemble()).hub
    before = use_hub(hub)
    try:
        import_modules(hub.consumer_settings.modules)
    except ConfigError as error:
        note(f"The application's own handlers are not counted: {error}")
    finally:
        use_hub(before)
    return hub, _named(names, hub.plugins)
