"""A hub for one test: chosen plugins, no config file or environment, nothing leaves the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vectis.core.exceptions import PluginError
from vectis.core.hub import Hub
from vectis.core.plugins import discover
from vectis.core.settings import Config
from vectis.core.testing.memory import MemoryTransport

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["isolated_hub"]

_MEMORY = "memory"


def isolated_hub(
    *names: str,
    plugins: Mapping[str, Any] | None = None,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    bus: str | None = "bus",
    observers: Iterable[object] = (),
) -> Hub:
    """Make a hub with these plugins, the bus and the memory transport, and no others.

    Neither a config file nor the environment is read. The worker's group is `test`, and what a
    chosen plugin is quarantined for is raised.

    Args:
        names: Installed plugins, as their entry points are called.
        plugins: Further ones by name: modules, classes or objects that need not be installed.
        config: Tables as in `vectis.toml`; they win over the defaults of tests, key by key.
        bus: The installed plugin that runs handlers; left out when it is not installed. None when
            one of the others does it, or none is wanted.
        observers: As for `Hub`.

    Raises:
        PluginError: One is not installed, or cannot be used; the message says why.
        ConfigError: A setting of Vectis's own tables cannot be used.

    Example:
        >>> from vectis.core import Event
        >>> from vectis.core.testing import isolated_hub
        >>> hub = isolated_hub(config={"bus": {"budget_ms": 50}})
        >>> subscription = hub.subscribe("order.created", lambda event: print(event.data))
        >>> outcome = hub.emit_sync(Event("order.created", {"order_id": 7}))
        {'order_id': 7}
    """
    installed = {plugin.name for plugin in discover()}
    given = dict(plugins or {})
    wanted = [*names, *given]
    if bus in installed and bus not in wanted:
        wanted.insert(0, str(bus))
    tables: dict[str, Mapping[str, Any]] = {
        "consumer": {"group": "test", "shutdown_timeout": 1.0},
        "hub": {"transport": _MEMORY},
        "plugins": {"enable": [*wanted, _MEMORY], "require": wanted},
    }
    for table, values in (config or {}).items():
        tables[table] = {**tables.get(table, {}), **values}
    twice = sorted(installed.intersection(given))
    if twice:
        raise PluginError(
            f"plugin {twice[0]!r} is installed, and two with one name are refused: choose it by "
            f"name, as in make_hub({twice[0]!r}), or give yours another one"
        )
    return Hub(
        Config.of(tables, environ={}),
        plugins={**given, _MEMORY: MemoryTransport()},
        observers=observers,
    )
