"""Which plugins there are, which of them run, and why the others do not.

In three steps, so that a disabled plugin is never imported and a broken one breaks nothing else:
`discover` lists the entry points, `decide` applies the config, and `vectis.core.loader` imports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs

from vectis.core.distributions import distribution, normal
from vectis.core.exceptions import PluginError, VectisError
from vectis.core.fitting import quarantine_unfit
from vectis.core.safemode import default_distributions
from vectis.core.subscription import APP

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from importlib_metadata import EntryPoint

    from vectis.core.settings import Config, PluginsSettings

__all__ = [
    "COMMANDS",
    "PLUGINS",
    "RESERVED",
    "Plugin",
    "State",
    "decide",
    "discover",
    "nearest",
    "refuse_unknown",
    "unknown_names",
]

PLUGINS = "vectis.plugins"
"""The entry-point group of plugins."""

COMMANDS = "vectis.commands"
"""The entry-point group of commands that plugins add to `vectis`."""

State = Literal["enabled", "disabled", "quarantined", "loaded"]

RESERVED = frozenset({APP, "consumer", "handlers", "hub", "plugins", "topics"})
"""Names that no plugin may have: those of core's own tables, and of the application."""


@attrs.define(kw_only=True, eq=False)
class Plugin:
    """One plugin as the hub knows it.

    Args:
        name: The entry point's name; its config table has the same.
        entry_point: `module` or `module:attribute`.
        distribution: The distribution that brought it; empty for one passed to `Hub(plugins=...)`.
        version: That distribution's version.
        requirements: What that distribution requires, as `pip` reads it.
        state: `enabled`, to be loaded; `loaded`; `disabled` by config; `quarantined`, it is broken.
        reason: Why it is in this state, in words, such as the config line that disabled it.
        remedy: What to do about it: what mends one in quarantine, what enables one that is
            disabled; empty for one that works.
        cause: The error that put it in quarantine.
        object: The module, instance or object, once loaded.
        hooks: The names of the hooks it implements, once loaded.
        outdated: A sentence for each deprecated thing that it uses, once loaded.
        requires: The plugins it cannot do without, once imported.
        after: The plugins it follows when they are there, once imported.
        settings: Its settings, once loaded; None when it has none.
    """

    name: str
    entry_point: str = ""
    distribution: str = ""
    version: str = ""
    requirements: tuple[str, ...] = ()
    state: State = "enabled"
    reason: str = ""
    remedy: str = ""
    cause: BaseException | None = None
    object: Any = None
    hooks: tuple[str, ...] = ()
    outdated: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    settings: Any = None
    _load: EntryPoint | None = None

    @property
    def module(self) -> str:
        """The name of the module that the entry point names."""
        return self.entry_point.partition(":")[0].strip()

    def owns(self, module: str | None) -> bool:
        """Tell whether a module is the plugin's own or lies inside its package."""
        return bool(self.module) and f"{module}.".startswith(f"{self.module}.")

    def load(self) -> Any:
        """Import and return what the entry point names.

        Raises:
            PluginError: The entry point names nothing, whatever there is to import.
            BaseException: Whatever the import raised, SystemExit included.
        """
        if self._load is None:
            return self.object
        try:
            _ = self._load.module
        except ValueError:
            raise PluginError(
                f"its entry point {self.entry_point!r} must be `module` or `module:attribute`",
                remedy=f"correct the entry point {self.name} in the pyproject.toml of "
                f"{self.distribution} and install it anew, or {self.without}",
            ) from None
        return self._load.load()

    def quarantine(self, cause: BaseException, doing: str = "", remedy: str = "") -> None:
        """Set the plugin aside, with the reason in words and what to do about it.

        Args:
            cause: The error; one that says everything by itself needs nothing else.
            doing: What failed with it.
            remedy: What to do; default: what the error says, or else whatever helps always.
        """
        told = isinstance(cause, VectisError) and str(cause)
        said = str(cause) if told or not doing else f"{type(cause).__name__}: {cause}"
        self.state = "quarantined"
        self.cause = cause
        self.reason = f"{doing}: {said}" if doing else said
        self.remedy = remedy or (cause.remedy if isinstance(cause, VectisError) else "")
        if not self.remedy:
            other = f", install another version of {self.distribution}" if self.distribution else ""
            self.remedy = f"mend it{other}, or {self.without}"

    @property
    def without(self) -> str:
        """The command that leaves the plugin out, in words."""
        return f"`vectis plugins disable {self.name}`"

    def __str__(self) -> str:
        origin = f" ({self.distribution} {self.version})" if self.distribution else ""
        return f"{self.name}{origin}"


def discover() -> list[Plugin]:
    """List the installed plugins, sorted by name, without importing any of them."""
    from importlib_metadata import entry_points

    found = []
    for entry in entry_points(group=PLUGINS):
        origin = distribution(entry)
        found.append(
            Plugin(
                name=entry.name,
                entry_point=entry.value,
                distribution=origin.name,
                version=origin.version,
                requirements=origin.requires,
                load=entry,
            )
        )
    return sorted(found, key=lambda plugin: (plugin.name, plugin.distribution))


def decide(plugins: Iterable[Plugin], config: Config, settings: PluginsSettings) -> list[Plugin]:
    """Mark each plugin as enabled, disabled or quarantined by name, and say by what.

    Raises:
        PluginError: `[plugins] require` names one that is not installed or is disabled.
    """
    decided = list(plugins)
    by_name: dict[str, list[Plugin]] = {}
    for plugin in decided:
        by_name.setdefault(plugin.name, []).append(plugin)
    spared = default_distributions() if config.safe_mode else None
    for name, same in by_name.items():
        for plugin in same:
            if spared is not None and normal(plugin.distribution) not in spared:
                plugin.state = "disabled"
                plugin.reason = "disabled by VECTIS_SAFE_MODE: default plugins only"
                plugin.remedy = "unset VECTIS_SAFE_MODE"
            else:
                _decide_one(plugin, same, config, settings)
        for plugin in same:
            if name in RESERVED and plugin.state == "enabled":
                plugin.quarantine(
                    PluginError(
                        f"{name!r} is a name of Vectis's own, and the config could not tell them "
                        "apart",
                        remedy=f"rename its entry point; until then {plugin.without}",
                    )
                )
    quarantine_unfit(decided)
    _check_required(by_name, config, settings)
    return decided


def _decide_one(
    plugin: Plugin, same: list[Plugin], config: Config, settings: PluginsSettings
) -> None:
    name = plugin.name
    if name in settings.disable:
        plugin.state = "disabled"
        plugin.reason = f"disabled by {config.origin_of_item('plugins', 'disable', name)}"
        plugin.remedy = _way_back(name, config.origin("plugins", "disable"), "take {} out of {}")
    elif settings.enable is not None and name not in settings.enable:
        plugin.state = "disabled"
        where = config.origin("plugins", "enable")
        plugin.reason = f"not in the list of {where}"
        plugin.remedy = _way_back(name, where, "put {} into {}")
    elif len(same) > 1:
        both = " and ".join(
            f"{other.distribution or 'Hub(plugins=...)'} ({other.entry_point})" for other in same
        )
        plugin.quarantine(
            PluginError(
                f"{both} are both called {name!r}, so neither is loaded",
                remedy=_part(plugin, same),
            )
        )
    else:
        plugin.state = "enabled"
        plugin.reason = (
            f"enabled by {config.origin_of_item('plugins', 'enable', name)}"
            if settings.enable is not None
            else "enabled by default"
        )
        plugin.remedy = ""


def _way_back(name: str, where: str, change: str) -> str:
    # The command edits the file, which a variable overrules.
    if where.startswith("VECTIS_"):
        return change.format(name, where)
    return f"`vectis plugins enable {name}`"


def _part(plugin: Plugin, same: list[Plugin]) -> str:
    """Say what ends it that several plugins have one name."""
    owners = sorted({other.distribution for other in same if other.distribution})
    ways = " or ".join(f"`pip uninstall {owner}`" for owner in owners)
    if any(not other.distribution for other in same):
        ways = f"give the one of Hub(plugins=...) another name, or {ways}"
    else:
        ways = f"uninstall one: {ways}"
    return f"{ways}; {plugin.without} leaves out all of this name"


def _check_required(
    by_name: Mapping[str, list[Plugin]], config: Config, settings: PluginsSettings
) -> None:
    for name in settings.require:
        where = config.origin_of_item("plugins", "require", name)
        if name not in by_name:
            hint = nearest(name, by_name) or "; install the package that brings it"
            raise PluginError(f"plugin {name!r}, required by {where}, is not installed{hint}")
        for plugin in by_name[name]:
            if plugin.state == "disabled":
                raise PluginError(
                    f"plugin {plugin}, required by {where}, is {plugin.reason}. "
                    f"What to do: {plugin.remedy}"
                )


def unknown_names(
    plugins: Iterable[Plugin], config: Config, settings: PluginsSettings, tolerate: Iterable[str]
) -> list[str]:
    """Return a sentence for each name in the config that no installed plugin has.

    Args:
        plugins: Those installed.
        config: Says which line has the name.
        settings: `[plugins]`; a wrong name in `require` is an error of its own.
        tolerate: `[consumer] tolerate`.
    """
    known = {plugin.name for plugin in plugins}
    lists = (
        ("plugins", "disable", settings.disable),
        ("plugins", "enable", settings.enable or ()),
        ("plugins", "fail_open", settings.fail_open),
        ("consumer", "tolerate", tolerate),
    )
    return [
        f"{config.origin_of_item(table, key, name)}: [{table}] {key} names {name!r}, and no "
        f"installed plugin is called so{nearest(name, known)}"
        for table, key, names in lists
        for name in names
        if name not in known
    ]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a question after the most similar name, to be put behind a sentence, or nothing.

    Example:
        >>> from vectis.core.plugins import nearest
        >>> "no plugin is called 'buss'" + nearest("buss", ["bus", "redpanda"])
        "no plugin is called 'buss'; did you mean 'bus'?"
    """
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def refuse_unknown(names: Iterable[str], known: Collection[str], then: str = "") -> None:
    """Refuse names that no installed plugin has, each with the most similar one.

    Args:
        names: The names that somebody gave.
        known: Those that there are.
        then: What that means, put behind.

    Raises:
        PluginError: Some are unknown; it names all of them.

    Example:
        >>> from vectis.core.plugins import refuse_unknown
        >>> refuse_unknown(["buss"], ["bus", "redpanda"])
        Traceback (most recent call last):
        ...
        vectis.core.exceptions.PluginError: no installed plugin is called 'buss'; did you mean \
'bus'?
    """
    said = [
        f"no installed plugin is called {name!r}"
        f"{nearest(name, known) or '; `vectis plugins` lists them.'}"
        for name in names
        if name not in known
    ]
    if said:
        raise PluginError(" ".join(said) + then)
