"""What plugins need of each other, and the order that follows from it.

A plugin says it in two attributes of its module, class or object, beside its hooks:

    vectis_requires = ("commerce",)    # quarantined without it, and registered after it
    vectis_after = ("acme-trace",)     # registered after it, when it is there

They are read when the plugin was imported. Nothing here imports or registers anything.
"""

from __future__ import annotations

import inspect
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from vectis.core.exceptions import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vectis.core.plugins import Plugin

__all__ = ["dependents", "missing", "names", "ordered"]


def names(owner: object, attribute: str) -> tuple[str, ...]:
    """Return the names of plugins that an attribute holds; empty when there is none.

    Args:
        owner: The plugin's module, instance or object.
        attribute: `vectis_requires` or `vectis_after`.

    Raises:
        PluginError: It is no tuple or list of names.

    Example:
        >>> from types import SimpleNamespace
        >>> from vectis.core.needs import names
        >>> names(SimpleNamespace(vectis_requires=("commerce",)), "vectis_requires")
        ('commerce',)
    """
    found = inspect.getattr_static(owner, attribute, ())
    if not isinstance(found, tuple | list) or not all(isinstance(name, str) for name in found):
        example = f'{attribute} = ("commerce",)'
        raise PluginError(f"{attribute} is {found!r}: write the names as a tuple, {example}")
    return tuple(found)


def ordered(plugins: Sequence[Plugin]) -> list[Plugin]:
    """Return the plugins, each after those that it needs or follows, else in the order given.

    Those that need each other in a circle are quarantined and left out.
    """
    if not any(plugin.requires or plugin.after for plugin in plugins):
        return list(plugins)
    from graphlib import CycleError, TopologicalSorter
    from heapq import heappop, heappush

    left = {plugin.name: plugin for plugin in plugins}
    while True:
        sorter = TopologicalSorter(
            {name: [n for n in _before(plugin) if n in left] for name, plugin in left.items()}
        )
        try:
            sorter.prepare()
            break
        except CycleError as error:
            # Each is followed by one that needs it; read backwards, each needs the next.
            circle = error.args[1][::-1]
        remedy = _out_of(circle, left)
        for name in circle[1:]:
            _quarantine_in_circle(left.pop(name), circle, remedy)
    # The first in the order given among those that could be next.
    place = {name: number for number, name in enumerate(left)}
    ready: list[tuple[int, str]] = []
    order = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heappush(ready, (place[name], name))
        _, name = heappop(ready)
        order.append(left[name])
        sorter.done(name)
    return order


def _before(plugin: Plugin) -> tuple[str, ...]:
    return (*plugin.requires, *plugin.after)


def _out_of(circle: list[Any], plugins: Mapping[str, Plugin]) -> str:
    """Say what ends a circle: an author's change, or an operator's."""
    told = "one of them has to drop the next from its vectis_requires or vectis_after; until then "
    for one, following in pairwise(circle):
        if following not in plugins[one].requires:
            return f"{told}{plugins[following].without}, which {one} can do without"
    names = dict.fromkeys(circle)
    return f"{told}{' and '.join(plugins[name].without for name in sorted(names))}"


def _quarantine_in_circle(plugin: Plugin, circle: list[Any], remedy: str) -> None:
    # Every circle begins where the alphabet does, so that all of its plugins say the same.
    start = circle.index(min(circle))
    turned = [*circle[start:-1], *circle[:start], circle[start]]
    plugin.quarantine(
        PluginError(
            f"it is in a circle of plugins that need or follow each other: {' -> '.join(turned)}",
            remedy=remedy,
        )
    )


def missing(plugin: Plugin, plugins: Iterable[Plugin]) -> PluginError | None:
    """Say which plugin that this one needs is not loaded, why, and what to do; None when all are.

    Args:
        plugin: Imported, so that its needs are known.
        plugins: All of them.
    """
    if not plugin.requires:
        return None
    known = {other.name: other for other in plugins}
    for name in plugin.requires:
        other = known.get(name)
        if other is None:
            return _uninstalled(plugin, name, known)
        if other.state == "quarantined":
            return PluginError(
                f"it needs plugin {other}, which is quarantined: {other.reason}",
                remedy=f"mend plugin {name}, or {plugin.without}",
            )
        if other.state != "loaded":
            return PluginError(
                f"it needs plugin {other}, which is {other.reason}",
                remedy=f"{other.remedy}, or {plugin.without}",
            )
    return None


def _uninstalled(plugin: Plugin, name: str, known: Iterable[str]) -> PluginError:
    from vectis.core.obtaining import installing, lacking
    from vectis.core.plugins import nearest

    hint = nearest(name, [other for other in known if other != plugin.name])
    gone = lacking(plugin.requirements)
    if gone:
        install = f"{installing(*gone)}, which {plugin.distribution} requires"
    else:
        install = f"install the distribution that brings plugin {name}"
        if hint:
            install += f", or correct vectis_requires in {plugin.module or plugin.name}"
    return PluginError(
        f"it needs plugin {name!r}, which is not installed{hint}",
        remedy=f"{install}, or {plugin.without}",
    )


def dependents(name: str, plugins: Iterable[Plugin]) -> list[Plugin]:
    """Return the loaded plugins that need this one, directly or through others.

    Args:
        name: The plugin's name.
        plugins: All of them, imported.
    """
    lost = {name}
    loaded = [plugin for plugin in plugins if plugin.state == "loaded"]
    while more := {p.name for p in loaded if p.name not in lost and lost & {*p.requires}}:
        lost |= more
    return [plugin for plugin in loaded if plugin.name in lost and plugin.name != name]
