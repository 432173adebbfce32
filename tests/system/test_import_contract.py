"""The third rule of the import contract: a plugin uses only public names of the core.

import-linter holds the other two (the core imports no plugin, a plugin no other plugin); it has no
contract type for names that begin with an underscore. The files are parsed, not imported, so that
imports inside functions count as well.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(ROOT.glob("plugins/*/src/*")) + sorted(ROOT.glob("contrib/*/src/*"))


def imported_names(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the full dotted name of everything that a module imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def private_names_of_core(source: str) -> list[tuple[int, str]]:
    return [
        (line, name)
        for line, name in imported_names(source)
        if name.split(".")[0] == "vectis"
        and any(part.startswith("_") and not part.endswith("__") for part in name.split("."))
    ]


def test_there_are_plugins_to_look_at() -> None:
    assert {folder.name for folder in PLUGINS} >= {
        "vectis_bus",
        "vectis_commerce",
        "vectis_redpanda",
        "vectis_sqlite",
    }


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_imports_only_public_names_of_the_core(plugin: Path) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sorted(plugin.rglob("*.py"))
        for line, name in private_names_of_core(path.read_text(encoding="utf-8"))
    ]
    assert not found, "Plugins have no privileges; make it public or do without:\n" + "\n".join(
        found
    )


@pytest.mark.parametrize(
    "line",
    [
        "from vectis.core._dispatch import walk",
        "from vectis.core.hub import _plan",
        "import vectis.core._loader as loader",
        "def f():\n    from vectis.core import _registry",
    ],
)
def test_a_private_import_is_found_wherever_it_stands(line: str) -> None:
    assert private_names_of_core(line)


@pytest.mark.parametrize(
    "line", ["from vectis.core import hookimpl", "import vectis_bus._plan", "import _thread"]
)
def test_public_names_and_a_plugins_own_private_modules_are_fine(line: str) -> None:
    assert not private_names_of_core(line)
