"""What carries the demo's messages: a file in its folder, or else a broker (`broker.py`).

The demo goes the same way on either. What differs is here: the plugin, its config, and what has to
be there before the first message.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import attrs

from vectis_commerce.demo.folder import CONSUMER, EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vectis_commerce.demo.folder import Folder

__all__ = ["SqliteFile", "Transport", "Unusable", "environment_of", "variables_of"]

_PLUGINS = ("bus", "commerce")  # and the transport's: what else is installed stays out of it
_CONFIG = f"""\
[sqlite]
path = "{EVENTS}"
"""


class Unusable(Exception):
    """The demo cannot start here; the message says what is missing."""


class Transport(Protocol):
    """Whatever carries the demo's messages."""

    @property
    def plugin(self) -> str:
        """The plugin whose transport it is."""

    @property
    def group(self) -> str:
        """The group that the worker consumes as."""

    @property
    def config(self) -> str:
        """The tables that it needs in `vectis.toml`."""

    @property
    def variables(self) -> Mapping[str, str]:
        """What is no business of that file: `VECTIS_*` variables for whoever uses it."""

    @property
    def broker(self) -> str | None:
        """The servers; None when it is no broker."""

    @property
    def facts(self) -> Sequence[tuple[str, str]]:
        """What somebody should know of it before the demo begins, under a word each."""

    @property
    def handover(self) -> float:
        """Seconds after which the partitions of a killed worker go to another."""

    async def prepare(self, folder: Folder) -> None:
        """Make what has to be there before the first message.

        Raises:
            Unusable: It cannot be made.
        """


@attrs.frozen
class SqliteFile:
    """A file in the demo's folder; it is there when the first message is."""

    plugin: str = "sqlite"
    group: str = "ledger"
    config: str = _CONFIG
    variables: Mapping[str, str] = attrs.field(factory=dict)
    broker: None = None
    facts: Sequence[tuple[str, str]] = ()
    handover: float = 0.0

    async def prepare(self, folder: Folder) -> None:
        """Do nothing."""


def variables_of(transport: Transport, plugins: Iterable[str] = ()) -> dict[str, str]:
    """Return the only `VECTIS_*` variables that count in the demo.

    Args:
        transport: Has some of its own.
        plugins: What is loaded besides those that are installed and needed.
    """
    enabled = ",".join((*_PLUGINS, transport.plugin, *plugins))
    return {**transport.variables, "VECTIS_PLUGINS_ENABLE": enabled}


def environment_of(transport: Transport) -> dict[str, str]:
    """Return the environment of a process that the demo starts.

    The settings of whoever tries it stay out of it, and so does what runs inside emit.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VECTIS_")}
    return {**kept, **variables_of(transport), "VECTIS_CONSUMER_MODULES": CONSUMER}
