"""Find the config file and read it: `vectis.toml`, or `[tool.vectis]` in `pyproject.toml`.

What the tables mean is `vectis.core.settings`'s business. The search itself imports nothing: most
processes have no file, and pay a few look-ups only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vectis.core.exceptions import ConfigError

__all__ = ["ConfigFile", "find"]

OWN = "vectis.toml"
PROJECT = "pyproject.toml"
_IN_PROJECT = ("tool", "vectis")


class ConfigFile(NamedTuple):
    """A config file that was read.

    Args:
        path: Where it is, absolute.
        label: What messages call it: the bare name when it lies in the folder the search began in.
        text: What it says.
        within: The path of the table that holds everything; empty for a file of our own.
        tables: The tables, parsed and not yet checked.
    """

    path: Path
    label: str
    text: str
    within: tuple[str, ...]
    tables: Mapping[str, Any]


def find(start: Path | None, environ: Mapping[str, str]) -> ConfigFile | None:
    """Return the config file that counts, or None.

    `VECTIS_CONFIG` names it, whatever lies around. Otherwise it is in the first folder, from
    `start` (default: the working directory) upwards, that has a `vectis.toml` or a `pyproject.toml`
    with a `[tool.vectis]` table. A folder with both is an error: one of the two would be ignored
    unnoticed.

    Raises:
        ConfigError: The file is missing, unreadable, no TOML, or one of two.
    """
    try:
        start = (start or Path()).resolve()
    except FileNotFoundError:  # the working directory was deleted: nowhere to look
        return None
    if named := environ.get("VECTIS_CONFIG"):
        return _named(start / Path(named).expanduser(), start)
    for folder in (start, *start.parents):
        own, project = folder / OWN, folder / PROJECT
        found = _read_own(own, start) if _is_there(own) else None
        beside = _read_project(project, start) if _is_there(project) else None
        if found and beside:
            raise ConfigError(
                f"{own} and [tool.vectis] in {project} both configure Vectis: move the settings "
                "into one of them, or name one with VECTIS_CONFIG"
            )
        if found or beside:
            return found or beside
    return None


def _is_there(path: Path) -> bool:
    try:
        path.lstat()  # a link that leads nowhere is there, and reading it says what is wrong
    except OSError:
        return False
    return True


def _named(path: Path, start: Path) -> ConfigFile:
    if not _is_there(path):
        raise ConfigError(
            f"VECTIS_CONFIG names {path}, which does not exist: correct the variable, or unset it"
        )
    if path.name != PROJECT:
        return _read_own(path, start)
    found = _read_project(path, start)
    if found is None:
        raise ConfigError(f"VECTIS_CONFIG names {path}, which has no [tool.vectis] table: add one")
    return found


def _read_own(path: Path, start: Path) -> ConfigFile:
    label = _label(path, start)
    text = _decode(_read(path), label)
    return ConfigFile(path, label, text, (), _parse(text, label))


def _read_project(path: Path, start: Path) -> ConfigFile | None:
    content = _read(path)
    if not _may_configure(content):
        return None
    label = _label(path, start)
    text = _decode(content, label)
    tools = _parse(text, label).get("tool", {})
    if not isinstance(tools, Mapping) or "vectis" not in tools:
        return None
    tables = tools["vectis"]
    if not isinstance(tables, Mapping):
        raise ConfigError(f"{label}: tool.vectis must be a table: write [tool.vectis.TABLE]")
    return ConfigFile(path, label, text, _IN_PROJECT, tables)


def _may_configure(content: bytes) -> bool:
    """Tell a file that has no `[tool.vectis]` for sure, so that tomllib need not be imported.

    Projects that merely depend on Vectis mention it too; `tool` and `vectis` stand on one line
    when they are one name, or `[tool]` stands alone.
    """
    return b"vectis" in content and any(
        b"tool" in line and (b"vectis" in line or b"." not in line) for line in content.splitlines()
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
    raise ConfigError(
        f"{path}: the config file cannot be read ({reason}): make it a readable file, "
        "or name another one with VECTIS_CONFIG"
    )


def _decode(content: bytes, label: str) -> str:
    try:
        return content.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    raise ConfigError(f"{label}:{line}: the config file is not UTF-8: save it as UTF-8")


def _parse(text: str, label: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError as error:
        problem = str(error)
    # tomllib ends its messages with "(at line 3, column 7)" or "(at end of document)".
    reason, _, place = problem.partition(" (at ")
    line = place.removeprefix("line ").partition(",")[0]
    where = f"{label}:{line}" if line.isdigit() else label
    end = ", at the end of the file" if place.startswith("end") else ""
    raise ConfigError(f"{where}: not valid TOML{end}: {reason}. Correct the file; see toml.io")


def _label(path: Path, start: Path) -> str:
    return path.name if path.parent == start else str(path)
