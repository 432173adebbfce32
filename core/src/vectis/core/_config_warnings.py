"""Settings that belong to nobody: worth a warning and not an error, since plugins come and go."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from vectis.core._environment import CORE_VARIABLES, variable
from vectis.core._origins import FILE_ONLY, Origins, header

__all__ = ["unowned"]


def unowned(
    tables: Mapping[str, Any],
    environ: Mapping[str, str],
    origins: Origins,
    known_tables: Collection[str],
    known_variables: Collection[str],
    asked: Collection[str],
) -> Iterator[str]:
    """Yield a sentence for each table without a plugin and each variable without a key.

    Args:
        tables: The tables as they were given.
        environ: The `VECTIS_*` variables.
        origins: Knows the lines.
        known_tables: Core's tables and those of every installed plugin, disabled ones included.
        known_variables: The variables of all keys that are known by now.
        asked: The tables whose keys are known by now.
    """
    for name, table in tables.items():
        if name in known_tables:
            continue
        where = origins.of_table(name)
        if isinstance(table, Mapping):
            yield (
                f"{where}: no installed plugin has the table [{header(name)}], so it is ignored"
                f"{_question(name, known_tables)}"
            )
        else:
            yield f"{where}: {header(name)} stands outside any table, so it is ignored"
    # A plugin that was not imported keeps its keys to itself: its variables may well be right.
    unasked = tuple(variable(name) for name in known_tables if name not in (*asked, *FILE_ONLY))
    for name in environ:
        if name in known_variables or name in CORE_VARIABLES or name.startswith(unasked):
            continue
        if name.startswith(tuple(variable(table) for table in FILE_ONLY)):
            yield f"{name} has no effect: [handlers] and [topics] are read from the file only"
            continue
        question = _question(name, (*known_variables, *CORE_VARIABLES))
        yield f"{name} is not a variable that Vectis or a plugin knows, so it is ignored{question}"


def _question(word: str, known: Collection[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else ""
