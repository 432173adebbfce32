"""`event_bus`: the in-process bus of the default hub, as the application sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from vectis.core.default import default_hub, when_changed

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from vectis.core.events.event import Event
    from vectis.core.outcome import Outcome
    from vectis.core.subscription import Handler, Subscription

__all__ = ["EventBus", "event_bus"]


class Emit(Protocol):
    """What `event_bus.emit` is for whoever checks types: a coroutine function."""

    def __call__(self, event: Event) -> Coroutine[Any, Any, Outcome]:
        """Run every matching handler, in priority order, before this returns."""


class EventBus:
    """Subscribes handlers and emits events on the default hub, which the first emit makes.

    Example:
        >>> import asyncio
        >>> from vectis.core.events import Event, event_bus
        >>> async def on_order_created(event):
        ...     print(event.data["order_id"])
        >>> subscription = event_bus.subscribe("order.created", on_order_created, priority=50)
        >>> async def main():
        ...     await event_bus.emit(Event("order.created", {"order_id": 7}))
        >>> asyncio.run(main())
        7
        >>> event_bus.unsubscribe(subscription)
        True
    """

    # From the first emit on this is the hub's own method: the façade costs nothing. Not a method
    # that an attribute hides: Python 3.12 and later look those up slowly (4 % of an emit).
    emit: Emit

    def __init__(self) -> None:
        self.forget_hub()

    def forget_hub(self) -> None:
        """Let the next emit ask for the default hub again."""
        self.emit = self._make_hub_and_emit

    def subscribe(
        self,
        pattern: str | type,
        handler: Handler,
        priority: int = 50,
        *,
        once: bool = False,
        timeout: float | None = None,
        required: bool = False,
    ) -> Subscription:
        """Run a handler inside every emit of a matching event.

        Args:
            pattern: An event type, a pattern, `order.*` or `*` for all, or an event class.
            handler: Called with the event, or with an instance of the event class that annotates
                its parameter; `async def` or plain.
            priority: Lower runs earlier, ties in subscription order.
            once: Run for the first matching event only.
            timeout: Seconds after which it is cancelled and counts as failed; None for none.
            required: Its error is the emitter's.

        Returns:
            The subscription, for `unsubscribe`.

        Raises:
            SubscriptionError: The pattern is none, or the handler cannot be called with an event.
        """
        from vectis.core.marks import registry, subscription

        made = subscription(
            "process",
            pattern,
            handler,
            priority=priority,
            once=once,
            timeout=timeout,
            required=required,
        )
        return registry.subscribe(made)

    def unsubscribe(self, subscription: Subscription | str, handler: Handler | None = None) -> bool:
        """Stop a subscription: `unsubscribe(subscription)` or `unsubscribe(pattern, handler)`.

        An emit that is under way still runs the handlers that it began with.

        Returns:
            False when there was no such subscription any more.
        """
        from vectis.core.marks import registry

        return registry.unsubscribe(subscription, handler)

    def _make_hub_and_emit(self, *events: Event, **named: Event) -> Coroutine[Any, Any, Outcome]:
        """Run every matching handler, in priority order, before this returns.

        Args:
            event: What happened.

        Returns:
            The outcome, once awaited: who ran, what failed, who was skipped.

        Raises:
            EventCancelled: A guard or a handler stopped the event.
            HookError: A guard failed, so nothing was done.
            EmitLoopError: Handlers emit in a circle; the chain is shown.
            TransportError: Handlers are subscribed and no bus plugin is there to run them.
            Exception: What a `required` handler raised.
        """
        if len(events) + len(named) != 1 or not named.keys() <= {"event"}:
            raise TypeError(
                "emit takes one Event and nothing else: emit(Event(type=..., data=...))"
            )
        hub = default_hub()
        self.emit = hub.emit
        return hub.emit(*events, **named)

    _make_hub_and_emit.__name__ = "emit"  # for `help(event_bus.emit)`
    _make_hub_and_emit.__qualname__ = "EventBus.emit"

    def emit_sync(self, event: Event) -> Outcome:
        """Emit from code without an event loop; handlers run in the calling thread.

        Raises:
            RuntimeError: The calling thread runs an event loop: await `emit` there.
        """
        return default_hub().emit_sync(event)

    def __repr__(self) -> str:
        return "<event_bus of the default hub>"


event_bus = EventBus()
when_changed(event_bus.forget_hub)
