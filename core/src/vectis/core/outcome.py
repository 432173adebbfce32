"""What became of an emit or a delivery: who ran, what failed, who was skipped.

An outcome is made for every emit, so it stores what costs nothing and computes the rest when asked.
While its handlers run it is also the frame that nested emits and publishes find in `current`.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, Protocol

import attrs

from vectis.core.exceptions import EmitLoopError, HandlerErrors

if TYPE_CHECKING:
    from vectis.core.events import Event
    from vectis.core.message import Delivery
    from vectis.core.subscription import Subscription

__all__ = [
    "DeliveryOutcome",
    "Frame",
    "HandlerFailure",
    "HandlerRun",
    "Outcome",
    "Status",
    "current",
    "nest",
]

Status = Literal["completed", "cancelled", "failed", "aborted"]


@attrs.frozen(kw_only=True, eq=False)
class HandlerFailure:
    """A handler's error, with everything a log or a policy needs.

    Args:
        event: The event that was handled.
        subscription: The handler, with its plugin and policy.
        error: What it raised.
        attempt: Which attempt failed, from 1; always 1 on the bus.
        will_retry: Whether it will be tried again; never on the bus.
        delivery: The delivery, in the worker; None on the bus.
        guard: The plugin whose `vectis_around_consume` failed before the handler was called: the
            error is the plugin's then, and not the handler's. Else empty.
    """

    event: Event
    subscription: Subscription
    error: BaseException
    attempt: int = 1
    will_retry: bool = False
    delivery: Delivery | None = None
    guard: str = ""

    def __str__(self) -> str:
        return f"{self.subscription}: {type(self.error).__name__}: {self.error}"


@attrs.frozen
class HandlerRun:
    """One handler that ran.

    Args:
        subscription: The handler, with its plugin and policy.
        seconds: How long it took; None unless `[bus] timings` asks for exact times.
        error: What it raised, or None.
    """

    subscription: Subscription
    seconds: float | None = None
    error: BaseException | None = None


class Outcome:
    """What `emit` returns: who ran, how long, what failed, who was skipped.

    Attributes:
        status: `completed`; `cancelled` by a guard or a handler; `failed` when a required handler
            did; `aborted` by task cancellation or an endless loop of emits.
        duration: Seconds from the first handler's start to the last one's end.
        ran: The handlers that ran, in order.
        failures: The errors of handlers, in order.
        skipped: The subscriptions that did not run, in order.
        guard: The plugin whose guard cancelled it or failed before a handler ran, else empty.

    Example:
        >>> import asyncio
        >>> from vectis.core import Event, Hub
        >>> async def main():
        ...     async with Hub({}) as hub:
        ...         hub.subscribe("order.created", lambda event: None)
        ...         return await hub.emit(Event("order.created"))
        >>> outcome = asyncio.run(main())
        >>> outcome.status, len(outcome.ran), outcome.failures
        ('completed', 1, ())
    """

    # The bus writes plan, event, started and ended, and the others only when there is something to
    # say; a slot that stays empty has its value from `_EMPTY`.
    __slots__ = (
        "depth",
        "ended",
        "event",
        "failures",
        "guard",
        "parent",
        "plan",
        "reached",
        "seconds",
        "started",
        "status",
        "ticked",
    )

    event: Event | None
    plan: tuple[Subscription, ...]
    started: float
    ended: float
    status: Status
    failures: tuple[HandlerFailure, ...]
    guard: str
    parent: Outcome | None
    depth: int
    reached: int | None
    seconds: tuple[float, ...] | None
    ticked: int

    def __getattr__(self, name: str) -> Any:
        # Python comes here only for an empty slot or a name that does not exist.
        try:
            return _EMPTY[name]
        except KeyError:
            raise AttributeError(f"'Outcome' object has no attribute {name!r}") from None

    @property
    def finished(self) -> bool:
        """False while handlers, or the hooks around them, are still running."""
        return self.ended != 0.0 or self.status != "completed" or not self.started

    @property
    def duration(self) -> float:
        """Seconds from the start of the first handler to the end of the last."""
        return max(0.0, self.ended - self.started)

    @property
    def ran(self) -> tuple[HandlerRun, ...]:
        """The handlers that ran, in order, with their errors and, where measured, their times."""
        errors = {failure.subscription: failure.error for failure in self.failures}
        seconds = self.seconds or (None,) * len(self.plan)
        return tuple(
            HandlerRun(subscription, time, errors.get(subscription))
            for subscription, time in zip(self.plan[: self.reached], seconds, strict=False)
        )

    @property
    def skipped(self) -> tuple[Subscription, ...]:
        """The subscriptions that did not run, in order."""
        return () if self.reached is None else self.plan[self.reached :]

    def raise_for_errors(self) -> None:
        """Raise `HandlerErrors` when a handler failed, with every failure in it.

        The first error is its cause, so that a traceback shows where it came from.
        """
        if self.failures:
            lines = "".join(f"\n  {failure}" for failure in self.failures)
            count = len(self.failures)
            raise HandlerErrors(
                f"{count} handler{'s' * (count != 1)} of {self.failures[0].event.type} failed:"
                f"{lines}",
                self.failures,
            ) from self.failures[0].error

    def __repr__(self) -> str:
        return (
            f"Outcome({self.status}, ran={len(self.plan[: self.reached])}, "
            f"failures={len(self.failures)}, skipped={len(self.skipped)})"
        )


_EMPTY: dict[str, Any] = {
    "depth": 0,
    "ended": 0.0,
    "event": None,
    "failures": (),
    "guard": "",
    "parent": None,
    "plan": (),
    "reached": None,
    "seconds": None,
    "started": 0.0,
    "status": "completed",
    "ticked": -1,
}


@attrs.frozen(kw_only=True)
class DeliveryOutcome:
    """What became of one delivery in the worker.

    Args:
        status: `handled`; `skipped`, no handler wanted it; `dead_lettered`.
        ran: The handlers that finished, in order.
        failures: The errors on the way, also of attempts that were retried.
        seconds: From the first attempt's start to the end, waits between attempts included.
    """

    status: Literal["handled", "skipped", "dead_lettered"]
    ran: tuple[Subscription, ...] = ()
    failures: tuple[HandlerFailure, ...] = ()
    seconds: float = 0.0


class Frame(Protocol):
    """What `current` holds while a handler runs: an outcome, or the worker's own."""

    @property
    def event(self) -> Event | None:
        """The event that is being handled; None for several at once."""

    @property
    def finished(self) -> bool:
        """Whether that is over: a task may outlive the handler that started it."""


current: ContextVar[Any] = ContextVar("vectis_current")
"""The frame of the handler that runs now, for correlation; unset outside of handlers."""


def nest(outcome: Outcome, parent: Frame, limit: int) -> None:
    """Note where an emit comes from: its event follows the parent's, and it is one deeper.

    A task that outlived the emit it was started in is caused by that one, and not nested in it.

    Args:
        outcome: The outcome of the emit that begins; its `event` is set.
        parent: What `current` held.
        limit: How deep emits may nest.

    Raises:
        EmitLoopError: They nest deeper; the message shows the chain of event types.
    """
    assert outcome.event is not None
    if parent.event is not None:
        outcome.event.follow(parent.event)
    if parent.finished or not isinstance(parent, Outcome):
        return
    outcome.parent = parent
    outcome.depth = parent.depth + 1
    if outcome.depth > limit:
        outcome.status = "aborted"
        outcome.reached = 0
        raise EmitLoopError(
            f"emits are nested more than {limit} deep, which looks like a circle: "
            f"{_chain(outcome)}. Break it in one of their handlers or hooks, or raise "
            "[hub] max_depth"
        )


def _chain(outcome: Outcome) -> str:
    types: list[str] = []
    frame: Outcome | None = outcome
    while frame is not None:
        types.append(frame.event.type if frame.event else "?")
        frame = frame.parent
    types.reverse()
    # The circle is at the end, and a few rounds of it tell enough.
    shown = types if len(types) <= 10 else [*types[:3], "...", *types[-6:]]
    return " -> ".join(shown)
