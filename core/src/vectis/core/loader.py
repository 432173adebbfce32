"""Imports the enabled plugins one by one, checks their hooks, and quarantines what is broken.

What is refused here, with the reason: a module that does not import, a class that needs arguments,
an unknown hook name, wrong parameters, `async def` where the hub calls without awaiting, wrappers
and generators, which nobody would run.
"""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

import pluggy

from vectis.core import hookspecs
from vectis.core.exceptions import PluginError
from vectis.core.needs import missing, names, ordered
from vectis.core.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vectis.core.plugins import Plugin

__all__ = [
    "add_observers",
    "call_own",
    "load",
    "plugin_manager",
    "report",
    "unload",
    "unmarked_hooks",
]

logger = logging.getLogger("vectis.plugins")

_SYNC = frozenset(hookspecs.ASSEMBLY + hookspecs.TRANSPORT)
_KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY  # pluggy gives arguments by position
_HOOKS = frozenset(hookspecs.ASSEMBLY + hookspecs.TRANSPORT + hookspecs.LIFECYCLE)


def plugin_manager() -> pluggy.PluginManager:
    """Return a manager that knows the hooks and has no plugins yet."""
    manager = _Manager("vectis")
    manager.add_hookspecs(hookspecs)
    return manager


class _Manager(pluggy.PluginManager):
    """Never runs the properties of a plugin to see whether they are hooks."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> pluggy.HookimplOpts | None:
        if _is_property(plugin, name):
            return None
        return super().parse_hookimpl_opts(plugin, name)


def load(plugins: Sequence[Plugin], manager: pluggy.PluginManager) -> list[Plugin]:
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
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: an import must not end somebody else's process
        plugin.quarantine(error, doing)
        report(plugin)
        return False
    plugin.object = loaded
    return True


def _register(plugin: Plugin, plugins: Iterable[Plugin], manager: pluggy.PluginManager) -> None:
    lost = missing(plugin, plugins)
    if lost is not None:
        plugin.quarantine(PluginError(lost))
        return
    try:
        hooks = tuple(_checked_hooks(plugin.object))
        manager.register(plugin.object, name=plugin.name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # looking at a foreign object runs foreign code
        unload(plugin, manager)
        plugin.quarantine(error, "has a hook that does not fit")
    else:
        plugin.hooks = hooks
        plugin.state = "loaded"


def add_observers(observers: Iterable[object], manager: pluggy.PluginManager) -> None:
    """Register objects of the program that implement lifecycle hooks and are no plugins.

    Raises:
        PluginError: One has a hook that does not fit, or one that is not of the lifecycle.
    """
    for number, observer in enumerate(observers, 1):
        name = f"observer {number}, {type(observer).__name__}"
        for hook in _checked_hooks(observer):
            if hook not in hookspecs.LIFECYCLE:
                raise PluginError(f"{name}: {hook} is for plugins; an observer has lifecycle hooks")
        manager.register(observer, name=name)


def unload(plugin: Plugin, manager: pluggy.PluginManager) -> None:
    """Take a plugin's hooks out again, as far as they were registered."""
    if manager.has_plugin(plugin.name):
        manager.unregister(name=plugin.name)


def call_own(manager: pluggy.PluginManager, plugin: Plugin, hook: str, *arguments: Any) -> Any:
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
        "plugin %s is quarantined: %s. Everything else works; `vectis doctor` tells more",
        plugin,
        one_line(plugin.reason, limit=500),
    )


def _checked_hooks(owner: object) -> Iterator[str]:
    for name, function, options in _implementations(owner):
        hook = options.get("specname") or name
        where = f"{name}{_signature(function)}"
        if hook not in _HOOKS:
            from difflib import get_close_matches

            near = get_close_matches(hook, _HOOKS, n=1)
            hint = f"did you mean {near[0]}?" if near else "see vectis.core.hookspecs for all hooks"
            raise PluginError(f"{where}: there is no hook {hook}; {hint}")
        _check_parameters(hook, function, where)
        if hook in _SYNC and _is_async(function):
            raise PluginError(
                f"{where}: {hook} is called without awaiting; write it with plain `def`"
            )
        if options.get("wrapper") or options.get("hookwrapper"):
            raise PluginError(f"{where}: {_no_wrapper(hook)}")
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise PluginError(
                f"{where}: a function with `yield` does nothing when it is called; "
                f"{'decorate it with' if '_around_' in hook else 'use an around hook with'} "
                "@contextlib.asynccontextmanager, below @hookimpl"
            )
        yield hook


def _no_wrapper(hook: str) -> str:
    if hook in _SYNC:
        return f"{hook} cannot be wrapped, each plugin answers it for itself; drop wrapper=True"
    subject = hook.rpartition("_")[2]
    around = f"vectis_around_{subject if subject in ('publish', 'consume') else 'emit'}"
    return (
        f"a wrapper of {hook} would see coroutines instead of results; "
        f"return an async context manager from {around} instead"
    )


def _implementations(owner: object) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for name in dir(owner):
        if _is_property(owner, name):
            continue
        function = getattr(owner, name, None)
        options = getattr(function, "vectis_impl", None)
        if isinstance(options, dict):
            yield name, function, options


def _is_property(owner: object, name: str) -> bool:
    # Running a property to see whether it is a hook could do anything.
    return isinstance(inspect.getattr_static(owner, name, None), property)


def _check_parameters(hook: str, function: Any, where: str) -> None:
    offered = inspect.signature(getattr(hookspecs, hook)).parameters
    for name, parameter in inspect.signature(function).parameters.items():
        if name in offered:
            if parameter.default is parameter.empty and parameter.kind is not _KEYWORD_ONLY:
                continue
            raise PluginError(
                f"{where}: {name!r} would never be given: write it without a default and not "
                "behind a `*`"
            )
        if parameter.default is not parameter.empty:
            continue
        raise PluginError(
            f"{where}: {hook} offers no argument {name!r}; "
            f"it offers ({', '.join(offered)}), ask for those you need by these names"
        )


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _signature(function: Any) -> str:
    try:
        return str(inspect.signature(function))
    except (TypeError, ValueError):
        return "(...)"
