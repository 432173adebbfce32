"""Text from outside made fit for a log line or an error message: one line, bounded, printable.

This is not for hiding secrets; the settings mask theirs where they are shown.
"""

from __future__ import annotations

__all__ = ["ended", "one_line"]


def ended(text: str) -> str:
    """Return the text as a whole sentence, so that another one may follow.

    Example:
        >>> from vectis.core.redact import ended
        >>> ended("no such key"), ended("did you mean 'path'?")
        ('no such key.', "did you mean 'path'?")
    """
    return text if text.endswith((".", "?", "!")) else f"{text}."


def one_line(text: str, limit: int = 200) -> str:
    """Return the text as one printable line of bounded length.

    Runs of whitespace, line breaks among them, become one space; what cannot be printed (control
    characters, direction marks, lone surrogates) becomes `?`.

    Args:
        text: Anything, however long and from wherever.
        limit: The most characters to return, at least 1; a cut shows as `…` at the end.

    Returns:
        At most `limit` characters that a terminal or a log takes without harm.

    Example:
        >>> from vectis.core.redact import one_line
        >>> one_line("not found\\r\\nERROR all is lost\\x1b[2J")
        'not found ERROR all is lost?[2J'
        >>> one_line("a" * 1000, limit=8)
        'aaaaaaa…'
    """
    if len(text) > limit or not text.isprintable():
        # Cut before the work as well: whitespace can only shrink, so 8 times is room enough.
        line = " ".join(text[: 8 * limit].split())
        if not line.isprintable():
            line = "".join([char if char.isprintable() else "?" for char in line])
        if len(line) > limit or len(text) > 8 * limit:
            line = line[: limit - 1] + "…"
        return line
    return text
