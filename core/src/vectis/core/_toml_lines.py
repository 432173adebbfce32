"""On which line of a TOML file a key or an element of a list stands, for messages.

tomllib knows what a file says and not where, so the file is read again statement by statement:
the smallest run of lines that is TOML by itself is one statement. Imported only when a line is
asked for.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["LineIndex"]

Path = tuple[str, ...]


class _Statement(NamedTuple):
    first: int
    lines: list[str]
    header: Path
    parsed: dict[str, Any]


class LineIndex:
    """The lines of a valid TOML text.

    Args:
        text: The whole file.

    Example:
        >>> index = LineIndex('[plugins]\\ndisable = [\\n  "acme",\\n  "other",\\n]')
        >>> index.line(("plugins", "disable")), index.line_of_item(("plugins", "disable"), "other")
        (2, 4)
    """

    def __init__(self, text: str) -> None:
        self._where: dict[Path, _Statement] = {}
        for statement in _statements(text):
            for path in _paths(statement.parsed, statement.header):
                self._where.setdefault(path, statement)

    def line(self, path: Path) -> int | None:
        """Return the line, from 1, where the key at this path begins, or None when it is absent."""
        statement = self._where.get(path)
        return statement.first if statement else None

    def line_of_item(self, path: Path, item: object) -> int | None:
        """Return the line of an element of a list, or of a key of a table, at this path."""
        inner = self.line((*path, item)) if isinstance(item, str) else None
        statement = self._where.get(path)
        if inner is not None or statement is None:
            return inner
        within = path[len(statement.header) :]
        for count in range(1, len(statement.lines) + 1):
            # Close the list after each of its lines: the first part that has the item ends with it.
            part = "\n".join(statement.lines[:count])
            for text in (part, part + "\n]"):
                if item in _list_at(text, within):
                    return statement.first + count - 1
        return None


def _statements(text: str) -> Iterator[_Statement]:
    lines = text.replace("\r\n", "\n").split("\n")
    header: Path = ()
    start = 0
    for end in range(1, len(lines) + 1):
        chunk = lines[start:end]
        parsed = _parsed("\n".join(chunk))
        if parsed is None:
            continue
        if chunk[0].lstrip().startswith("["):
            header = max(_paths(parsed, ()), key=len)
            yield _Statement(start + 1, chunk, (), parsed)
        elif parsed:
            yield _Statement(start + 1, chunk, header, parsed)
        start = end


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except ValueError:
        return None


def _paths(parsed: Mapping[str, Any], within: Path) -> Iterator[Path]:
    for key, value in parsed.items():
        path = (*within, key)
        yield path
        if isinstance(value, Mapping):
            yield from _paths(value, path)


def _list_at(text: str, path: Path) -> list[Any]:
    found: Any = _parsed(text)
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, list) else []
