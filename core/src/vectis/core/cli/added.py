"""Commands that installed distributions add to `vectis`, listed without importing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import click

from vectis.core.distributions import distribution
from vectis.core.exceptions import PluginError
from vectis.core.places import place
from vectis.core.plugins import COMMANDS
from vectis.core.redact import ended, one_line

if TYPE_CHECKING:
    from collections.abc import Container

    from importlib_metadata import EntryPoint

__all__ = ["AddedCommand", "added_commands"]


@attrs.frozen(kw_only=True)
class AddedCommand:
    """A command from the entry-point group `vectis.commands`.

    Args:
        name: The command's name.
        entry_point: `module:attribute`; the attribute is a click command.
        distribution: The distribution that brought it, with its version.
        refused: Why it cannot be used: built in, or two have the name; else empty.
        entry: Loads it.
    """

    name: str
    entry_point: str
    distribution: str
    refused: str
    entry: Any = attrs.field(repr=False)

    @property
    def help(self) -> str:
        """One line for the list of commands."""
        said = f"from {self.distribution}"
        return one_line(f"{said}; left out: {self.refused}" if self.refused else said)

    def load(self) -> click.Command:
        """Import the command.

        Raises:
            PluginError: It is refused, does not import, or is no click command.
        """
        what = f"command {self.name!r} of {self.distribution}"
        if self.refused:
            raise PluginError(f"{what} is left out: {self.refused}")
        try:
            command = self.entry.load()
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(f"interrupted while {what} was imported")
            raise
        except BaseException as error:  # SystemExit too: an import must not decide the exit code
            where = place(error, self.entry_point.partition(":")[0])
            cause = f"{type(error).__name__}: {error}" + f" ({where})" * bool(where)
            raise PluginError(
                f"{what} cannot be loaded from {self.entry_point!r}: "
                f"{ended(cause)} Mend or uninstall it; the other commands work"
            ) from error
        if not isinstance(command, click.Command):
            raise PluginError(
                f"{what} is no click command: {self.entry_point!r} is a {type(command).__name__}"
            )
        return command


def added_commands(built_in: Container[str]) -> list[AddedCommand]:
    """List the commands of all installed distributions, sorted by name.

    Args:
        built_in: The names of Vectis's own commands, which nobody can replace.
    """
    from importlib_metadata import entry_points

    entries = list(entry_points(group=COMMANDS))
    owners: dict[str, list[str]] = {}
    for entry in entries:
        owners.setdefault(entry.name, []).append(_origin(entry))
    found = []
    for entry in entries:
        refused = ""
        if entry.name in built_in:
            refused = f"{entry.name!r} is built in"
        elif len(owners[entry.name]) > 1:
            both = " and ".join(sorted(owners[entry.name]))
            refused = f"{both} both bring a command of this name; uninstall one"
        found.append(
            AddedCommand(
                name=entry.name,
                entry_point=entry.value,
                distribution=_origin(entry),
                refused=refused,
                entry=entry,
            )
        )
    return sorted(found, key=lambda command: (command.name, command.distribution))


def _origin(entry: EntryPoint) -> str:
    origin = distribution(entry)
    return f"{origin.name} {origin.version}"
