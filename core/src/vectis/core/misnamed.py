"""Tables of `[handlers]` for handlers that nobody has: a typo, or a handler that is gone.

The hub cannot refuse them: an application subscribes handlers when it likes. Whoever looks when all
of them should be there, a command or a worker, asks here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectis.core.plugins import nearest
from vectis.core.subscription import APP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vectis.core.hub import Hub

__all__ = ["misnamed"]


def misnamed(hub: Hub) -> Iterator[str]:
    """Yield a sentence for each table `[handlers."NAME"]` that changes nothing.

    Those of a plugin that is disabled or in quarantine are left out: they count when it is back.

    Args:
        hub: Its handlers must be registered already.

    Example:
        >>> from vectis.core import Hub
        >>> from vectis.core.misnamed import misnamed
        >>> hub = Hub({"handlers": {"app:sink": {"priority": 1}}}, discover=False)
        >>> def sync(event_type, payload): ...
        >>> subscription = hub.on_event("order.created", sync, topic="vectis.orders")
        >>> list(misnamed(hub))
        ["Hub(config=...): no handler is called 'app:sink'; did you mean 'app:sync'?"]
    """
    known = {subscription.id for subscription in hub.subscriptions}
    absent = {plugin.name for plugin in hub.plugins if plugin.state != "loaded"}
    for name in hub.config.handlers():
        owner = name.partition(":")[0]
        if name in known or owner in absent:
            continue
        hint = nearest(name, known)
        if not hint and owner == APP:
            hint = " in the modules that are imported here"
        yield f"{hub.config.origin('handlers', name)}: no handler is called {name!r}{hint}"
