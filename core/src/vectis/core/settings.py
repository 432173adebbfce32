"""The settings of one application: found in a file, overruled by the environment, checked strictly.

A table each for core's parts and for every plugin, described by an attrs class. Here is what asks
for a table and says where each value came from; who reads which table is their own business.
Nothing here decides about plugins.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs

from vectis.core._config_files import ConfigFile, find
from vectis.core._core_settings import (
    ConsumerSettings,
    HandlerSettings,
    HubSettings,
    PluginsSettings,
)
from vectis.core._environment import BOOLEANS, PREFIX, Variables, keys_of, variable
from vectis.core._masking import masked, secret
from vectis.core._origins import FILE_ONLY, Origins, header
from vectis.core.exceptions import ConfigError

__all__ = [
    "Config",
    "ConsumerSettings",
    "HandlerSettings",
    "HubSettings",
    "PluginsSettings",
    "Setting",
    "secret",
]

T = TypeVar("T")

_CORE: dict[str, type[Any]] = {
    "hub": HubSettings,
    "plugins": PluginsSettings,
    "consumer": ConsumerSettings,
}


@attrs.frozen
class Setting:
    """One setting as it may be shown: secrets are masked.

    Args:
        table: The table's name.
        key: The key in it.
        value: The value that counts.
        origin: Where it came from: `vectis.toml:12`, a variable's name, `default`.
    """

    table: str
    key: str
    value: Any
    origin: str


class Config:
    """Every setting, from the file, from the environment, or from the program.

    Made by `Config.load` or `Config.of`. Tables are checked when they are asked for, so that a
    mistake in one plugin's table is that plugin's error only.

    Attributes:
        path: The config file, or None.
        source: What messages call it: `vectis.toml`, `pyproject.toml`, `Hub(config=...)`.

    Example:
        >>> from vectis.core.settings import Config, ConsumerSettings
        >>> config = Config.of({"consumer": {"group": "shop"}}, environ={})
        >>> config.table("consumer", ConsumerSettings).group
        'shop'
        >>> config.origin("consumer", "group"), config.origin("consumer", "concurrency")
        ('Hub(config=...)', 'default')
    """

    def __init__(
        self,
        tables: Mapping[str, Any],
        environ: Mapping[str, str],
        source: str,
        file: ConfigFile | None = None,
    ) -> None:
        self.path: Path | None = file.path if file else None
        self.source = source
        self._tables = tables
        self._environ = {name: environ[name] for name in environ if name.startswith(PREFIX)}
        self._origins = Origins(source, tables, self._environ, file)
        self._variables = Variables(_CORE)
        self._built: dict[str, Any] = {}
        self._handlers: dict[str, HandlerSettings] | None = None
        self._topics: dict[str, tuple[str, ...]] | None = None

    @classmethod
    def load(cls, start: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
        """Find and read the config file; without one there is the environment and the defaults.

        `VECTIS_CONFIG` names the file. Otherwise it is in the first folder, from `start` upwards,
        that has a `vectis.toml` or a `pyproject.toml` with `[tool.vectis]`; both in one folder is
        an error, since one of them would be ignored unnoticed.

        Args:
            start: The folder to begin in; default: the working directory.
            environ: The environment; default: that of the process.

        Raises:
            ConfigError: The file is missing, unreadable or no TOML; it names file and line.
        """
        environ = os.environ if environ is None else environ
        file = find(start, environ)
        if file is None:
            return cls({}, environ, "no config file")
        return cls(file.tables, environ, file.label, file)

    @classmethod
    def of(
        cls, tables: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str] | None = None
    ) -> Config:
        """Take the tables from the program instead of a file; the environment wins here too.

        Args:
            tables: What the file would have said, one mapping a table.
            environ: The environment; default: that of the process. `{}` for tests.
        """
        return cls(tables, os.environ if environ is None else environ, "Hub(config=...)")

    def __repr__(self) -> str:
        return f"<Config of {self.source}: {', '.join(self._tables) or 'no tables'}>"

    @property
    def safe_mode(self) -> bool:
        """Whether `VECTIS_SAFE_MODE` asks for a start with the default plugins only.

        Raises:
            ConfigError: The variable is neither true nor false.
        """
        text = self._environ.get("VECTIS_SAFE_MODE", "")
        answer = BOOLEANS.get(text.strip().lower()) if text else False
        if answer is None:
            raise ConfigError(
                f"VECTIS_SAFE_MODE must be true or false, not {text!r}",
                remedy="correct VECTIS_SAFE_MODE, or unset it",
            )
        return answer

    def table(self, name: str, cls: type[T]) -> T:
        """Return a table as its settings class; what the environment says wins over the file.

        Args:
            name: The table's name: the plugin's, or one of core's.
            cls: The attrs class with the table's keys, types and defaults.

        Returns:
            An instance, the same one whenever it is asked for again.

        Raises:
            ConfigError: An unknown key, a wrong type, a missing value, two keys with one variable.
        """
        built = self._built.get(name)
        if type(built) is cls:
            return built
        _check_owner(name, cls)
        keys = keys_of(cls)
        variables = self._variables.claim(name, keys)
        given = dict(self._raw(name))
        texts = {
            key: self._environ[variable]
            for key, variable in variables.items()
            if variable in self._environ
        }
        for key, field in keys.items():
            if field.default is attrs.NOTHING and key not in given and key not in texts:
                raise ConfigError(
                    f"{self.source}: [{header(name)}] {key} is missing and has no default: "
                    f"set it in that table, or in the variable {variables[key]}",
                    remedy=f"set {key} under [{header(name)}] in "
                    f"{self.source if self.path else 'vectis.toml'}, or {variables[key]}",
                )
        self._built[name] = settings = self._read(name, cls, given, texts)
        return settings

    def handlers(self) -> Mapping[str, HandlerSettings]:
        """Return what `[handlers]` says, by `plugin:name`; the file only, no variables.

        Raises:
            ConfigError: A name without a colon, an unknown key, a wrong type.
        """
        if self._handlers is None and (given := self._raw("handlers")):
            from vectis.core._reading import read_handler

            self._handlers = {
                name: read_handler(name, table, self._origins) for name, table in given.items()
            }
        return self._handlers or {}

    def topics(self) -> Mapping[str, tuple[str, ...]]:
        """Return what `[topics]` says: the event types of each topic; the file only, no variables.

        Raises:
            ConfigError: A value that is not a list of strings.
        """
        if self._topics is None and (given := self._raw("topics")):
            from vectis.core._reading import read_event_types

            self._topics = {
                topic: read_event_types(topic, types, self._origins)
                for topic, types in given.items()
            }
        return self._topics or {}

    def origin(self, table: str, key: str) -> str:
        """Return what set a key: `vectis.toml:12`, `VECTIS_BUS_BUDGET_MS`, or `default`.

        A handler is a key of `handlers`: `config.origin("handlers", "acme-audit:record")`.
        """
        return self._origins.of_key(table, key)

    def origin_of_item(self, table: str, key: str, item: object) -> str:
        """Return what put an element into a list, or a key into a handler's table.

        As `origin`, with the element's own line where the list has one line each.
        """
        return self._origins.of_item(table, key, item)

    def mentions(self, table: str) -> bool:
        """Tell whether the file or a variable says anything about a table, right or wrong.

        Example:
            >>> from vectis.core.settings import Config
            >>> Config.of({}, environ={"VECTIS_SQLITE_PATH": "events.db"}).mentions("sqlite")
            True
        """
        return bool(self._tables.get(table)) or any(
            name.startswith(variable(table)) for name in self._environ
        )

    def line(self, table: str, key: str) -> int | None:
        """Return the line of the file, from 1, on which a key begins; None when it is not there."""
        return self._origins.line_of_key(table, key)

    def line_of_item(self, table: str, key: str, item: object) -> int | None:
        """Return the line of the file on which an element of a list stands.

        None when it is not there, or when a variable overrules the list.
        """
        return self._origins.line_of_item(table, key, item)

    def values(self) -> list[Setting]:
        """Return every key of every table that was asked for so far, secrets masked."""
        found = [
            Setting(table, key, value, self.origin(table, key))
            for table, settings in self._built.items()
            for key, value in masked(settings).items()
        ]
        for name, handler in (self._handlers or {}).items():
            found += [
                Setting(
                    header("handlers", name), key, value, self.origin_of_item("handlers", name, key)
                )
                for key, value in masked(handler).items()
                if value is not None
            ]
        for topic, types in (self._topics or {}).items():
            found.append(Setting("topics", topic, list(types), self.origin("topics", topic)))
        return found

    def warnings(self, known_tables: Iterable[str]) -> list[str]:
        """Return a sentence for each table without a plugin and each variable without a key.

        Ask when every plugin's table was asked for: its variables are known from then on.

        Args:
            known_tables: The names of all installed plugins, disabled ones included.
        """
        if not self._tables and not self._environ:
            return []
        from vectis.core._config_warnings import unowned

        known = {*_CORE, *FILE_ONLY, *known_tables}
        asked = {*_CORE, *self._built}
        return list(
            unowned(self._tables, self._environ, self._origins, known, set(self._variables), asked)
        )

    def _raw(self, name: str) -> Mapping[str, Any]:
        given = self._tables.get(name, {})
        if not isinstance(given, Mapping):
            where = self._origins.of_table(name)
            raise ConfigError(
                f"{where}: {header(name)} must be a table: "
                f"write [{header(name)}], and its keys below",
                remedy=f"write [{header(name)}] at {where}, and its keys below",
            )
        return given

    def _read(
        self, name: str, cls: type[T], given: Mapping[str, Any], texts: Mapping[str, str]
    ) -> T:
        if given or texts:
            from vectis.core._reading import read_table

            return read_table(name, cls, given, texts, self._origins)
        try:
            return cls()
        except Exception as error:
            reason = str(error) or type(error).__name__
        raise ConfigError(f"{self.source}: [{header(name)}] is not valid: {reason}")


def _check_owner(name: str, cls: type[Any]) -> None:
    if name in FILE_ONLY or _CORE.get(name, cls) is not cls:
        raise ConfigError(f"[{name}] is Vectis's own table: a plugin must have another name")
    if not attrs.has(cls):
        raise ConfigError(f"the settings of {name} must be an attrs class, not {cls!r}")
