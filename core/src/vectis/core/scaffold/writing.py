"""Writes the files of a new plugin: all of them or none."""

from __future__ import annotations

import shutil
import tempfile
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from vectis.core.exceptions import PluginError
from vectis.core.fitting import core_version
from vectis.core.obtaining import installing
from vectis.core.scaffold.naming import Names

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NEEDS", "new_plugin"]

# Where each template goes. None is named *.py: tools that look for code would take it for such.
_FILES = {
    "README.md": "README.md.txt",
    "pyproject.toml": "pyproject.toml.txt",
    "src/$module/__init__.py": "plugin.py.txt",
    "src/$module/events.py": "events.py.txt",
    "src/$module/py.typed": "py.typed.txt",
    "src/$module/settings.py": "settings.py.txt",
    "tests/test_$module.py": "tests.py.txt",
}


NEEDS = ("vectis-core", "vectis-bus")
"""What a new plugin and its tests require of Vectis."""


def new_plugin(name: str, parent: Path) -> Path:
    """Write the distribution of a new plugin into a folder of its own.

    Args:
        name: The plugin's name; it is normalised.
        parent: Where the folder is made; it is called like the plugin.

    Returns:
        The folder.

    Raises:
        PluginError: The name cannot be one, the folder exists, or it cannot be written.
    """
    names = Names.of(name)
    folder = parent / names.name
    if folder.exists() or folder.is_symlink():
        raise PluginError(f"{folder} is there already, and nothing in it is touched: move it away")
    try:
        # Beside its place, so that it can be moved there whole.
        with tempfile.TemporaryDirectory(dir=parent, prefix=f".{names.name}-") as draft:
            whole = Path(draft, names.name)
            for path, text in _rendered(names):
                target = whole / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
            shutil.move(whole, folder)
    except OSError as error:
        raise PluginError(f"{folder} cannot be written: {error}") from error
    return folder


def _rendered(names: Names) -> Iterator[tuple[str, str]]:
    templates = files("vectis.core.scaffold") / "templates"
    values = {
        "name": names.name,
        "module": names.module,
        "title": names.title,
        "variable": names.module.upper(),
        "core": _of_this_core(),
        "vectis": installing(*NEEDS),
    }
    for path, template in _FILES.items():
        text = (templates / template).read_text(encoding="utf-8")
        yield Template(path).substitute(values), Template(text).substitute(values)


def _of_this_core() -> str:
    """Return which versions of core to require: this one, until the next that may change names."""
    oldest = core_version()
    if not oldest:
        return ""
    major, minor = oldest.split(".")[:2]
    return f">={oldest},<{major}.{int(minor) + 1}"
