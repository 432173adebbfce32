"""Where each setting came from, in the words that messages and `vectis config` use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vectis.core._environment import variable

if TYPE_CHECKING:
    from vectis.core._config_files import ConfigFile
    from vectis.core._toml_lines import LineIndex

__all__ = ["FILE_ONLY", "Origins", "header"]

FILE_ONLY = ("handlers", "topics")
"""Tables whose keys are names that the operator chose: no variable can be computed for those."""


class Origins:
    """Finds the variable or the line that set something.

    Args:
        source: What to call the place as a whole, such as `Hub(config=...)`.
        tables: The tables as they were given.
        environ: The variables that count.
        file: The config file, or None.
    """

    def __init__(
        self,
        source: str,
        tables: Mapping[str, Any],
        environ: Mapping[str, str],
        file: ConfigFile | None,
    ) -> None:
        self._source = source
        self._tables = tables
        self._environ = environ
        self._file = file
        self._lines: LineIndex | None = None

    def of_table(self, table: str) -> str:
        """Return where a table begins."""
        return self._at(self._line(table))

    def of_key(self, table: str, key: str) -> str:
        """Return what set a key: a variable, a line, or `default`."""
        name = variable(table, key)
        if name in self._environ and table not in FILE_ONLY:
            return name
        given = self._tables.get(table)
        if isinstance(given, Mapping) and key in given:
            return self._at(self.line_of_key(table, key))
        return "default"

    def of_item(self, table: str, key: str, item: object) -> str:
        """Return what put an element into a list, or a key into a table inside a table."""
        line = self.line_of_item(table, key, item)
        return self.of_key(table, key) if line is None else self._at(line)

    def line_of_key(self, table: str, key: str) -> int | None:
        """Return the line of the file, from 1, on which a key begins; None when it is not there."""
        return self._line(table, key)

    def line_of_item(self, table: str, key: str, item: object) -> int | None:
        """Return the line of the file on which an element stands; None when it does not count."""
        if self._file is None or self.of_key(table, key) == variable(table, key):
            return None
        return self._index(self._file).line_of_item((*self._file.within, table, key), item)

    def _line(self, *path: str) -> int | None:
        if self._file is None:
            return None
        return self._index(self._file).line((*self._file.within, *path))

    def _index(self, file: ConfigFile) -> LineIndex:
        if self._lines is None:
            from vectis.core._toml_lines import LineIndex

            self._lines = LineIndex(file.text)
        return self._lines

    def _at(self, line: int | None) -> str:
        return self._source if line is None else f"{self._source}:{line}"


def header(*path: str | int) -> str:
    """Return a path as TOML writes it.

    Example:
        >>> header("handlers", "acme-audit:record"), header("modules", 2)
        ('handlers."acme-audit:record"', 'modules[2]')
    """
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
            continue
        text += "." * bool(text) + (step if _is_bare(step) else _quoted(step))
    return text


def _is_bare(key: str) -> bool:
    return key.isascii() and key.replace("-", "").replace("_", "").isalnum()


def _quoted(key: str) -> str:
    import json

    return json.dumps(key)
