"""The plugin: takes subscriptions over, and offers a carrier for each event type."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import attrs

from vectis.core import hookimpl
from vectis.core.subscription import Subscription, pattern_matches
from vectis.core.transport import Carrier, Route
from vectis_bus.dispatch import prepare
from vectis_bus.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectis.core.hub import Hub

__all__ = ["Bus", "BusSettings"]


@attrs.frozen
class BusSettings:
    """The config table `[bus]`.

    Args:
        budget_ms: Milliseconds that a handler may take before a warning names it.
        timings: Measure every handler exactly, for `Outcome.ran`; costs two clock reads a handler.
    """

    budget_ms: float = attrs.field(default=100.0, validator=attrs.validators.gt(0))
    timings: bool = False


class Bus:
    """The in-process priority bus of one hub."""

    def __init__(self) -> None:
        self._subscriptions: tuple[Subscription, ...] = ()
        self._unspent: dict[Subscription, Lock] = {}
        self._watchdog: Watchdog | None = None

    @hookimpl
    def vectis_settings(self) -> type:
        """Return the class of `[bus]`."""
        return BusSettings

    @hookimpl
    def vectis_subscribe(
        self, route: Route, subscription: Subscription, hub: Hub
    ) -> Callable[[], None] | None:
        """Take in-process subscriptions over, sorted by priority."""
        if route.scope != "process":
            return None
        # Sorted once here; sorting is stable, so ties stay in the order they were made.
        self._subscriptions = tuple(
            sorted((*self._subscriptions, subscription), key=lambda s: s.priority)
        )

        if subscription.once:
            self._unspent[subscription] = Lock()

        def undo() -> None:
            self._unspent.pop(subscription, None)
            self._subscriptions = tuple(s for s in self._subscriptions if s != subscription)

        return undo

    @hookimpl
    def vectis_emit(self, route: Route, hub: Hub) -> Carrier | None:
        """Offer to run the handlers whose pattern matches an event type."""
        if route.scope != "process":
            return None
        plan = tuple(s for s in self._subscriptions if pattern_matches(s.pattern, route.name))
        settings: BusSettings = hub.settings("bus")
        if self._watchdog is None:
            self._watchdog = Watchdog(settings.budget_ms / 1000)
        return Carrier(
            send=prepare(plan, hub, settings, self._watchdog, self._unspent),
            plan=lambda: plan,
            overruns=self._watchdog.overruns.copy,
            describe=f"in-process bus, budget {settings.budget_ms:g} ms",
        )
