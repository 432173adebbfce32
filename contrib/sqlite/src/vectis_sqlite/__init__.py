"""The embedded, durable SQLite transport of Vectis: several processes, one machine, no server.

This module is the plugin. It declines every offer until `[sqlite] path` is set, and imports the
transport itself only then.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vectis.core import hookimpl
from vectis_sqlite.settings import SqliteSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vectis.core import Hub
    from vectis.core.subscription import Subscription
    from vectis.core.transport import Carrier, Consumer, Route
    from vectis_sqlite.transport import SqliteTransport

__all__ = ["SqliteSettings", "SqliteTransport", "transport_of"]


@hookimpl
def vectis_settings() -> type:
    """Describe the `[sqlite]` table."""
    return SqliteSettings


@hookimpl
def vectis_unavailable(hub: Hub) -> str | None:
    """Say that no file is configured, or what is wrong with it."""
    settings = _settings(hub)
    file = settings.file(hub.config.path)
    if file is not None:
        from vectis_sqlite._inspection import problem_with

        return problem_with(file, settings)
    return 'no file is configured: set [sqlite] path = "events.db" or VECTIS_SQLITE_PATH'


@hookimpl
def vectis_subscribe(
    route: Route, subscription: Subscription, hub: Hub
) -> Callable[[], None] | None:
    """Take over what the worker consumes; there is nothing to prepare, or to undo."""
    return _nothing if route.scope == "service" and _settings(hub).path is not None else None


@hookimpl
def vectis_emit(route: Route, hub: Hub) -> Carrier | None:
    """Offer to carry every topic, once there is a file."""
    transport = transport_of(hub) if route.scope == "service" else None
    return None if transport is None else transport.carrier(route.name)


@hookimpl
def vectis_consume(topics: Sequence[str], group: str | None, hub: Hub) -> Consumer | None:
    """Offer to read every topic, once there is a file."""
    transport = transport_of(hub)
    return None if transport is None else transport.consumer(topics, group)


def transport_of(hub: Hub) -> SqliteTransport | None:
    """Return the transport that a hub is configured for, or None when it has no file.

    Args:
        hub: Its settings `sqlite` and the place of its config file decide.
    """
    settings = _settings(hub)
    file = settings.file(hub.config.path)
    if file is None:
        return None
    return _transport(settings, hub.config.path, file, hub.hub_settings.publish_timeout)


@lru_cache(maxsize=32)
def _transport(
    settings: SqliteSettings, config_file: Path | None, file: Path, publish_timeout: float
) -> SqliteTransport:
    # One for each file and way to use it. The file is asked for because a relative path moves with
    # the folder.
    from vectis_sqlite.transport import SqliteTransport

    return SqliteTransport(settings, config_file=config_file, publish_timeout=publish_timeout)


def _settings(hub: Hub) -> SqliteSettings:
    settings = hub.settings("sqlite")
    assert isinstance(settings, SqliteSettings), "the settings class is this plugin's own"
    return settings


def _nothing() -> None:
    """The undo of something that left no trace."""


def __getattr__(name: str) -> Any:
    if name != "SqliteTransport":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vectis_sqlite.transport import SqliteTransport

    return SqliteTransport
