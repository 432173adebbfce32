"""The plugin: says whether a broker can be used, and declines when not."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING

from vectis.core import hookimpl
from vectis.core.exceptions import TransportError
from vectis.core.transport import Dispensable
from vectis_redpanda.settings import RedpandaSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectis.core.hub import Hub
    from vectis.core.transport import Carrier, Consumer, Route

__all__ = ["Redpanda"]

logger = logging.getLogger("vectis.redpanda")

NO_SERVERS = (
    'no servers are configured: set [redpanda] bootstrap_servers = "localhost:9092" '
    "or VECTIS_REDPANDA_BOOTSTRAP_SERVERS"
)
# The application runs in development without it, so publishing does nothing rather than fail.
NO_AIOKAFKA = Dispensable('aiokafka is not installed: pip install "vectis-hub[redpanda]"')
NOT_YET = (
    "this version cannot carry events to a broker yet, and refuses rather than lose them. Use the "
    "SQLite transport ([sqlite] path), or unset [redpanda] bootstrap_servers"
)


class Redpanda:
    """The Redpanda transport of one hub."""

    def __init__(self) -> None:
        self._warned = False

    @hookimpl
    def vectis_settings(self) -> type:
        """Describe the `[redpanda]` table."""
        return RedpandaSettings

    @hookimpl
    def vectis_unavailable(self, hub: Hub) -> str | None:
        """Say what is missing: servers, aiokafka, or the transport itself."""
        return self._missing(hub) or NOT_YET

    @hookimpl
    def vectis_emit(self, route: Route, hub: Hub) -> Carrier | None:
        """Decline without servers or aiokafka; refuse with both."""
        if route.scope == "service" and self._usable(hub):
            raise TransportError(f"{_servers(hub)}: {NOT_YET}")
        return None

    @hookimpl
    def vectis_consume(self, topics: Sequence[str], group: str | None, hub: Hub) -> Consumer | None:
        """Decline without servers or aiokafka; refuse with both."""
        if not self._usable(hub):
            return None
        raise TransportError(f"{_servers(hub)}: {NOT_YET}")

    def _missing(self, hub: Hub) -> str | None:
        if not _servers(hub):
            return NO_SERVERS
        # Looked for, not imported: it costs 200 ms.
        return NO_AIOKAFKA if find_spec("aiokafka") is None else None

    def _usable(self, hub: Hub) -> bool:
        if hub.hub_settings.transport not in (None, "redpanda"):
            return False  # another one was chosen, and is not to fail because of this one
        missing = self._missing(hub)
        if missing == NO_AIOKAFKA and not self._warned:
            # Somebody meant to publish; without servers nobody did, and that is silent.
            self._warned = True
            logger.warning("nothing is published to %s: %s", _servers(hub), NO_AIOKAFKA)
        return missing is None


def _servers(hub: Hub) -> str | None:
    settings = hub.settings("redpanda")
    assert isinstance(settings, RedpandaSettings), "the settings class is this plugin's own"
    return settings.bootstrap_servers
