"""Read one table through its settings class, and say in full what is wrong with it.

Imported only when something is set, since it brings cattrs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from vectis.core._core_settings import HandlerSettings
from vectis.core._environment import PREFIX
from vectis.core._origins import Origins, header
from vectis.core._structure import Refused, build, structure, types_of
from vectis.core._variable_text import read_text
from vectis.core.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["read_event_types", "read_handler", "read_table"]

T = TypeVar("T")


def read_table(
    table: str, cls: type[T], given: Mapping[str, Any], texts: Mapping[str, str], origins: Origins
) -> T:
    """Return a table as its settings class.

    Args:
        table: The table's name.
        cls: Its settings class.
        given: What the file says.
        texts: What variables say, by key; they win.
        origins: Knows where each came from.

    Raises:
        ConfigError: The settings class refuses something; the message says what, where and why.
    """
    try:
        types = types_of(cls)
        said = {key: read_text(text, types.get(key, str)) for key, text in texts.items()}
        return build(cls, {**given, **said})
    except Refused as refused:
        problem = refused
    key = str(problem.path[0]) if problem.path else None
    where = origins.of_table(table) if key is None else origins.of_key(table, key)
    if where == "default":  # a key that validators miss, or that its default violates
        where = origins.of_table(table)
    raise _error(where, (table,), problem)


def read_handler(name: str, given: object, origins: Origins) -> HandlerSettings:
    """Return one table of `[handlers]`.

    Raises:
        ConfigError: A name without a colon, an unknown key, a wrong type.
    """
    where = origins.of_key("handlers", name)
    if ":" not in name:
        raise ConfigError(
            f"{where}: [{header('handlers', name)}] must name a handler as 'plugin:name'; "
            "`vectis handlers` lists them"
        )
    try:
        return build(HandlerSettings, given)
    except Refused as refused:
        problem = refused
    if problem.path:
        where = origins.of_item("handlers", name, problem.path[0])
    raise _error(where, ("handlers", name), problem)


def read_event_types(topic: str, given: object, origins: Origins) -> tuple[str, ...]:
    """Return the event types of one topic.

    Raises:
        ConfigError: Not a list of strings.
    """
    try:
        types: tuple[str, ...] = structure(given, tuple[str, ...])
    except Refused as refused:
        problem = refused.inside(topic)
    else:
        return types
    raise _error(origins.of_key("topics", topic), ("topics",), problem)


def _error(where: str, table: tuple[str, ...], refused: Refused) -> ConfigError:
    problem = refused.problem(in_file=not where.startswith(PREFIX))
    key = f"{header(*refused.path)} " if refused.path else ""
    if where.startswith(PREFIX):
        remedy = f"correct {where}, or unset it"
    else:
        remedy = f"correct {key and f'{key}under '}[{header(*table)}] at {where}"
    return ConfigError(f"{where}: [{header(*table)}] {key}{problem}", remedy=remedy)
