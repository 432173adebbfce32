"""`vectis handlers`: every subscription of the application and its plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vectis.core.absence import BUS, missing_bus
from vectis.core.cli.application import picture, quiet, warn_of_misnamed
from vectis.core.cli.group import module_option
from vectis.core.cli.screen import NOTHING, Styled, line, note, show_json, table, warn
from vectis.core.exceptions import TransportError
from vectis.core.subscription import by_priority
from vectis.core.topics import topics_of_handler
from vectis.core.transport import Route

if TYPE_CHECKING:
    from vectis.core.cli.screen import Cell
    from vectis.core.hub import Hub
    from vectis.core.subscription import Subscription

__all__ = ["handlers", "policy"]


@click.command()
@module_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def handlers(modules: tuple[str, ...], as_json: bool) -> int:
    """List every handler of the application and its plugins.

    First those that run inside an emit, then those that the worker calls, with the topic their
    events arrive on; both in the order of their priority, which is 50 for those of the worker
    unless [handlers] in the config says otherwise. The modules of [consumer] modules are imported.
    Without a bus the first ones wait for one, and how to get it is said.

    Exit code 1 when a module does not import: it is named, and the rest is shown.
    """
    quiet("vectis.plugins")
    with picture(modules, "its handlers are not listed") as seen:
        hub = seen.hub
        inside = by_priority(s for s in hub.subscriptions if s.scope == "process")
        consuming = by_priority(s for s in hub.subscriptions if s.scope == "service")
        missing = missing_bus(hub)
        busless = missing is not None
        if as_json:
            show_json([_plain(hub, s, busless) for s in (*inside, *consuming)])
        else:
            _show(hub, inside, consuming, busless=busless)
        if busless and any(s.enabled for s in inside):
            warn(f"Handlers on the bus wait for one: {missing}")
        _note_missing(hub)
        warn_of_misnamed(seen)
    return seen.code


def policy(subscription: Any) -> str:
    """Return what is special about a handler: `once, timeout 2 s, required`.

    Args:
        subscription: A subscription, or what `explain` tells of one.
    """
    words = []
    if subscription.once:
        words.append("once")
    if subscription.timeout is not None:
        words.append(f"timeout {subscription.timeout:g} s")
    if subscription.required:
        words.append("required")
    return ", ".join(words)


def _plain(hub: Hub, subscription: Subscription, busless: bool) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "handler": subscription.id,
        "plugin": subscription.plugin,
        "scope": subscription.scope,
        "pattern": subscription.pattern,
        "priority": subscription.priority,
        "once": subscription.once,
        "timeout": subscription.timeout,
        "required": subscription.required,
        "takes": subscription.takes,
        "enabled": subscription.enabled,
        "changed_by": subscription.note,
        "state": _state(subscription, busless),
    }
    if subscription.scope == "service":
        topics = [source.topic for source in topics_of_handler(hub, subscription)]
        plain["topics"] = topics
        plain["transports"] = [_transport(hub, topic) for topic in topics]
    return plain


def _transport(hub: Hub, topic: str) -> str | None:
    try:
        offer = hub.routing.offer(Route("service", topic))
    except TransportError:
        return None  # `vectis doctor` and `explain` say why
    return offer.plugin if offer else None


def _show(
    hub: Hub, inside: list[Subscription], consuming: list[Subscription], *, busless: bool
) -> None:
    if not inside and not consuming:
        line(
            "No handlers. Name the application's modules with --module, or in the config: "
            '[consumer] modules = ["shop.handlers"]'
        )
        return
    if inside:
        line(Styled("On the bus, inside emit", "key"))
        table(
            ["PRIORITY", "PATTERN", "HANDLER", "POLICY", "STATE"],
            [
                [
                    str(s.priority),
                    s.pattern,
                    Styled(s.id, "key"),
                    policy(s) or NOTHING,
                    _state_cell(_state(s, busless)),
                ]
                for s in inside
            ],
            indent=2,
            spill=["POLICY", "STATE"],
        )
    if consuming:
        if inside:
            line()
        line(Styled("Consumed by the worker", "key"))
        table(
            ["PRIORITY", "EVENT TYPE", "TOPIC", "TRANSPORT", "HANDLER", "STATE"],
            [_consuming_row(hub, s) for s in consuming],
            indent=2,
            spill=["TRANSPORT", "STATE"],
        )


def _consuming_row(hub: Hub, subscription: Subscription) -> list[Cell]:
    topics = [source.topic for source in topics_of_handler(hub, subscription)]
    if not topics and hub.consumer_settings.topics:
        topics = list(hub.consumer_settings.topics)
    transports = dict.fromkeys(_transport(hub, topic) or "none" for topic in topics)
    return [
        str(subscription.priority),
        subscription.pattern,
        ", ".join(topics) or Styled("unknown", "bad"),
        ", ".join(transports) or NOTHING,
        Styled(subscription.id, "key"),
        _state_cell(_state(subscription, busless=False)),
    ]


def _state(subscription: Subscription, busless: bool) -> str:
    if not subscription.enabled:
        return f"disabled by {subscription.note}"
    if busless and subscription.scope == "process":
        changed = f", changed by {subscription.note}" if subscription.note else ""
        return f"waits for a bus{changed}"
    return f"changed by {subscription.note}" if subscription.note else "enabled"


def _state_cell(state: str) -> Cell:
    if state.startswith("changed"):
        return state
    return Styled(state, "hint" if state == "enabled" else "warn")


def _note_missing(hub: Hub) -> None:
    for plugin in hub.plugins:
        if plugin.state == "quarantined":
            warn(f"{plugin} is quarantined: handlers it may have are missing: see `vectis doctor`")
        elif plugin.state == "disabled" and plugin.distribution != BUS:
            # It was not imported, so whether it has any is not known.
            note(f"{plugin} is {plugin.reason}: handlers it may have are missing")
