"""`vectis catalog`: the event types, whether they still fit what is out there, and their export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vectis.core.cli.application import application, picture, quiet
from vectis.core.cli.group import module_option
from vectis.core.cli.screen import NOTHING, Styled, line, show_json, table, warn
from vectis.core.entries import entries
from vectis.core.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectis.core.cli.screen import Cell
    from vectis.core.compatibility import Change
    from vectis.core.entries import Entry
    from vectis.core.hub import Hub

__all__ = ["catalog"]

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
    `export` refuse then, since half a catalogue would be taken for the whole.
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
    "--snapshot",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("vectis.catalog.json"),
    show_default=True,
    help="The file with the schemas to compare with.",
)
@click.option("--write", is_flag=True, help="Store the schemas as they are, and accept changes.")
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="NAME",
    help="Types of this plugin only; may be repeated.",
)
@module_option
@_JSON
@click.pass_context
def check(
    context: click.Context,
    snapshot: Path,
    write: bool,
    plugins: tuple[str, ...],
    modules: tuple[str, ...],
    as_json: bool,
) -> int:
    """Tell whether the event types still fit what others were built for.

    Compares their schemas with a snapshot, a file to be committed. A version may gain optional
    fields; whatever else has to change becomes a new version, with an upcaster from the old one.

    Exit code 1 when something changed that does not fit, 2 without a snapshot.
    """
    from vectis.core.compatibility import compare, of_plugins, snapshot_of

    with application((*(context.obj or ()), *modules)) as hub:
        now = snapshot_of(entries(hub))
        _note_missing(hub)
    before = _read(snapshot, needed=not write)
    if plugins:
        now = of_plugins(now, plugins)
        before = None if before is None else of_plugins(before, plugins)
    changes = () if before is None else compare(before, now)
    if write:
        _write(snapshot, now)
    broken = not write and any(change.breaks for change in changes)
    if as_json:
        show_json(
            {
                "snapshot": str(snapshot),
                "written": write,
                "types": len(now["types"]),
                "changes": [_plain_change(change) for change in changes],
                "fits": not broken,
            }
        )
    else:
        _show_changes(changes, len(now["types"]), snapshot, written=write)
    return 1 if broken else 0


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
    """Write what the application publishes and handles, for other programs, as JSON."""
    from vectis.core.asyncapi import asyncapi, json_schemas

    with application((*(context.obj or ()), *modules)) as hub:
        if form == "jsonschema":
            show_json(json_schemas(hub))
        else:
            show_json(asyncapi(hub, title=title, version=app_version))
        _note_missing(hub)


# ---------------------------------------------------------------- the list


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


def _rows(entry: Entry) -> list[list[Cell]]:
    topic = ", ".join(entry.topics) or NOTHING
    handlers = ", ".join(dict.fromkeys(handler.id for handler in entry.handlers)) or NOTHING
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


# ---------------------------------------------------------------- the check


def _read(path: Path, *, needed: bool) -> dict[str, Any] | None:
    from vectis.core.compatibility import checked
    from vectis.core.exceptions import DecodeError
    from vectis.core.jsontext import from_json

    try:
        return checked(from_json(path.read_bytes(), str(path)), str(path))
    except FileNotFoundError:
        if not needed:
            return None
        raise ConfigError(
            f"there is no snapshot {path} to compare with: store one with "
            "`vectis catalog check --write`, and commit it"
        ) from None
    except (OSError, DecodeError, ConfigError) as error:
        if not needed and not isinstance(error, OSError):
            return None  # it is about to be written anew
        raise ConfigError(f"{error}") from None


def _write(path: Path, snapshot: dict[str, Any]) -> None:
    import orjson

    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    try:
        path.write_bytes(orjson.dumps(snapshot, option=options))
    except OSError as error:
        raise ConfigError(f"the snapshot cannot be written: {error}") from None


def _plain_change(change: Change) -> dict[str, Any]:
    return {
        "rule": change.rule,
        "where": change.where,
        "message": change.message,
        "breaks": change.breaks,
    }


def _show_changes(changes: Sequence[Change], count: int, path: Path, *, written: bool) -> None:
    for change in changes:
        style = "bad" if change.breaks else "good"
        line(
            Styled(change.where, "key"),
            f" {change.message}",
            lead=Styled(f"{change.rule:<21}", style),
        )
    broken = sum(change.breaks for change in changes)
    types = f"{count} type{'s' * (count != 1)}"
    if written:
        line(f"{path} holds {types} now")
    elif broken:
        line(
            f"{types}, ",
            Styled(f"{broken} change{'s' * (broken != 1)} that others do not expect", "bad"),
            f". To accept them all: vectis catalog check --snapshot {path} --write",
        )
    else:
        line(f"{types}, ", Styled(f"all as {path} promises", "good"))


def _note_missing(hub: Hub) -> None:
    for plugin in hub.plugins:
        if plugin.state == "quarantined":
            warn(f"{plugin} is quarantined, so its types are missing: see `vectis doctor`")
