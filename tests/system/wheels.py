"""Wheels of plugins that nobody ships, written file by file: a wheel is a zip with four lists."""

from __future__ import annotations

import zipfile
from textwrap import dedent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel(
    folder: Path,
    distribution: str,
    entry_points: dict[str, str],
    *,
    version: str = "1.0",
    requires: Sequence[str] = ("vectis-core",),
    **modules: str,
) -> Path:
    """Write a wheel that brings plugins.

    Args:
        folder: Where it is put.
        distribution: Its name, such as `acme-audit`.
        entry_points: The plugins: `module` or `module:attribute` by name.
        version: Its version.
        requires: What it requires, as in `dependencies` of a pyproject.toml.
        modules: The source of each of its modules.

    Returns:
        The wheel.
    """
    name = distribution.replace("-", "_")
    info = f"{name}-{version}.dist-info"
    needed = "".join(f"Requires-Dist: {one}\n" for one in requires)
    points = "".join(f"{plugin} = {target}\n" for plugin, target in entry_points.items())
    files = {f"{module}.py": dedent(source) for module, source in modules.items()}
    files |= {
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n{needed}"
        ),
        f"{info}/WHEEL": WHEEL,
        f"{info}/entry_points.txt": f"[vectis.plugins]\n{points}",
    }
    # Without hashes: pip asks for them in no wheel that was not signed.
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(file, content)
    return path
