"""Names of environment variables: which setting has which, and which belong to Vectis itself.

Reading their text into values is `vectis.core._structure`'s work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from vectis.core.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["BOOLEANS", "CORE_VARIABLES", "PREFIX", "Variables", "keys_of", "variable"]

PREFIX = "VECTIS_"

CORE_VARIABLES = {
    "VECTIS_CONFIG": "the config file's path",
    "VECTIS_DEBUG": "tracebacks on the command line",
    "VECTIS_SAFE_MODE": "start with the default plugins only",
}
"""Variables that are no setting of a table, with what they are for."""

BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
"""What a variable may say for true and false, in any case."""


def variable(table: str, key: str = "") -> str:
    """Return the environment variable of a key, or the beginning that a table's variables share.

    Example:
        >>> variable("acme-audit", "budget_ms"), variable("acme-audit")
        ('VECTIS_ACME_AUDIT_BUDGET_MS', 'VECTIS_ACME_AUDIT_')
    """
    name = f"{table}_{key}".upper()
    return PREFIX + "".join(letter if letter.isalnum() else "_" for letter in name)


def keys_of(cls: type[Any]) -> dict[str, attrs.Attribute[Any]]:
    """Return the keys of a settings class with their attributes, in order."""
    return {field.alias or field.name: field for field in attrs.fields(cls) if field.init}


class Variables:
    """Who owns which variable; no two keys may share one.

    Args:
        core: Core's own tables with their classes: they come first, whoever asks first.
    """

    def __init__(self, core: Mapping[str, type[Any]]) -> None:
        self._owners: dict[str, tuple[str, str]] = {}
        for table, cls in core.items():
            self.claim(table, keys_of(cls))

    def __iter__(self) -> Iterator[str]:
        return iter(self._owners)

    def claim(self, table: str, keys: Iterable[str]) -> dict[str, str]:
        """Reserve the variables of a table's keys, all of them or none.

        Returns:
            The variable of each key.

        Raises:
            ConfigError: Another key has the same variable; both are named.
        """
        claimed: dict[str, tuple[str, str]] = {}
        for key in keys:
            name = variable(table, key)
            if name in CORE_VARIABLES:
                raise ConfigError(
                    f"[{table}] {key} would be set by the environment variable {name}, which is "
                    f"Vectis's own ({CORE_VARIABLES[name]}): rename the key or the plugin"
                )
            other = claimed.get(name) or self._owners.get(name, (table, key))
            if other != (table, key):
                raise ConfigError(
                    f"[{other[0]}] {other[1]} and [{table}] {key} have the same environment "
                    f"variable {name}: rename one of the two keys, or one of the plugins"
                )
            claimed[name] = (table, key)
        self._owners.update(claimed)
        return {key: name for name, (_, key) in claimed.items()}
