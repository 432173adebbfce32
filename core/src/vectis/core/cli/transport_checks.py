"""What `vectis doctor` checks of the transport: which one carries, why, and what it finds.

Only the one in use is connected to; nothing is stored.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs

from vectis.core.absence import configured_transport
from vectis.core.cli.check import Check, briefly
from vectis.core.exceptions import TransportError
from vectis.core.topics import topics_in_use, topics_of_handler
from vectis.core.transport import Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Sequence

    from vectis.core.hub import Hub
    from vectis.core.plugins import Plugin
    from vectis.core.routing import Offer
    from vectis.core.transport import Finding

__all__ = ["consumed_topics", "transport"]

_INSTALL = "pip install "


def transport(hub: Hub) -> Iterator[Check]:
    """Tell which transport carries messages and why, what it finds, and why others do not."""
    chosen = hub.hub_settings.transport
    why = (
        f"chosen by {hub.config.origin('hub', 'transport')}"
        if chosen and not hub.routing.chose_a_bus
        else "the only one that offers"
    )
    route = Route("service", _some_topic(hub))
    try:
        offer = hub.routing.offer(route)
    except TransportError as error:
        yield Check("transport", "fail", str(error), "publishing raises until this is settled")
        return
    if offer is not None:
        said = f": {offer.carrier.describe}" if offer.carrier.describe else ""
        yield Check("transport", "ok", f"{offer.plugin}, {why}{said}")
        for plugin in hub.plugins:
            if plugin.name == offer.plugin and (problem := _reason(hub, plugin)):
                remedy = "mend that: until then publishing and consuming fail"
                yield Check("transport", "fail", f"{offer.plugin}: {problem}", remedy)
                break
        else:
            yield from _examined(hub, offer)
    elif chosen and not hub.routing.chose_a_bus:
        said, remedy = "does not offer to carry anything", "see why below"
        for plugin in hub.plugins:
            if plugin.name == chosen and plugin.state == "disabled":
                said, remedy = f"is {plugin.reason}", plugin.remedy
            elif plugin.name == chosen and plugin.state == "quarantined":
                said, remedy = "is quarantined", plugin.remedy
        yield Check(
            "transport", "fail", f"{chosen}, {why}, {said}", f"{remedy}, or choose another one"
        )
    elif problem := configured_transport(hub):
        yield Check("transport", "fail", problem, "mend that: until then publishing raises")
    else:
        disabled = [
            plugin
            for plugin in hub.plugins
            if plugin.state == "disabled" and hub.config.mentions(plugin.name)
        ]
        for plugin in disabled:
            unused = f"{plugin.name} is configured, and {plugin.reason}"
            remedy = f"{plugin.remedy}, or remove its settings"
            yield Check("transport", "warn", unused, remedy)
        yield _nobody(hub, "see why above" if disabled else "")
    for plugin in hub.plugins:
        if offer is None or plugin.name != offer.plugin:
            yield from _declined(hub, plugin)


def _nobody(hub: Hub, advice: str) -> Check:
    said = "none is available: publish returns None and does nothing"
    if any(_meant(hub, plugin) for plugin in hub.plugins):
        return Check("transport", "warn", said, "see why below")
    if not advice:
        said += ", silently"
        advice = 'configure one, such as [sqlite] path = "events.db"'
    return Check("transport", "warn", said, advice)


def _examined(hub: Hub, offer: Offer) -> Iterator[Check]:
    """Let the transport connect, and yield what it found."""
    if offer.carrier.examine is None:
        return
    try:
        findings = asyncio.run(_found(offer.carrier.examine(topics_in_use(hub))))
    except TransportError as error:
        remedy = "mend that: until then publishing and consuming fail"
        yield Check("transport", "fail", briefly(error), remedy)
        return
    for finding in findings:
        yield Check(offer.plugin, finding.status, finding.message, finding.remedy)


async def _found(findings: Awaitable[Sequence[Finding]]) -> Sequence[Finding]:
    return await findings


def consumed_topics(hub: Hub) -> tuple[str, ...]:
    """Return the topics that a worker of this hub reads, sorted, as far as they are known.

    Args:
        hub: Its settings and its handlers are asked.
    """
    handled = {
        source.topic
        for subscription in hub.subscriptions
        if subscription.scope == "service" and subscription.enabled
        for source in topics_of_handler(hub, subscription)
    }
    return tuple(sorted({*hub.consumer_settings.topics} or handled))


def _is_transport(hub: Hub, plugin: Plugin) -> bool:
    # The bus has the hook too, and is not meant.
    loaded = plugin.state == "loaded" and "vectis_emit" in plugin.hooks
    return loaded and not hub.routing.is_bus(plugin.name)


def _meant(hub: Hub, plugin: Plugin) -> str | None:
    """Return why a transport that somebody configured declines; None for any other."""
    if not _is_transport(hub, plugin) or not hub.config.mentions(plugin.name):
        return None
    return _reason(hub, plugin)


def _declined(hub: Hub, plugin: Plugin) -> Iterator[Check]:
    if not _is_transport(hub, plugin):
        return
    if hub.hub_settings.transport not in (None, plugin.name) and not hub.routing.chose_a_bus:
        yield Check("transport", "ok", f"{plugin.name} stands back for [hub] transport")
    elif reason := _meant(hub, plugin):
        problem, install, what = reason.partition(f": {_INSTALL}")
        remedy = f"{_INSTALL}{what}" if install else "mend that, or remove its settings"
        said = f"{plugin.name} is configured, and declined: {problem}"
        yield Check("transport", "warn", said, remedy)
    else:
        reason = _reason(hub, plugin) or _unset(plugin)
        yield Check("transport", "ok", f"{plugin.name} declined: {reason}")


def _reason(hub: Hub, plugin: Plugin) -> str | None:
    """Return why a plugin cannot do its work, by its own account."""
    try:
        return hub.unavailable(plugin)
    except Exception as error:
        return f"and failed to say why: {type(error).__name__}: {briefly(error)}"


def _unset(plugin: Plugin) -> str:
    """Return a guess for a transport that does not say why it declines."""
    unset = (
        [
            field.alias or field.name
            for field in attrs.fields(type(plugin.settings))
            if getattr(plugin.settings, field.name) is None
        ]
        if plugin.settings is not None
        else []
    )
    if not unset:
        return "it does not say why"
    return f"it does not say why; not set in [{plugin.name}]: {', '.join(unset)}"


def _some_topic(hub: Hub) -> str:
    named = [*hub.topics, *(known.topic for known in hub.catalogue if known.topic)]
    return named[0] if named else "vectis.doctor"
