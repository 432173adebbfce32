"""`vectis catalog check`: whether the event types fit a snapshot, and storing one."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from vectis.core.cli.application import application, refuse_half
from vectis.core.cli.group import module_option
from vectis.core.cli.screen import Styled, line, show_json
from vectis.core.entries import entries
from vectis.core.exceptions import ConfigError
from vectis.core.plugins import refuse_unknown
from vectis.core.subscription import APP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectis.core.compatibility import Change, Snapshot
    from vectis.core.hub import Hub

__all__ = ["check"]

_SNAPSHOT = Path("vectis.catalog.json")


@attrs.frozen
class _Asked:
    """What a check was asked for: which file, which types, and out of which modules."""

    snapshot: Path
    plugins: tuple[str, ...]
    modules: tuple[str, ...]

    @property
    def to_write(self) -> str:
        """The command that stores the snapshot of the same types."""
        words = ["vectis", "catalog", "check"]
        if self.snapshot != _SNAPSHOT:
            words += ["--snapshot", str(self.snapshot)]
        for module in self.modules:
            words += ["--module", module]
        for plugin in self.plugins:
            words += ["--plugin", plugin]
        return shlex.join([*words, "--write"])


@click.command()
@click.option(
    "--snapshot",
    type=click.Path(dir_okay=False, path_type=Path),
    default=_SNAPSHOT,
    show_default=True,
    help="The file with the schemas to compare with.",
)
@click.option("--write", is_flag=True, help="Store the schemas as they are, and accept changes.")
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="NAME",
    help="Types of this plugin only; may be repeated. Those of the application are of app.",
)
@module_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
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
    With --plugin, --write keeps what the snapshot holds of the other plugins.

    Exit code 1 when something changed that does not fit. 2 without a snapshot, when --plugin names
    what nobody is called, and when a plugin is quarantined or hidden by safe mode, with --plugin
    one of those named: its types would be missing. Nothing is written then.
    """
    from vectis.core.compatibility import compare, of_plugins, replaced, snapshot_of

    asked = _Asked(snapshot, plugins, tuple(dict.fromkeys((*(context.obj or ()), *modules))))
    with application(asked.modules) as hub:
        before = _read(asked, write=write)
        _refuse_unknown(hub, asked, before)
        refuse_half(hub, f"Nothing was {'written' if write else 'checked'}", plugins)
        now = stored = snapshot_of(entries(hub))
    if plugins:
        whole = before or {**now, "types": {}}
        before = None if before is None else of_plugins(before, plugins, now)
        now = of_plugins(now, plugins, whole)
        stored = replaced(whole, before or whole, now)
    changes = () if before is None else compare(before, now)
    if write:
        _write(snapshot, stored)
    broken = not write and any(change.breaks for change in changes)
    count = len(now["types"])
    if as_json:
        show_json(
            {
                "snapshot": str(snapshot),
                "written": write,
                "types": count,
                "changes": [_plain_change(change) for change in changes],
                "fits": not broken,
            }
        )
        return 1 if broken else 0
    _show_changes(changes)
    if write:
        _show_written(asked, count, len(stored["types"]) - count)
    else:
        _show_verdict(asked, changes, count)
    return 1 if broken else 0


def _refuse_unknown(hub: Hub, asked: _Asked, before: Snapshot | None) -> None:
    """Refuse names that no plugin has, nor a type of the snapshot: its plugin may be gone."""
    stored = () if before is None else before["types"].values()
    known = {APP, *(plugin.name for plugin in hub.plugins)}
    known |= {owner for kind in stored if isinstance(owner := kind.get("plugin"), str)}
    refuse_unknown(asked.plugins, known)


def _read(asked: _Asked, *, write: bool) -> Snapshot | None:
    from vectis.core.compatibility import checked
    from vectis.core.exceptions import DecodeError
    from vectis.core.jsontext import from_json

    path = asked.snapshot
    try:
        return checked(from_json(path.read_bytes(), str(path)), str(path))
    except FileNotFoundError:
        if write:
            return None
        raise ConfigError(
            f"there is no snapshot {path} to compare with: store one with "
            f"`{asked.to_write}`, and commit it"
        ) from None
    except (OSError, DecodeError, ConfigError) as error:
        if write and not isinstance(error, OSError):
            if not asked.plugins:
                return None  # it is about to be written anew
            raise ConfigError(
                f"{error}. With --plugin it keeps the types of the other plugins, so it has to be "
                "readable: write it anew without --plugin. Nothing was written"
            ) from None
        raise ConfigError(f"{error}") from None


def _write(path: Path, snapshot: Snapshot) -> None:
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


def _show_changes(changes: Sequence[Change]) -> None:
    for change in changes:
        style = "bad" if change.breaks else "good"
        line(
            Styled(change.where, "key"),
            f" {change.message}",
            lead=Styled(f"{change.rule:<21}", style),
        )


def _show_written(asked: _Asked, count: int, kept: int) -> None:
    whose = f" of {' and '.join(dict.fromkeys(asked.plugins))}" if asked.plugins else ""
    others = f", and {kept} of others as before" if kept else ""
    line(f"{asked.snapshot} holds {_types(count)}{whose} now{others}")


def _show_verdict(asked: _Asked, changes: Sequence[Change], count: int) -> None:
    broken = sum(change.breaks for change in changes)
    if broken:
        line(
            f"{_types(count)}, ",
            Styled(f"{broken} change{'s' * (broken != 1)} that others do not expect", "bad"),
            f". To accept them all: {asked.to_write}",
        )
    else:
        line(f"{_types(count)}, ", Styled(f"all as {asked.snapshot} promises", "good"))


def _types(count: int) -> str:
    return f"{count} type{'s' * (count != 1)}"
