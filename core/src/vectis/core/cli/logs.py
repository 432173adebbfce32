"""Log lines of a command that runs for long: plain text for people, JSON for collectors.

Whatever an error or a payload says, a record is one record: in JSON it is one line, in text every
further line of it is indented, so that none can look like a record of its own.
"""

from __future__ import annotations

import logging
from typing import Literal

from vectis.core.redact import one_line

__all__ = ["TextFormatter", "formatter"]

_LONGEST = 4_000  # characters of one line


class TextFormatter(logging.Formatter):
    """Time, level, logger and message; further lines, such as a stack, indented by two spaces.

    Args:
        prefix: In front of every record.

    Example:
        >>> import logging
        >>> from vectis.core.cli.logs import TextFormatter
        >>> record = logging.makeLogRecord({"name": "shop", "levelname": "INFO", "msg": "a\\nb"})
        >>> TextFormatter().format(record).partition(" ")[2].partition(" ")[2]
        'INFO    shop: a\\n  b'
    """

    def __init__(self, prefix: str = "") -> None:
        super().__init__(f"{prefix}%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        first, *more = super().format(record).splitlines() or [""]
        return "\n".join([_clean(first), *(_indented(line) for line in more)])


def formatter(
    kind: Literal["text", "json"], *, prefix: str = "", **fields: object
) -> logging.Formatter:
    """Return what formats log records.

    Args:
        kind: `text`, or `json` for one object a line with `time`, `level`, `logger`, `message` and
            what the record adds, such as `topic` and `handler`.
        prefix: In front of every record of text.
        fields: Added to every record of JSON.
    """
    if kind == "text":
        return TextFormatter(prefix)
    # The one on the standard library's json: it escapes whatever is no ASCII, lone surrogates too.
    from pythonjsonlogger.json import JsonFormatter

    return JsonFormatter(
        ["levelname", "name", "message"],
        rename_fields={"levelname": "level", "name": "logger", "exc_info": "error"},
        timestamp="time",
        static_fields=fields,
    )


def _indented(line: str) -> str:
    # Frames of a stack stand two spaces further in already.
    return _clean(line) if line.startswith("  ") else f"  {_clean(line)}"


def _clean(line: str) -> str:
    if line.isprintable() and len(line) <= _LONGEST:
        return line  # keeps the spaces of a stack
    margin = len(line) - len(line.lstrip(" "))
    return " " * margin + one_line(line, _LONGEST)
