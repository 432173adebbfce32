"""Every subscription of one hub: placed with a transport, overruled by the operator, undone.

What a subscription is stands in `vectis.core.subscription`; its transport knows how it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from vectis.core.taking import with_event
from vectis.core.transport import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vectis.core.forks import ForkSafeLock
    from vectis.core.marks import Mark
    from vectis.core.routing import Routing
    from vectis.core.settings import Config
    from vectis.core.subscription import Handler, Subscription

__all__ = ["Subscriptions"]


class Subscriptions:
    """The subscriptions of one hub, in the order they were made.

    Args:
        config: Its `[handlers]` tables have the last word on priority and on being enabled.
        routing: Finds the transport that takes a subscription.
        changed: Called, with the lock held, after every change.
        lock: Held during a change; the hub's own.
    """

    def __init__(
        self, config: Config, routing: Routing, changed: Callable[[], None], lock: ForkSafeLock
    ) -> None:
        self._config = config
        self._overrides = config.handlers()
        self._routing = routing
        self._changed = changed
        self._lock = lock
        self._undo: dict[Subscription, Callable[[], None] | None] = {}

    def __iter__(self) -> Iterator[Subscription]:
        return iter(tuple(self._undo))

    def place(self, made: Subscription) -> Subscription:
        """Take a subscription and give it to its transport, unless the operator disabled it.

        Returns:
            The subscription as it is in force.

        Raises:
            SubscriptionError: It takes a class that cannot be read from JSON.
        """
        if made.takes == "class":
            with_event(made)  # rather than when the first event is there
        override = self._overrides.get(made.id)
        if override is not None:
            made = attrs.evolve(
                made,
                priority=made.priority if override.priority is None else override.priority,
                enabled=override.enabled is not False,
                note=self._config.origin("handlers", made.id),
            )
        with self._lock:
            placed = None
            if made.enabled:
                placed = self._routing.subscribe(Route(made.scope, made.pattern), made)
            self._undo[made] = placed[1] if placed else None
            self._changed()
        return made

    def remove(self, subscription: Subscription | str, handler: Handler | None = None) -> bool:
        """Undo a subscription, or all with this pattern and handler; False when there was none."""
        with self._lock:
            found = [
                known
                for known in self._undo
                if known == subscription
                or (known.pattern == subscription and known.handler == handler)
            ]
            for known in found:
                undo = self._undo.pop(known)
                if undo is not None:
                    undo()
            self._changed()
        return bool(found)

    def knows(self, handler: Handler, mark: Mark) -> bool:
        """Tell whether a marked function is subscribed already."""
        return any(
            s.handler is handler and s.pattern == mark.pattern and s.scope == mark.scope
            for s in self
        )
