"""Whether the docstring of a settings class tells what each key means."""

from __future__ import annotations

import inspect
import re

import attrs

from vectis.core.conformance.findings import Finding

__all__ = ["undocumented"]

_ENTRY = re.compile(r"^ +(\w+)(?: *\([^)]*\))?: *\S", re.M)
_SECTION = re.compile(r"^(?:Args|Attributes):\n((?: +.*\n?|\n)*)", re.M)


def undocumented(cls: type) -> list[Finding]:
    """Return a finding for each key that the docstring does not tell, or tells and is not there.

    Example:
        >>> import attrs
        >>> from vectis.core.conformance.keys import undocumented
        >>> @attrs.frozen
        ... class Settings:
        ...     '''The table.
        ...
        ...     Args:
        ...         path: The file.
        ...     '''
        ...
        ...     path: str = "events.db"
        ...     rate: int = 1
        >>> [finding.text for finding in undocumented(Settings)]
        ["the docstring of Settings does not tell the key 'rate'"]
    """
    text = inspect.cleandoc(cls.__doc__ or "") + "\n"
    told = {name for part in _SECTION.findall(text) for name in _ENTRY.findall(part)}
    keys = {field.name for field in attrs.fields(cls) if field.init}
    where = cls.__qualname__
    return [
        *(
            Finding(
                "settings",
                f"the docstring of {where} does not tell the key {key!r}",
                f"Add a line `{key}: ...` below `Args:`, with its unit",
            )
            for key in sorted(keys - told)
        ),
        *(
            Finding(
                "settings",
                f"the docstring of {where} tells {key!r}, which is no key",
                "Drop that line, or rename it",
            )
            for key in sorted(told - keys)
        ),
    ]
