"""Imports the enabled plugins one by one, registers their hooks, and quarantines what is broken.

What a hook must look like is `vectis.core.hookchecks`'s business; which plugins there are and who
may run is `vectis.core.plugins`'s.
"""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

import pluggy

from vectis.core import hookspecs
from vectis.core.exceptions import PluginError
from vectis.core.hookchecks import checked, is_property
from vectis.core.hookhistory import outdated, warn
from vectis.core.lifecycle import OBSERVER
from vectis.core.needs import missing, names, ordered
from vectis.core.redact import ended, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import ModuleType

    from vectis.core.plugins import Plugin

__all__ = [
    "Manager",
    "add_observers",
    "call_own",
    "load",
    "plugin_manager",
    "report",
    "unload",
    "unmarked_hooks",
]

logger = logging.getLogger("vectis.plugins")


def plugin_manager() -> Manager:
    """Return a manager that knows the hooks and has no plugins yet."""
    return Manager(hookspecs)


class Manager(pluggy.PluginManager):
    """Knows the hooks of one page, and never runs the properties of a plugin to see what they are.

    Args:
        page: The hooks; other than `vectis.core.hookspecs` in tests only.
    """

    def __init__(self, page: ModuleType) -> None:
        super().__init__("vectis")
        self.page = page
        self.add_hookspecs(page)

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> pluggy.HookimplOpts | None:
        """Return how a plugin marked one of its attributes; None when it is no hook."""
        if is_property(plugin, name):
            return None
        return super().parse_hookimpl_opts(plugin, name)


def load(plugins: Sequence[Plugin], manager: Manager) -> list[Plugin]:
    """Import each enabled plugin and register its hooks; a broken one is quarantined.

    Returns:
        Those that are loaded, each after those that it needs.
    """
    imported = [plugin for plugin in plugins if plugin.state == "enabled" and _import(plugin)]
    order = ordered(imported)
    for plugin in order:
        _register(plugin, plugins, manager)
    for plugin in imported:
        if plugin.state == "quarantined":
            report(plugin)
    return [plugin for plugin in order if plugin.state == "loaded"]


def _import(plugin: Plugin) -> bool:
    doing = f"cannot be imported from {plugin.entry_point!r}"
    try:
        loaded = plugin.load()
        if inspect.isclass(loaded):
            doing = f"{plugin.entry_point or loaded.__qualname__} cannot be made without arguments"
            loaded = loaded()
        doing = "does not say in a usable way which plugins it needs"
        plugin.requires = names(loaded, "vectis_requires")
        plugin.after = names(loaded, "vectis_after")
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(f"interrupted while plugin {plugin} was imported")
        raise
    except BaseException as error:  # SystemExit too: an import must not end somebody else's process
        plugin.quarantine(error, doing, _unimportable(plugin, error))
        report(plugin)
        return False
    plugin.object = loaded
    return True


def _unimportable(plugin: Plugin, error: BaseException) -> str:
    """Say what to do about a module that is not there; nothing about other errors."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    from vectis.core.obtaining import installing, lacking

    if f"{plugin.module}.".startswith(f"{error.name}."):
        anew = f"install {plugin.distribution} anew, its module is gone" * bool(plugin.distribution)
        return f"{anew or 'correct its entry point'}, or {plugin.without}"
    gone = lacking(plugin.requirements)
    if gone:
        install = f"{installing(*gone)}, which {plugin.distribution} requires"
    else:
        install = f"install what brings the module {error.name}"
    return f"{install}, or {plugin.without}"


def _register(plugin: Plugin, plugins: Iterable[Plugin], manager: Manager) -> None:
    lost = missing(plugin, plugins)
    if lost is not None:
        plugin.quarantine(lost)
        return
    try:
        found = list(checked(plugin.object, manager.page))
        manager.register(plugin.object, name=plugin.name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # looking at a foreign object runs foreign code
        unload(plugin, manager)
        plugin.quarantine(error, "has a hook that does not fit")
    else:
        plugin.hooks = tuple(hook for hook, _ in found)
        plugin.state = "loaded"
        _look_for_outdated(plugin, found, manager.page)


def _look_for_outdated(plugin: Plugin, found: Iterable[tuple[str, Any]], page: ModuleType) -> None:
    sentences = []
    for hook, function in found:
        for sentence in outdated(getattr(page, hook), hook, function):
            sentences.append(sentence)
            warn(str(plugin), sentence, function)
    plugin.outdated = tuple(sentences)


def add_observers(observers: Iterable[object], manager: Manager) -> None:
    """Register objects of the program that implement lifecycle hooks and are no plugins.

    Raises:
        PluginError: One has a hook that does not fit, or one that is not of the lifecycle.
    """
    for number, observer in enumerate(observers, 1):
        name = f"{OBSERVER}{number}, {type(observer).__name__}"
        for hook, _ in checked(observer, manager.page):
            if hook not in hookspecs.LIFECYCLE:
                raise PluginError(f"{name}: {hook} is for plugins; an observer has lifecycle hooks")
        manager.register(observer, name=name)


def unload(plugin: Plugin, manager: Manager) -> None:
    """Take a plugin's hooks out again, as far as they were registered."""
    if manager.has_plugin(plugin.name):
        manager.unregister(name=plugin.name)


def call_own(manager: Manager, plugin: Plugin, hook: str, *arguments: Any) -> Any:
    """Call one plugin's implementation of an assembly hook; None when it has none."""
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        if implementation.plugin_name == plugin.name:
            return implementation.function(*arguments[: len(implementation.argnames)])
    return None


def unmarked_hooks(owner: object) -> list[str]:
    """Return the functions named like hooks that lack `@hookimpl`, so that nobody calls them."""
    return [
        name
        for name in dir(owner)
        if name.startswith("vectis_")
        and inspect.isroutine(function := inspect.getattr_static(owner, name, None))
        and not hasattr(getattr(function, "__func__", function), "vectis_impl")
    ]


def report(plugin: Plugin) -> None:
    """Log that a plugin was quarantined: distribution, version and cause, on one line."""
    logger.error(
        "plugin %s is quarantined: %s What to do: %s",
        plugin,
        ended(one_line(plugin.reason, limit=500)),
        one_line(plugin.remedy, limit=500),
    )
