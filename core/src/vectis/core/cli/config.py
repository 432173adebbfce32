"""`vectis config`: every setting, and where it came from."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import attrs
import click

from vectis.core.cli.application import assemble, quiet
from vectis.core.cli.screen import NOTHING, Styled, line, show_json, table

if TYPE_CHECKING:
    from vectis.core.hub import Hub
    from vectis.core.settings import Setting

__all__ = ["config"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def config(as_json: bool) -> None:
    """Show every setting and where it came from.

    The tables are Vectis's own and those of the loaded plugins. Secrets are masked. A setting comes
    from the line of a file, from an environment variable, which wins, or is the default.
    """
    quiet("vectis.plugins", "vectis.hub")
    assembled = assemble()
    hub, problem = assembled.hub, assembled.problem
    settings = hub.config.values()
    warnings = _warnings(hub)
    if problem is not None:
        warnings.insert(0, str(problem))
    if as_json:
        show_json(
            {
                "file": str(hub.config.path) if hub.config.path else None,
                "settings": [attrs.asdict(setting) for setting in settings],
                "warnings": warnings,
            }
        )
        return
    where = str(hub.config.path) if hub.config.path else "none found from here upwards"
    line(Styled("Config file: ", "key"), where)
    line()
    table(["TABLE", "KEY", "VALUE", "FROM"], _rows(settings))
    if warnings:
        line()
    for warning in warnings:
        line(warning, lead=Styled("Warning: ", "warn"))


def _warnings(hub: Hub) -> list[str]:
    warnings = hub.config.warnings(plugin.name for plugin in hub.plugins)
    for plugin in hub.plugins:
        if plugin.state == "quarantined":
            warnings.append(f"{plugin} is quarantined: {plugin.reason} -> {plugin.remedy}")
        elif plugin.state == "disabled":
            warnings.append(f"{plugin} is {plugin.reason}, so its settings are not shown")
    return warnings


def _rows(settings: list[Setting]) -> list[list[str | Styled]]:
    rows: list[list[str | Styled]] = []
    for name, group in groupby(settings, key=lambda setting: setting.table):
        for setting in group:
            origin = setting.origin
            rows.append(
                [
                    Styled(name, "key"),
                    setting.key,
                    _value(setting.value),
                    Styled(origin, "hint") if origin == "default" else origin,
                ]
            )
    return rows


def _value(value: object) -> str | Styled:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or NOTHING
    return str(value)
