"""The plugin: says whether a broker can be used, offers the transport, and declines when not."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from vectis.core import hookimpl
from vectis.core.transport import Dispensable
from vectis_redpanda._security import lingers_too_long, problem_with
from vectis_redpanda.settings import RedpandaSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vectis.core.hub import Hub
    from vectis.core.subscription import Subscription
    from vectis.core.transport import Carrier, Consumer, Route
    from vectis_redpanda.transport import RedpandaTransport

__all__ = ["Redpanda"]

logger = logging.getLogger("vectis.redpanda")

NO_SERVERS = (
    'no servers are configured: set [redpanda] bootstrap_servers = "localhost:9092" '
    "or VECTIS_REDPANDA_BOOTSTRAP_SERVERS"
)
# The application runs in development without it, so publishing does nothing rather than fail.
NO_AIOKAFKA = Dispensable("aiokafka is not installed: pip install aiokafka")

# What each kind of compression needs beside aiokafka; gzip is Python's own.
_CODECS = "cramjam"


class Redpanda:
    """The Redpanda transport of one hub."""

    def __init__(self) -> None:
        self._warned = False
        self._transport: RedpandaTransport | None = None

    @hookimpl
    def vectis_settings(self) -> type:
        """Describe the `[redpanda]` table."""
        return RedpandaSettings

    @hookimpl
    def vectis_unavailable(self, hub: Hub) -> str | None:
        """Say what is missing: servers, aiokafka, or settings that can work together."""
        settings = settings_of(hub)
        return (
            missing(hub)
            or problem_with(settings, folder_of(hub))
            or lingers_too_long(settings, hub.hub_settings.publish_timeout)
            or _missing_codec(settings)
        )

    @hookimpl
    def vectis_subscribe(
        self, route: Route, subscription: Subscription, hub: Hub
    ) -> Callable[[], None] | None:
        """Take over what the worker consumes; there is nothing to prepare, or to undo."""
        return _nothing if route.scope == "service" and self._usable(hub) else None

    @hookimpl
    def vectis_emit(self, route: Route, hub: Hub) -> Carrier | None:
        """Offer to carry every topic, once there are servers."""
        if route.scope != "service" or not self._usable(hub):
            return None
        return self._transport_of(hub).carrier(route.name)

    @hookimpl
    def vectis_consume(self, topics: Sequence[str], group: str | None, hub: Hub) -> Consumer | None:
        """Offer to read every topic, once there are servers."""
        return self._transport_of(hub).consumer(topics, group) if self._usable(hub) else None

    def _transport_of(self, hub: Hub) -> RedpandaTransport:
        if self._transport is None:
            from vectis_redpanda.transport import RedpandaTransport

            settings = settings_of(hub)
            if settings.group_instance_id is not None and hub.member is not None:
                # Two members with one name would throw each other out of the group for ever.
                name = f"{settings.group_instance_id}-{hub.member}"
                settings = attrs.evolve(settings, group_instance_id=name)
            self._transport = RedpandaTransport(
                settings,
                config_file=hub.config.path,
                publish_timeout=hub.hub_settings.publish_timeout,
                drain=hub.consumer_settings.shutdown_timeout,
            )
        return self._transport

    def _usable(self, hub: Hub) -> bool:
        if hub.hub_settings.transport not in (None, "redpanda"):
            return False  # another one was chosen, and is not to fail because of this one
        absent = missing(hub)
        if absent == NO_AIOKAFKA and not self._warned:
            # Somebody meant to publish; without servers nobody did, and that is silent.
            self._warned = True
            servers = settings_of(hub).bootstrap_servers
            logger.warning("nothing is published to %s: %s", servers, NO_AIOKAFKA)
        return absent is None


def missing(hub: Hub) -> str | None:
    """Say what is missing, servers or aiokafka; None when nothing is."""
    if not settings_of(hub).bootstrap_servers:
        return NO_SERVERS
    # Looked for, not imported: it costs 200 ms.
    return NO_AIOKAFKA if find_spec("aiokafka") is None else None


def settings_of(hub: Hub) -> RedpandaSettings:
    """Return the `[redpanda]` settings of a hub."""
    settings = hub.settings("redpanda")
    assert isinstance(settings, RedpandaSettings), "the settings class is this plugin's own"
    return settings


def folder_of(hub: Hub) -> Path:
    """Return where relative paths in the settings start."""
    return Path.cwd() if hub.config.path is None else hub.config.path.parent


def _missing_codec(settings: RedpandaSettings) -> str | None:
    if settings.compression in ("none", "gzip") or find_spec(_CODECS) is not None:
        return None
    return (
        f"[redpanda] compression = {settings.compression!r} needs the package {_CODECS}: "
        f"pip install {_CODECS}, or choose gzip"
    )


def _nothing() -> None:
    """The undo of something that left no trace."""
