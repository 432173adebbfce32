"""Change the lists of `[plugins]` in the config file, and nothing else of it.

Comments, order and layout stay. What comes out is read again and must say exactly what was meant,
so that no odd file is spoilt: such a one is left to its owner.
"""

from __future__ import annotations

import copy
import json
import tomllib
from typing import TYPE_CHECKING, Any, Literal

import attrs

from vectis.core._config_files import OWN, ConfigFile, find
from vectis.core._origins import header
from vectis.core._replace_file import replace_file
from vectis.core._toml_lines import LineIndex
from vectis.core._toml_lists import without_name
from vectis.core.exceptions import ConfigError
from vectis.core.settings import Config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Change", "ConfigEdit"]

_TABLE = "plugins"
_BOM = "\ufeff"


@attrs.frozen
class Change:
    """One name that is put into a list of `[plugins]` or taken out of it.

    Args:
        key: `enable` or `disable`.
        add: Whether it is put in.
        name: The plugin's name.
    """

    key: Literal["enable", "disable"]
    add: bool
    name: str

    def apply(self, names: list[str]) -> list[str]:
        """Return the list as it is afterwards."""
        return [*names, self.name] if self.add else [n for n in names if n != self.name]

    def __str__(self) -> str:
        done = "added to" if self.add else "taken out of"
        return f"{self.name!r} is {done} [{_TABLE}] {self.key}"


class ConfigEdit:
    """The config file and what it shall be.

    Args:
        folder: Where the search for it begins, and where one is made when there is none.
        environ: The environment.

    Attributes:
        path: The file.
        label: What messages call it.
        before: What it says; None when there is none yet.
        after: What it shall say.
        changes: What `plan` decided on; empty when it says so already.

    Raises:
        ConfigError: The file cannot be read.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        found = find(folder, environ)
        self._environ = environ
        self._within = found.within if found else ()
        self._tables = found.tables if found else {}
        self.path = found.path if found else folder.resolve() / OWN
        self.label = found.label if found else OWN
        self._content = self.path.read_bytes() if found else None
        self.before = self._content.decode() if self._content is not None else None
        self.after = self.before or ""
        self.changes: tuple[Change, ...] = ()

    def plan(self, name: str, *, enable: bool) -> None:
        """Decide which lists change so that the file enables or disables a plugin, and others too.

        Raises:
            ConfigError: The file cannot be changed without changing anything else.
        """
        allowed, forbidden = self._names("enable"), self._names("disable") or []
        changes = []
        if enable:
            if name in forbidden:
                changes.append(Change("disable", add=False, name=name))
            if allowed is not None and name not in allowed:
                changes.append(Change("enable", add=True, name=name))
        elif allowed is not None and name in allowed:
            changes.append(Change("enable", add=False, name=name))
        elif allowed is None and name not in forbidden:
            changes.append(Change("disable", add=True, name=name))
        for change in changes:
            self._make(change)
        self.changes += tuple(changes)

    def disables(self, name: str) -> bool:
        """Return whether the file disables a plugin, be one of that name installed or not.

        Raises:
            ConfigError: The file's list is none.
        """
        return name in (self._names("disable") or ())

    def plan_to_forget(self, name: str) -> None:
        """Decide that the file shall not disable a name any more that no plugin has.

        It is put into no list: an allow-list would have a wrong name then.

        Raises:
            ConfigError: The file cannot be changed without changing anything else.
        """
        change = Change("disable", add=False, name=name)
        self._make(change)
        self.changes += (change,)

    def config(self, environ: Mapping[str, str] | None = None) -> Config:
        """Return the settings as the edited file makes them; the environment still wins.

        Args:
            environ: Another environment than that which the file was found with.
        """
        text = self.after.removeprefix(_BOM)
        file = ConfigFile(self.path, self.label, text, self._within, self._tables)
        return Config(self._tables, self._environ if environ is None else environ, self.label, file)

    def write(self) -> None:
        """Write the file.

        Raises:
            ConfigError: It was changed meanwhile, or cannot be written.
        """
        replace_file(self.path, self._content, self.after.encode())

    def _names(self, key: str) -> list[str] | None:
        table = self._tables.get(_TABLE, {})
        names = table.get(key) if isinstance(table, dict) else table
        if names is None or (isinstance(names, list) and all(isinstance(n, str) for n in names)):
            return names
        raise ConfigError(f"{self.label}: [{_TABLE}] {key} must be a list of names")

    def _make(self, change: Change) -> None:
        names = change.apply(self._names(change.key) or [])
        expected: dict[str, Any] = copy.deepcopy(dict(self._tables))
        expected.setdefault(_TABLE, {})[change.key] = names
        try:
            after = _edited(self.after, (*self._within, _TABLE), change, self._names(change.key))
            found: Any = tomllib.loads(after.removeprefix(_BOM))
            for key in self._within:
                found = found[key]
        except (ValueError, KeyError, TypeError, AttributeError):
            found = None
            after = ""
        if found != expected:
            raise ConfigError(
                f"{self.label}: cannot be changed without changing anything else in it; write "
                f"{change.key} = {json.dumps(names)} into [{header(*self._within, _TABLE)}] "
                "yourself"
            )
        self.after, self._tables = after, expected


def _edited(text: str, table: tuple[str, ...], change: Change, names: list[str] | None) -> str:
    mark = _BOM if text.startswith(_BOM) else ""
    text = text.removeprefix(_BOM)
    windows = "\r\n" in text and text.count("\r\n") == text.count("\n")
    if windows:
        text = text.replace("\r\n", "\n")
    if names is not None:
        text = _with_list_changed(text, table, change)
    else:
        text = _with_new_key(text, table, f"{change.key} = [{_quoted(change.name)}]", change)
    return mark + (text.replace("\n", "\r\n") if windows else text)


def _with_list_changed(text: str, table: tuple[str, ...], change: Change) -> str:
    import tomlkit

    document = tomlkit.parse(text)
    found: Any = document
    for key in table:
        found = found[key]
    names = found[change.key]
    if change.add:
        names.append(change.name)
    else:  # tomlkit's own way drops the comment beside the name
        found[change.key] = tomlkit.value(without_name(names.as_string(), change.name))
    return tomlkit.dumps(document)


def _with_new_key(text: str, table: tuple[str, ...], line: str, change: Change) -> str:
    lines = text.split("\n")
    number = LineIndex(text).line(table)
    if number is None:
        gap = "\n" * bool(text) if text.endswith("\n") or not text else "\n\n"
        return f"{text}{gap}[{header(*table)}]\n{line}\n"
    if _is_header(lines[number - 1], table):
        # Below the header: at the end of the table it could part a comment from what follows.
        return "\n".join([*lines[:number], line, *lines[number:]])
    import tomlkit

    document = tomlkit.parse(text)
    found: Any = document
    for key in table:
        found = found[key]
    found[change.key] = [change.name]
    return tomlkit.dumps(document)


def _is_header(line: str, table: tuple[str, ...]) -> bool:
    if not line.lstrip().startswith("["):
        return False
    found: Any = tomllib.loads(line)
    for key in table:
        found = found[key] if isinstance(found, dict) and len(found) == 1 else None
    return bool(found == {})


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
