"""Take a name out of a list of strings as it is written in TOML, and leave its comments behind.

A comment at the end of an entry's line says why the entry is there; whoever takes the entry out may
want it back. Not for lists of anything but strings.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["without_name"]

_TOKEN = re.compile(
    r'''(?P<string>"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|'[^'\n]*')'''
    r"|(?P<comment>\#[^\n]*)|(?P<blank>[ \t]+)|(?P<end>\n)|(?P<comma>,)|(?P<bracket>[\[\]])",
    re.DOTALL,
)

_Tokens = list[tuple[str, str]]
"""Kind and text of each."""


def without_name(text: str, name: str) -> str:
    """Return a list without a name, however often that is in it.

    A comment behind the name stays, on a line of its own if the name had one.

    Args:
        text: From bracket to bracket.
        name: What is taken out.

    Raises:
        ValueError: It is no list of strings.

    Example:
        >>> from vectis.core._toml_lists import without_name
        >>> print(without_name('[\\n  "bus",\\n  "acme",  # it hangs\\n]', "acme"))
        [
          "bus",
          # it hangs
        ]
    """
    tokens = _tokens(text)
    for place, (kind, written) in enumerate(tokens):
        if kind == "string" and tomllib.loads(f"name = {written}")["name"] == name:
            return without_name(_taken_out(tokens, place), name)
    return text


def _tokens(text: str) -> _Tokens:
    tokens: _Tokens = []
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise ValueError(f"no list of strings: {text[place : place + 20]!r}")
        tokens.append((found.lastgroup or "", found.group()))
        place = found.end()
    return tokens


def _taken_out(tokens: _Tokens, place: int) -> str:
    """Return the list without one string and the comma that parts it from the others."""
    before, behind = tokens[:place], tokens[place + 1 :]
    if not _drop_comma(behind, range(len(behind))):
        _drop_comma(before, reversed(range(len(before))))
    left = "".join(written for _, written in before)
    right = "".join(written for _, written in behind)
    nearer = left.rstrip(" \t")
    rest = right.lstrip(" \t")
    own_line = nearer.endswith("\n")
    if rest.startswith("\n"):
        return nearer.removesuffix("\n") + rest if own_line else nearer + rest
    if rest.startswith("]") or (rest.startswith("#") and not own_line):
        return nearer + right
    return left + rest


def _drop_comma(tokens: _Tokens, places: Iterable[int]) -> bool:
    """Drop the comma if one is the first of what matters at these places; tell whether it was."""
    for place in places:
        kind = tokens[place][0]
        if kind not in {"blank", "end", "comment"}:
            if kind == "comma":
                del tokens[place]
            return kind == "comma"
    return False
