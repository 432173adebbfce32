"""What is told of plugins in quarantine: a line each, and what to do.

Why one is there, and the remedy, it says itself; here is how several are told together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectis.core.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vectis.core.hub import Hub
    from vectis.core.plugins import Plugin

__all__ = ["lines", "named", "quarantined"]

_CAUSE = 200  # characters of a cause where several are told
_NAMED = 3  # plugins that are named in a sentence


def quarantined(hub: Hub, *, tolerated: bool = True) -> list[Plugin]:
    """Return the plugins of a hub that are in quarantine, in its order.

    Args:
        hub: The hub.
        tolerated: Whether those of `[consumer] tolerate` are among them.

    Example:
        >>> from vectis.core import Hub
        >>> from vectis.core.quarantine import quarantined
        >>> hub = Hub({}, plugins={"hub": object()}, discover=False)
        >>> [plugin.name for plugin in quarantined(hub)]
        ['hub']
    """
    spared = () if tolerated else hub.consumer_settings.tolerate
    return [p for p in hub.plugins if p.state == "quarantined" and p.name not in spared]


def lines(plugins: Sequence[Plugin]) -> list[str]:
    """Return a line for each plugin with its cause, and below what to do.

    Args:
        plugins: In quarantine, at least one.
    """
    if len(plugins) == 1:
        (plugin,) = plugins
        told = one_line(plugin.reason, limit=500)
        return [f"  {plugin}: {told}", f"  -> {one_line(plugin.remedy, limit=500)}"]
    told_of = [f"  {plugin}: {one_line(plugin.reason, limit=_CAUSE)}" for plugin in plugins]
    return [*told_of, "  -> `vectis doctor` says what to do about each"]


def named(plugins: Iterable[Plugin]) -> str:
    """Return a sentence without its full stop: who is in quarantine; nothing for nobody.

    Of a single one it tells the reason as well.

    Args:
        plugins: In quarantine.
    """
    broken = list(plugins)
    if not broken:
        return ""
    if len(broken) == 1:
        return f"plugin {broken[0]} is quarantined: {one_line(broken[0].reason, limit=500)}"
    names = ", ".join(map(str, broken[:_NAMED]))
    more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
    return f"plugins {names}{more} are quarantined"
