"""`vectis explain`: draws what `vectis.core.explain` found out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vectis.core.cli.application import picture, quiet, warn_of_misnamed
from vectis.core.cli.group import module_option
from vectis.core.cli.handlers import policy
from vectis.core.cli.screen import NOTHING, Styled, heading, line, show_json, table
from vectis.core.exceptions import SubscriptionError
from vectis.core.redact import ended
from vectis.core.subscription import check_pattern

if TYPE_CHECKING:
    from vectis.core.cli.screen import Cell
    from vectis.core.explain import Explanation, Publishing

__all__ = ["explain"]


@click.command()
@click.argument("event_type")
@module_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def explain(event_type: str, modules: tuple[str, ...], as_json: bool) -> int:
    """Show who would run for an event, in which order, and why.

    A dry run: plugins are loaded, the modules of [consumer] modules imported, and nothing is
    emitted, published or consumed. A type that nobody declares is no error: it says so, suggests
    near ones, and the exit code is 0.

    Exit code 1 when a module does not import: it is named, and the rest is shown.
    """
    from vectis.core import explain as data

    if check_pattern(event_type) and "*" in event_type:
        raise SubscriptionError(
            f"{event_type!r} is a pattern; name one event type, such as "
            f"{event_type.replace('*', 'created')!r}. `vectis handlers` lists patterns"
        )
    quiet("vectis.plugins")
    with picture(modules, "its handlers would run as well, and are not shown") as seen:
        explanation = data.explain(seen.hub, event_type)
        warn_of_misnamed(seen)
    if as_json:
        show_json(explanation.plain())
        return seen.code
    _show_type(explanation)
    _show_emit(explanation)
    _show_publishing(explanation)
    _show_consumers(explanation)
    _show_absent(explanation)
    return seen.code


def _show_type(explanation: Explanation) -> None:
    line(Styled(explanation.event_type, "key"))
    if explanation.described_by:
        line(
            f"{explanation.described_by}, version {explanation.version}, "
            f"of plugin {explanation.owner}",
            indent=2,
        )
    if explanation.declared:
        return
    line(
        Styled("Nobody declares this type: ", "warn"),
        "it is not in the catalogue, not in [topics], and no handler names it without a pattern.",
        indent=2,
    )
    if explanation.similar:
        line(f"Did you mean {' or '.join(explanation.similar)}?", indent=2)
    else:
        line("If its handlers are in a module of yours, name it: --module shop.handlers", indent=2)


def _show_emit(explanation: Explanation) -> None:
    heading("1  Guards, before any handler")
    _show_hooks(explanation, "vectis_startup", "vectis_before_emit", "vectis_around_emit")
    by = f", by {explanation.bus} ({explanation.bus_describe})" if explanation.bus else ""
    heading(f"2  Handlers, in this order{by}")
    if explanation.problem:
        line(Styled("An emit fails: ", "bad"), explanation.problem, indent=4)
    elif not explanation.handlers:
        line(
            "none known here: name the modules that subscribe with --module or [consumer] modules",
            indent=4,
        )
    else:
        rows: list[list[Cell]] = [
            [
                str(call.number),
                str(call.priority),
                call.pattern,
                Styled(call.handler, "key"),
                call.version or NOTHING,
                policy(call) or NOTHING,
                call.changed_by or NOTHING,
            ]
            for call in explanation.handlers
        ]
        titles = ["NO", "PRIORITY", "PATTERN", "HANDLER", "VERSION", "POLICY", "CHANGED BY"]
        _table(titles, rows, seldom=["POLICY", "CHANGED BY"])
    heading("3  Observers, after the handlers")
    _show_hooks(explanation, "vectis_handler_error", "vectis_after_emit")


def _table(titles: list[str], rows: list[list[Cell]], *, seldom: list[str]) -> None:
    """Draw a table without the columns that are nearly always empty, since a screen is narrow."""
    empty = {
        place
        for place, title in enumerate(titles)
        if title in seldom and all(row[place] == NOTHING for row in rows)
    }
    table(
        [title for place, title in enumerate(titles) if place not in empty],
        [[cell for place, cell in enumerate(row) if place not in empty] for row in rows],
        indent=4,
        spill=[title for title in titles if title in seldom],
    )


def _show_hooks(explanation: Explanation, *hooks: str) -> None:
    calls = explanation.implementing(*hooks)
    if not calls:
        line("none", indent=4)
        return
    table(
        ["HOOK", "PLUGIN", "VERSION"],
        [[call.hook, Styled(call.plugin, "key"), call.version or NOTHING] for call in calls],
        indent=4,
    )


def _show_publishing(explanation: Explanation) -> None:
    heading("4  Publishing")
    if not explanation.publishing:
        line("no topic: neither the catalogue nor [topics] nor a handler names one", indent=4)
    for publishing in explanation.publishing:
        line("to ", Styled(publishing.topic, "key"), f" ({publishing.origin})", indent=4)
        how = "every emit is forwarded, after its handlers passed" if publishing.forward else ""
        line(how or "only when the application calls publish_event; an emit stays inside", indent=6)
        line(*_carried_by(publishing), indent=6)
    _show_hooks_if_any(
        explanation, "vectis_before_publish", "vectis_around_publish", "vectis_after_publish"
    )


def _carried_by(publishing: Publishing) -> list[Cell]:
    if publishing.problem:
        return [Styled("fails: ", "bad"), publishing.problem]
    if publishing.transport is None:
        return [
            Styled("no transport is available: ", "warn"),
            "publishing does nothing, silently; `vectis doctor` tells why",
        ]
    said = f": {publishing.describe}" if publishing.describe else ""
    version = f" {publishing.version}" if publishing.version else ""
    return ["carried by ", Styled(publishing.transport, "key"), version, said]


def _show_consumers(explanation: Explanation) -> None:
    group = explanation.group
    heading(f"5  Consumers known here, group {group}" if group else "5  Consumers known here")
    if not explanation.consumers:
        line("none: @on_event handlers of other services are not visible from here", indent=4)
        return
    _table(
        ["PRIORITY", "HANDLER", "VERSION", "TOPIC", "NAMED BY", "CHANGED BY"],
        [
            [
                str(call.priority),
                Styled(call.handler, "key"),
                call.version or NOTHING,
                ", ".join(call.topics) or Styled("unknown", "bad"),
                call.origin or NOTHING,
                call.changed_by or NOTHING,
            ]
            for call in explanation.consumers
        ],
        seldom=["NAMED BY", "CHANGED BY"],
    )
    if explanation.consumer_topics:
        line(
            f"[consumer] topics: the worker reads {', '.join(explanation.consumer_topics)}",
            indent=4,
        )
    if group is None:
        line("no [consumer] group is set", indent=4)
    _show_hooks_if_any(
        explanation, "vectis_around_consume", "vectis_after_consume", "vectis_dead_letter"
    )


def _show_hooks_if_any(explanation: Explanation, *hooks: str) -> None:
    if explanation.implementing(*hooks):
        _show_hooks(explanation, *hooks)


def _show_absent(explanation: Explanation) -> None:
    heading("6  Would have run, and does not")
    if not explanation.absent:
        line("nothing is disabled or quarantined", indent=4)
    for absent in explanation.absent:
        version = f" {absent.version}" if absent.version else ""
        reason = absent.reason.removeprefix(absent.state).lstrip()
        style = "bad" if absent.state == "quarantined" else "warn"
        if absent.kind == "plugin":
            reason = f"{ended(reason)} What it would have run is unknown"
        line(
            f"{absent.kind} ",
            Styled(absent.name, "key"),
            f"{version}, {reason}",
            indent=4,
            lead=Styled(f"{absent.state:<13}", style),
        )
