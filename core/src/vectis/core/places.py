"""Where in a file an error happened: what a person needs to mend a plugin that does not import."""

from __future__ import annotations

import traceback
from pathlib import Path

__all__ = ["place"]

# Who imports is not what failed.
_IMPORTERS = ("importlib.", "importlib_metadata", "vectis.core.")


def place(error: BaseException, module: str = "") -> str:
    """Return `file:line` of the failure, or nothing when no line of the plugin had run.

    Args:
        error: What was raised; a syntax error names its own line.
        module: The plugin's module: its own last line is preferred to that of a library it called.

    Example:
        >>> from vectis.core.places import place
        >>> place(ValueError("never raised"))
        ''
    """
    if isinstance(error, SyntaxError) and error.filename:
        return _at(error.filename, error.lineno)
    frames = [
        (frame.f_globals.get("__name__") or "", frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    outside = [
        frame
        for frame in frames
        if not frame[1].startswith("<frozen") and not f"{frame[0]}.".startswith(_IMPORTERS)
    ]
    own = [frame for frame in outside if module and f"{frame[0]}.".startswith(f"{module}.")]
    for _, file, line in reversed(own or outside):
        return _at(file, line)
    return ""


def _at(file: str, line: int | None) -> str:
    path = Path(file)
    here = Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    return f"{shown}:{line}" if line else str(shown)
