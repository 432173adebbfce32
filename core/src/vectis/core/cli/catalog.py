"""`vectis catalog`: the event types, whether they still fit what is out there, and their export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vectis.core.cli.application import application, picture, quiet, refuse_half
from vectis.core.cli.catalog_check import check
from vectis.core.cli.group import module_option
from vectis.core.cli.screen import NOTHING, Styled, line, show_json, table, warn
from vectis.core.entries import entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectis.core.cli.screen import Cell
    from vectis.core.entries import Entry
    from vectis.core.hub import Hub

__all__ = ["catalog"]

_NAMED = 5  # handlers that are named in a row
_JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


@click.group(invoke_without_command=True)
@module_option
@_JSON
@click.pass_context
def catalog(context: click.Context, modules: tuple[str, ...], as_json: bool) -> int:
    """Show, check and export the event types.

    Every type that a plugin registered, a handler names or [topics] lists: its versions with their
    classes, its topic, its key, and who handles it.

    Exit code 1 when a module does not import: it is named, and the rest is shown. `check` and
    `export` refuse then, and without a plugin that is quarantined or hidden by safe mode, since
    half a catalogue would be taken for the whole.
    """
    quiet("vectis.plugins")
    if context.invoked_subcommand is not None:
        context.obj = modules
        return 0
    lacking = "its event types and handlers are not listed"
    with picture(modules, lacking) as seen:
        found = entries(seen.hub)
        if as_json:
            show_json([_plain(entry) for entry in found])
        else:
            _show(found)
        _note_missing(seen.hub)
    return seen.code


@catalog.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonschema", "asyncapi"]),
    required=True,
    help="JSON Schema 2020-12 of the types, or AsyncAPI 3.0 of the whole application.",
)
@click.option("--title", help="AsyncAPI: what the application is called; default: [hub] source.")
@click.option(
    "--app-version",
    default="1.0.0",
    show_default=True,
    help="AsyncAPI: the version of the application.",
)
@module_option
@click.pass_context
def export(
    context: click.Context, form: str, title: str | None, app_version: str, modules: tuple[str, ...]
) -> None:
    """Write what the application publishes and handles, for other programs, as JSON.

    Exit code 2 when a plugin is quarantined or hidden by safe mode: its part would be missing.
    """
    from vectis.core.asyncapi import asyncapi, json_schemas

    with application((*(context.obj or ()), *modules)) as hub:
        refuse_half(hub, "Nothing was exported")
        if form == "jsonschema":
            show_json(json_schemas(hub))
        else:
            show_json(asyncapi(hub, title=title, version=app_version))


catalog.add_command(check)


def _plain(entry: Entry) -> dict[str, Any]:
    newest = entry.newest
    return {
        "type": entry.name,
        "topics": list(entry.topics),
        "key": newest.key if newest else None,
        "forward": newest.forward if newest else False,
        "plugin": newest.plugin if newest else None,
        "catalogued": entry.catalogued,
        "versions": [
            {"version": known.version, "class": _path_of(known.cls)} for known in entry.versions
        ],
        "upcasters": [
            {"from_version": upcaster.from_version, "function": str(upcaster)}
            for upcaster in entry.upcasters
        ],
        "handlers": [
            {
                "handler": handler.id,
                "scope": handler.scope,
                "pattern": handler.pattern,
                "takes": handler.takes,
                "class": None if handler.takes != "class" else _path_of(handler.event_class),
            }
            for handler in entry.handlers
        ],
    }


def _path_of(cls: type | None) -> str | None:
    return None if cls is None else f"{cls.__module__}.{cls.__qualname__}"


def _show(found: Sequence[Entry]) -> None:
    if not found:
        line(
            "No event types. A plugin registers classes in vectis_register_events; name the "
            "application's modules with --module"
        )
        return
    table(
        ["EVENT TYPE", "VERSION", "TOPIC", "KEY", "PLUGIN", "CLASS", "HANDLERS"],
        [row for entry in found for row in _rows(entry)],
        spill=["CLASS", "HANDLERS", "KEY"],
    )
    if any(_unnamed(entry) for entry in found):
        line()
        line(Styled("All handlers of a type: `vectis explain EVENT_TYPE`", "hint"))


def _unnamed(entry: Entry) -> int:
    """Return how many of the handlers there is no room for."""
    return max(0, len({handler.id for handler in entry.handlers}) - _NAMED)


def _handlers(entry: Entry) -> str:
    names = list(dict.fromkeys(handler.id for handler in entry.handlers))
    more = _unnamed(entry)
    return ", ".join(names[:_NAMED]) + f" and {more} more" * bool(more)


def _rows(entry: Entry) -> list[list[Cell]]:
    topic = ", ".join(entry.topics) or NOTHING
    handlers = _handlers(entry) or NOTHING
    newest = entry.newest
    if newest is None:
        return [[Styled(entry.name, "key"), NOTHING, topic, NOTHING, NOTHING, NOTHING, handlers]]
    rows: list[list[Cell]] = []
    for known in reversed(entry.versions):
        first = known is newest
        rows.append(
            [
                Styled(entry.name, "key") if first else "",
                str(known.version),
                topic if first else "",
                (known.key or NOTHING) if first else "",
                known.plugin if first else "",
                _path_of(known.cls) or NOTHING,
                handlers if first else "",
            ]
        )
    return rows


def _note_missing(hub: Hub) -> None:
    for plugin in hub.plugins:
        if plugin.state == "quarantined":
            warn(f"{plugin} is quarantined, so its types are missing: see `vectis doctor`")
