"""Why nobody carries something, in words: plugins that were meant to and cannot.

That nobody configured a transport is no error, and not told here: an application runs in
development without one. What somebody configured must never be silent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectis.core.exceptions import TransportError
from vectis.core.obtaining import installing
from vectis.core.quarantine import named, quarantined
from vectis.core.redact import ended, one_line
from vectis.core.safemode import only_hidden
from vectis.core.transport import Dispensable, Route

if TYPE_CHECKING:
    from vectis.core.hub import Hub
    from vectis.core.plugins import Plugin

__all__ = [
    "BUS",
    "configured_transport",
    "hidden_transport",
    "missing_bus",
    "quarantined_carriers",
    "way_to_a_bus",
    "way_to_a_transport",
]

BUS = "vectis-bus"
"""The distribution of the default bus, which has no handlers of its own."""


def configured_transport(hub: Hub) -> str | None:
    """Say which transport somebody configured that cannot be used, and what to do; None when none.

    Args:
        hub: One in which nobody offers to carry a topic.
    """
    chosen = hub.hub_settings.transport
    if chosen is not None and not hub.routing.chose_a_bus:
        where = hub.config.origin("hub", "transport")
        plugin = next(plugin for plugin in hub.plugins if plugin.name == chosen)
        reason = _reason(hub, plugin)
        if isinstance(reason, Dispensable):
            return None
        way = f"What to do: {plugin.remedy}" if plugin.remedy else "Mend that"
        return (
            f"[hub] transport = {chosen!r} ({where}) cannot be used: {ended(reason)} "
            f"{way}, or choose another one"
        )
    configured = [p for p in _broken_carriers(hub) if hub.config.mentions(p.name)]
    if not configured:
        return None
    what = "It is configured, so nothing is left out silently"
    if len(configured) > 1:
        what = "They are configured, so nothing is left out silently"
        return f"{named(configured)}. {what}: see `vectis doctor`"
    return f"{ended(named(configured))} {what}: {configured[0].remedy}"


def hidden_transport(hub: Hub) -> str | None:
    """Say which configured plugins safe mode hides, and what to do; None when it hides none.

    They were not imported, so which of them is the transport is not known.

    Args:
        hub: One in which nobody offers to carry a topic.

    Example:
        >>> from vectis.core import Hub
        >>> from vectis.core.absence import hidden_transport
        >>> hidden_transport(Hub({"sqlite": {"path": "events.db"}})) is None
        True
    """
    found = [
        str(plugin)
        for plugin in hub.plugins
        if only_hidden(plugin, hub.config) and hub.config.mentions(plugin.name)
    ]
    if not found:
        return None
    one = len(found) == 1
    return (
        f"{', '.join(found)} {'is' if one else 'are'} configured, and hidden by VECTIS_SAFE_MODE, "
        "which loads default plugins only. Unset VECTIS_SAFE_MODE"
    )


def missing_bus(hub: Hub) -> str | None:
    """Say why nobody calls the handlers on the bus, and what to do; None when somebody does.

    Args:
        hub: An assembled one.

    Example:
        >>> from vectis.core import Hub
        >>> from vectis.core.absence import missing_bus
        >>> missing_bus(Hub({"plugins": {"disable": ["bus"]}}))
        'no bus is enabled. `vectis plugins enable bus`: it is disabled by Hub(config=...)'
    """
    try:
        offer = hub.routing.offer(Route("process", "vectis.absence"))
    except TransportError as error:
        return str(error)
    return None if offer is not None else f"no bus is enabled. {way_to_a_bus(hub)}"


def quarantined_carriers(hub: Hub) -> str:
    """Name the plugins in quarantine that may be the bus or transport that is missed; or nothing.

    Example:
        >>> from vectis.core import Hub
        >>> from vectis.core.absence import quarantined_carriers
        >>> quarantined_carriers(Hub({}, discover=False))
        ''
    """
    return named(_broken_carriers(hub))


def way_to_a_bus(hub: Hub) -> str:
    """Return what to do where no bus plugin is there to run handlers.

    Args:
        hub: One in which nobody offers to be the bus.

    Example:
        >>> from vectis.core import Hub
        >>> from vectis.core.absence import way_to_a_bus
        >>> way_to_a_bus(Hub({"plugins": {"disable": ["bus"]}}))
        '`vectis plugins enable bus`: it is disabled by Hub(config=...)'
    """
    for plugin in hub.plugins:
        if plugin.distribution == BUS and plugin.state == "disabled":
            return f"{plugin.remedy}: it is {plugin.reason}"
        if plugin.distribution == BUS and plugin.state == "quarantined":
            return f"mend plugin {plugin.name}: {plugin.remedy}"
    return f"Install {BUS}, {installing(BUS)}, or another bus"


def way_to_a_transport(hub: Hub) -> str:
    """Return what to do where nobody offers to carry a topic, or why the one that should does not.

    Args:
        hub: One in which nobody offers to carry a topic.

    Example:
        >>> from vectis.core import Hub
        >>> from vectis.core.absence import way_to_a_transport
        >>> way_to_a_transport(Hub({}, discover=False))
        'configure one, such as [sqlite] path = "events.db" or [redpanda] bootstrap_servers; \
`vectis doctor` tells why each one declined'
    """
    return (
        configured_transport(hub)
        or hidden_transport(hub)
        or (
            'configure one, such as [sqlite] path = "events.db" or [redpanda] bootstrap_servers; '
            "`vectis doctor` tells why each one declined"
        )
    )


def _broken_carriers(hub: Hub) -> list[Plugin]:
    # One that was not even imported may have been anything.
    return [
        plugin for plugin in quarantined(hub) if not plugin.hooks or "vectis_emit" in plugin.hooks
    ]


def _reason(hub: Hub, plugin: Plugin) -> str:
    if plugin.state == "quarantined":
        return named([plugin])
    try:
        reason = hub.unavailable(plugin)
    except Exception as error:
        why = one_line(f"{type(error).__name__}: {error}", limit=500)
        return f"it declined, and failed to say why: {why}"
    return reason or "it declined, and does not say why"
