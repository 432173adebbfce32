"""What surrounds an emit: lifecycle hooks, forwarding to a topic, and the missing bus.

Prepared per event type: without hooks and forwarding, the bus's own `send` is all there is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from inspect import iscoroutinefunction
from time import perf_counter
from typing import TYPE_CHECKING, Any

from vectis.core.absence import quarantined_carriers, way_to_a_bus
from vectis.core.blocking import within_run_here
from vectis.core.exceptions import EventCancelled, HookError, TransportError
from vectis.core.outcome import Frame, Outcome, current, nest
from vectis.core.redact import ended
from vectis.core.transport import Carrier, Route
from vectis.core.vetoes import fill_in

if TYPE_CHECKING:
    from vectis.core.events import Event
    from vectis.core.hub import Hub

__all__ = ["EMIT_HOOKS", "Send", "called_by_emit", "prepare"]

Send = Callable[["Event"], Coroutine[Any, Any, Outcome]]

EMIT_HOOKS = ("vectis_before_emit", "vectis_around_emit", "vectis_after_emit")
_OTHERS = ("vectis_startup", "vectis_shutdown", "vectis_handler_error")  # an emit may lead to them


def prepare(hub: Hub, event_type: str) -> Send:
    """Return the callable that emits events of a type, with as little around it as possible.

    Raises:
        TransportError: Handlers are subscribed and no bus plugin is there to run them.
    """
    send = _coroutine_function(_carrier(hub, event_type).send)
    if hub.lifecycle.implemented(*EMIT_HOOKS):
        send = _with_hooks(hub)
    described = hub.catalogue.find(event_type)
    forwards = described is not None and described.forward
    if forwards or (hub.catalogue.forwards and hub.lifecycle.implemented("vectis_before_emit")):
        send = _forwarding(hub, send)
    return send


def called_by_emit(hub: Hub, event_type: str) -> tuple[list[Callable[..., Any]], bool]:
    """Return what an emit of a type is going to call, for whoever has no event loop.

    Args:
        hub: The hub that emits it.
        event_type: The event type.

    Returns:
        The functions of its handlers and hooks; and whether it needs an event loop even when all of
        them are plain ones.
    """
    offer = hub.routing.offer(Route("process", event_type))
    plan = offer.carrier.plan() if offer else ()
    called = [s.handler for s in plan]
    for hook in (*_OTHERS, *EMIT_HOOKS):
        called += [i.function for i in hub.lifecycle.implementations(hook)]
    needs_loop = any(s.timeout is not None for s in plan) or hub.lifecycle.implemented(
        "vectis_around_emit"
    )
    return called, needs_loop


def _coroutine_function(send: Callable[[Event], Awaitable[Outcome]]) -> Send:
    if iscoroutinefunction(send):
        return send

    # A carrier may return any awaitable, and a task can be made of a coroutine only.
    async def emit(event: Event) -> Outcome:
        return await send(event)

    emit.__qualname__ = "event_bus.emit"
    return emit


def _carrier(hub: Hub, event_type: str) -> Carrier:
    offer = hub.routing.offer(Route("process", event_type))
    if offer is not None:
        return offer.carrier
    waiting = [s for s in hub.subscriptions if s.scope == "process" and s.enabled]
    if waiting:
        broken = quarantined_carriers(hub)
        raise TransportError(
            f"{event_type} cannot be emitted: no bus plugin is enabled, and handlers wait for one "
            f"({', '.join(s.id for s in waiting[:3])}). "
            f"{f'{ended(broken)} Mend it' if broken else way_to_a_bus(hub)}, or see `vectis doctor`"
        )
    return Carrier(send=_nobody)


async def _nobody(event: Event, outcome: Outcome | None = None) -> Outcome:
    return Outcome() if outcome is None else outcome


_nobody.__qualname__ = "event_bus.emit"  # Python names it when somebody forgets to await


def _with_hooks(hub: Hub) -> Send:
    async def emit(event: Event) -> Outcome:
        outer = current.get(None)
        outcome = _begin(hub, event, outer)
        # Hooks have a frame of their own: what they emit follows this event and is nested in it,
        # also after the handlers, so that a circle through hooks is found too.
        frame = _begin(hub, event, outer)
        token = current.set(frame)
        try:
            await _hooked(hub, outcome, event, outer)
        finally:
            current.reset(token)
            frame.ended = perf_counter()
        return outcome

    emit.__qualname__ = "event_bus.emit"
    return emit


def _begin(hub: Hub, event: Event, outer: Frame | None) -> Outcome:
    outcome = Outcome()
    outcome.event, outcome.started = event, perf_counter()
    if outer is not None:
        nest(outcome, outer, hub.hub_settings.max_depth)
    return outcome


async def _hooked(hub: Hub, outcome: Outcome, event: Event, outer: Frame | None) -> None:
    lifecycle = hub.lifecycle
    try:
        if lifecycle.implementations("vectis_before_emit"):
            event = outcome.event = await lifecycle.guard(
                "vectis_before_emit", event, {"hub": hub}, "event"
            )
        carrier = _carrier(hub, event.type)  # a guard may have changed the type
        if lifecycle.implementations("vectis_around_emit"):
            await lifecycle.within(
                "vectis_around_emit",
                lambda: _send(carrier, event, outcome, outer),
                {"event": event, "hub": hub},
            )
        else:
            await _send(carrier, event, outcome, outer)
    except BaseException as error:
        if outcome.status == "completed":
            _stopped_by_guard(hub, event, outcome, error)
        raise
    finally:
        if not outcome.ended:  # no handler began
            outcome.ended = outcome.started
        if lifecycle.implementations("vectis_after_emit"):
            await lifecycle.observe(
                "vectis_after_emit", {"event": event, "outcome": outcome, "hub": hub}
            )


async def _send(carrier: Carrier, event: Event, outcome: Outcome, outer: Frame | None) -> None:
    token = current.set(outer)  # handlers are nested in the emitter, not in the hooks' frame
    try:
        await carrier.send(event, outcome)
    finally:
        current.reset(token)


def _stopped_by_guard(hub: Hub, event: Event, outcome: Outcome, error: BaseException) -> None:
    if not outcome.plan:  # no handler ran
        offer = hub.routing.offer(Route("process", event.type))
        outcome.plan = tuple(offer.carrier.plan()) if offer else ()
        outcome.reached = 0
    if isinstance(error, EventCancelled | HookError):
        outcome.guard = error.plugin or ""
    if isinstance(error, EventCancelled):
        outcome.status = "cancelled"
        fill_in(error, event=event, outcome=outcome, skipped=outcome.skipped)
    else:
        outcome.status = "failed" if isinstance(error, Exception) else "aborted"


def _forwarding(hub: Hub, send: Send) -> Send:
    guarded = hub.lifecycle.implemented("vectis_before_emit")

    async def emit(event: Event) -> Outcome:
        if not guarded:  # a guard may add it
            _key(hub, event)  # a field that is missing is found before any handler ran
        outcome = await send(event)
        passed = outcome.event or event
        # Asked again: a guard may have replaced the event by one of another type.
        described = hub.catalogue.find(passed.type)
        if described is not None and described.forward and described.topic is not None:
            publishing = hub.publication.publish(passed, described.topic, _key(hub, passed))
            if within_run_here():
                # emit_sync: the loop here, if any, is gone afterwards
                hub.run_in_background(publishing)
            else:
                await publishing
        return outcome

    emit.__qualname__ = "event_bus.emit"
    return emit


def _key(hub: Hub, event: Event) -> str | None:
    described = hub.catalogue.find(event.type)
    if described is None or not described.forward:
        return None
    return described.key_of(event.data)
