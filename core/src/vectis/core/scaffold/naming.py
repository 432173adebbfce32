"""What the parts of a new plugin are called, all made of its one name."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.util import find_spec
from itertools import chain, count
from pathlib import Path

import attrs

from vectis.core.distributions import installed, normal
from vectis.core.exceptions import PluginError
from vectis.core.plugins import RESERVED, discover

__all__ = ["Names"]

_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VECTIS = "vectis-"
_COMPANY = "acme-"  # of the examples
_NEVER = sys.stdlib_module_names | {"test", "tests", "vectis"}  # Python's tests are one of them
_LONGEST = 100  # characters; a topic's name and a file's have bounds


@attrs.frozen
class Names:
    """The names of a new plugin.

    Args:
        name: Of the distribution, the plugin, its config table and its folder.
        module: Of the package that is imported.
        title: Of its classes, as a prefix.
    """

    name: str
    module: str
    title: str

    @classmethod
    def of(cls, name: str) -> Names:
        """Return the names that follow from one.

        Args:
            name: As somebody typed it; `Acme_Loyalty` and `acme.loyalty` are `acme-loyalty`.

        Raises:
            PluginError: It cannot be one, or is taken; the message says why.

        Example:
            >>> from vectis.core.scaffold import Names
            >>> Names.of("Acme_Loyalty")
            Names(name='acme-loyalty', module='acme_loyalty', title='AcmeLoyalty')
        """
        if not _DISTRIBUTION.fullmatch(name) or len(name) > _LONGEST:
            raise PluginError(
                f"{name!r} is no name of a distribution: up to {_LONGEST} ASCII letters, digits, "
                "'-', '_' and '.', with a letter or digit at both ends, as in acme-loyalty"
            )
        normalised = normal(name)
        module = normalised.replace("-", "_")
        if keyword.iskeyword(module):
            raise PluginError(
                f"{module!r} can be no Python module, for it is a word of the language: "
                f"put a word of yours before it, as in {_free(normalised)}"
            )
        if not module.isidentifier():
            raise PluginError(f"{module!r} can be no Python module: begin the name with a letter")
        if normalised in RESERVED:
            raise PluginError(f"{normalised!r} is a name of Vectis's own: {_advice(normalised)}")
        _refuse_taken(normalised)
        if _importable(module):
            raise PluginError(
                f"a module {module!r} is there already, and would be imported instead or hidden: "
                f"{_advice(normalised)}"
            )
        return cls(normalised, module, "".join(map(str.capitalize, normalised.split("-"))))


def _refuse_taken(name: str) -> None:
    """Refuse what another distribution or plugin has: installed, the two would break each other."""
    own = name.removeprefix(_VECTIS)
    if own != name:
        raise PluginError(
            f"{name!r} begins with {_VECTIS!r}, as Vectis's own distributions do: {_advice(own)}"
        )
    for plugin in discover():
        if normal(plugin.name) == name:
            raise PluginError(
                f"a plugin called {name!r} is installed, by {plugin.distribution} "
                f"{plugin.version}, and two cannot share it: {_advice(own)}"
            )
    if installed(name) is not None:
        raise PluginError(
            f"a distribution called {name!r} is installed, and would be replaced: {_advice(own)}"
        )


def _importable(module: str) -> bool:
    """Tell whether a module of this name is there, or may be with another Python."""
    if module in _NEVER:
        return True
    try:
        spec = find_spec(module)
    except ValueError:  # imported by something that did not say from where
        return True
    if spec is None or spec.origin is not None:
        return spec is not None
    # Any folder imports as a package without a file; one that only lies here is no installed one.
    folders = spec.submodule_search_locations or ()
    return any(Path(folder).parent != Path.cwd() for folder in folders)


def _advice(own: str) -> str:
    """Return which name to take instead, with one that is free as the example."""
    if own.startswith(_COMPANY):
        return f"take another name, as in {_free(own)}"
    return f"put your company's name before it, as in {_free(own)}"


def _free(own: str) -> str:
    """Return a name like this one that nothing has: no plugin, no distribution and no module."""
    taken = {normal(plugin.name) for plugin in discover()}
    first = own if own.startswith(_COMPANY) else f"{_COMPANY}{own}"
    return next(
        name
        for name in chain([first], (f"{first}-{number}" for number in count(2)))
        if name not in taken and installed(name) is None and not _importable(name.replace("-", "_"))
    )
