"""Who carries what: asks plugins for offers, chooses one, and remembers it until changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from vectis.core.exceptions import TransportError, VectisError
from vectis.core.redact import ended
from vectis.core.transport import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pluggy

    from vectis.core.hub import Hub
    from vectis.core.subscription import Subscription
    from vectis.core.transport import Carrier, Consumer

__all__ = ["Conflict", "Offer", "Routing"]

_BOUND = 1024  # topics and event types come from code, not from outside; this only stops a leak


class Conflict(TransportError):
    """Several plugins offer the same, and the config does not say which one is meant."""


@attrs.frozen
class Offer:
    """A carrier and the name of the plugin that offers it."""

    plugin: str
    carrier: Carrier


class Routing:
    """Asks the transport hooks of one hub.

    Args:
        hub: Passed on to the hooks.
        manager: Holds their implementations.
        transport: `[hub] transport`, the plugin that is chosen among several; None when unset.
    """

    def __init__(self, hub: Hub, manager: pluggy.PluginManager, transport: str | None) -> None:
        self._hub = hub
        self._manager = manager
        self._transport = transport
        self._offers: dict[Route, Offer | None] = {}
        self._topics: dict[str, Offer | None] = {}
        self._chose_a_bus: bool | None = None  # found out when it first matters
        self._refused: Conflict | None = None

    def offer(self, route: Route) -> Offer | None:
        """Return the offer that won for a route, or None when every transport declined.

        Raises:
            TransportError: Several offered and `[hub] transport` does not pick, or one failed to.
        """
        # Kept in the dict that was there before the plugins were asked: when subscriptions change
        # meanwhile in another thread, that one is forgotten, and the stale offer with it.
        offers = self._offers
        try:
            return offers[route]
        except KeyError:
            pass
        if self._refused is not None and route.scope == "process":
            raise Conflict(str(self._refused))  # a handler is in nobody's hands: it would not run
        chosen = self._choose("vectis_emit", route, route=route)
        offer = None if chosen is None else Offer(*chosen)
        if len(offers) >= _BOUND:
            offers.clear()
        return offers.setdefault(route, offer)  # another thread may have asked meanwhile

    def for_topic(self, topic: str) -> Offer | None:
        """Return the offer for a topic, as `offer` does; this is what every publish asks."""
        try:
            return self._topics[topic]
        except KeyError:
            pass
        offer = self.offer(Route("service", topic))
        if len(self._topics) >= _BOUND:
            self._topics.clear()
        return self._topics.setdefault(topic, offer)

    def consumer(self, topics: Sequence[str], group: str | None) -> tuple[str, Consumer] | None:
        """Return the name of the plugin and its consumer, or None when every transport declined."""
        route = Route("service", ", ".join(topics))
        return self._choose("vectis_consume", route, topics=topics, group=group)

    def subscribe(
        self, route: Route, subscription: Subscription
    ) -> tuple[str, Callable[[], None]] | None:
        """Give a subscription to the transport that takes it; None when nobody does.

        A conflict is not the subscriber's fault: whoever emits, publishes or consumes is told.
        """
        try:
            return self._choose("vectis_subscribe", route, route=route, subscription=subscription)
        except Conflict as conflict:
            if route.scope == "process":
                self._refused = conflict
            return None

    def offers(self) -> list[Offer]:
        """Return the offers in use, one for each plugin and carrier."""
        return list({id(o.carrier): o for o in self._offers.values() if o is not None}.values())

    def forget(self) -> None:
        """Ask anew from now on: subscriptions have changed."""
        kept = [(route, o) for route, o in list(self._offers.items()) if route.scope == "service"]
        self._offers = dict(kept)

    def is_bus(self, plugin: str) -> bool:
        """Tell whether a plugin offers to run handlers in this process."""
        route = Route("process", "vectis.is_bus")
        return any(
            self._ask(implementation, "vectis_emit", route, {"route": route}) is not None
            for implementation in self._manager.hook.vectis_emit.get_hookimpls()
            if implementation.plugin_name == plugin
        )

    @property
    def chose_a_bus(self) -> bool:
        """Whether `[hub] transport` picks among buses, and so says nothing about transports."""
        if self._transport is None:
            return False
        if self._chose_a_bus is None:
            self._chose_a_bus = self.is_bus(self._transport)
        return self._chose_a_bus

    def _passed_over(self, plugin: str) -> bool:
        """Tell whether another transport was chosen: then none takes its place unasked."""
        return self._transport not in (None, plugin) and not self.chose_a_bus

    def _choose(self, hook: str, where: Route, **arguments: Any) -> tuple[str, Any] | None:
        """Ask the plugins, and return the winner's name and offer."""
        offers: dict[str, Any] = {}
        try:
            for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
                plugin = implementation.plugin_name
                if where.scope == "service" and self._passed_over(plugin):
                    continue
                offer = self._ask(implementation, hook, where, arguments)
                if offer is not None:
                    offers[plugin] = offer
            return self._winner(offers, where)
        finally:
            if hook == "vectis_subscribe" and len(offers) > 1:
                for plugin, undo in offers.items():
                    if plugin != self._transport:
                        undo()

    def _ask(
        self,
        implementation: pluggy.HookImpl,
        hook: str,
        where: Route,
        arguments: dict[str, Any],
    ) -> Any:
        given = {**arguments, "hub": self._hub}
        try:
            return implementation.function(*[given[name] for name in implementation.argnames])
        except VectisError:
            raise
        except Exception as error:
            raise TransportError(
                f"plugin {implementation.plugin_name!r} failed to answer {hook} for {where}: "
                f"{ended(f'{type(error).__name__}: {error}')} Mend or disable it"
            ) from error

    def _winner(self, offers: dict[str, Any], route: Route) -> tuple[str, Any] | None:
        if not offers:
            return None
        if self._transport in offers:
            return self._transport, offers[self._transport]
        if len(offers) == 1:
            return next(iter(offers.items()))
        names = ", ".join(offers)
        if route.scope == "process":
            raise Conflict(
                f"several plugins offer to be the bus, which carries {route}: {names}. "
                f'Disable all but one, as in [plugins] disable = ["{next(iter(offers))}"]'
            )
        raise Conflict(
            f"several transports offer to carry {route}: {names}. "
            "Choose one with [hub] transport, or disable the others"
        )
