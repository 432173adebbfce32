"""The pages say what the code does: every key, every command, every module has its place there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import attrs
import click
import pytest

from vectis.core.settings import ConsumerSettings, HandlerSettings, HubSettings, PluginsSettings
from vectis_bus import BusSettings
from vectis_redpanda import RedpandaSettings
from vectis_sqlite import SqliteSettings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

TABLES = {
    "hub": HubSettings,
    "plugins": PluginsSettings,
    'handlers."plugin:name"': HandlerSettings,
    "consumer": ConsumerSettings,
    "bus": BusSettings,
    "sqlite": SqliteSettings,
    "redpanda": RedpandaSettings,
}


def section(page: str, heading: str) -> str:
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found, f"{page} has no section {heading}"
    return found.group(1)


@pytest.mark.parametrize("table", TABLES)
def test_every_key_stands_on_the_configuration_page_and_no_other(table: str) -> None:
    rows = re.findall(r"^\| (`.*?) \|", section("configuration.md", f"`[{table}]`"), re.M)
    documented = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert documented == set(attrs.fields_dict(TABLES[table]))


@pytest.mark.parametrize("table", TABLES)
def test_the_defaults_on_the_configuration_page_are_the_real_ones(table: str) -> None:
    settings = TABLES[table]()
    rows = re.findall(
        r"^\| `(\w+)` \| `(.*?)` \|", section("configuration.md", f"`[{table}]`"), re.M
    )
    for key, default in rows:
        real = getattr(settings, key)
        shown = str(real).lower() if isinstance(real, bool) else "[]" if real == () else real
        if real is None:
            assert (table.startswith("handlers"), default) == (True, "true")
        else:
            assert default.strip('"') == str(shown), key


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        assert page.name in navigation


def test_every_module_of_core_has_its_row_in_the_architecture() -> None:
    rows = (DOCS / "architecture.md").read_text(encoding="utf-8")
    core = ROOT / "core/src/vectis/core"
    public = [path for path in core.iterdir() if not path.name.startswith(("_", "py.typed"))]
    missing = [path.stem for path in public if not re.search(rf"`{path.stem}/?`", rows)]
    assert missing == []


def commands() -> dict[str, click.Command]:
    from vectis.core.cli.group import BUILT_IN
    from vectis_commerce.demo.command import demo

    found = {"demo": demo}
    for name in BUILT_IN:
        module = name.replace("-", "_")
        found[name] = getattr(importlib.import_module(f"vectis.core.cli.{module}"), module)
    return found


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_its_section_with_all_its_options(name: str) -> None:
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    found = re.search(rf"^## `vectis {name}\b.*?(?=^## |\Z)", page, re.M | re.S)
    assert found, f"commands.md has no section for vectis {name}"
    command = commands()[name]
    parts = command.commands if isinstance(command, click.Group) else {}
    for part in parts:
        assert f"`vectis {name} {part}" in found.group(0), part
    parameters = [*command.params, *(p for part in parts.values() for p in part.params)]
    for parameter in [one for one in parameters if not getattr(one, "hidden", False)]:
        for option in parameter.opts:
            if option.startswith("--") and option != "--help":
                assert option in found.group(0), option
