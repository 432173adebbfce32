"""Running the handlers of one event type: a small function generated for their number and kind.

Generated because a loop costs a tenth more, and 2.5 times five bare awaits is the bar (issue 3).
What happens when something goes wrong is ordinary code, in `Run`, off the hot path.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from time import perf_counter
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from vectis.core.blocking import finish
from vectis.core.exceptions import EventCancelled
from vectis.core.outcome import HandlerFailure, Outcome, Status, current, nest
from vectis.core.redact import one_line
from vectis.core.taking import is_async, with_event
from vectis.core.vetoes import fill_in, stopped_by
from vectis_bus.watchdog import DISPATCH, Watchdog

if TYPE_CHECKING:
    from threading import Lock

    from vectis.core.events import Event
    from vectis.core.hub import Hub
    from vectis.core.subscription import Subscription
    from vectis_bus.plugin import BusSettings

__all__ = ["prepare"]

logger = logging.getLogger("vectis.bus")

Send = Callable[..., Awaitable[Outcome]]

# Every name in here is a global of the generated function: faster than closure cells.
_HEAD = """\
async def emit(event, outcome=None):
    if outcome is None:
        outcome = Outcome()
    outcome.event = event
    outcome.plan = plan
    parent = get(None)
    if parent is not None:
        enter(outcome, parent)
    token = set(outcome)
    try:
        seen = watchdog.now or watchdog.wake()
        outcome.started = clock()
"""
_CALL = {
    "async": """\
        try:
            await handler{i}(event)
""",
    "sync": """\
        try:
            result = handler{i}(event)
            if result is not None:
                await settle(result)
""",
}
_CATCH = """\
        except BaseException as error:
            await failed(outcome, {i}, error, seen)
"""
_CHECK = """\
        if watchdog.now is not seen:
            seen = late(outcome, {i}, seen)
"""
_TIME = """\
        timed(outcome, {i})
"""
_TAIL = """\
        outcome.ended = ended = clock()
        if ended - seen > budget:
            stalled(outcome, seen)
    finally:
        reset(token)
    return outcome
"""


def prepare(
    plan: tuple[Subscription, ...],
    hub: Hub,
    settings: BusSettings,
    watchdog: Watchdog,
    unspent: Mapping[Subscription, Lock],
) -> Send:
    """Return the coroutine function that runs a plan's handlers for an event.

    Args:
        plan: The subscriptions in the order they run.
        hub: Told of failures, and of `once` handlers that are spent.
        settings: The bus's settings.
        watchdog: Names handlers over the budget.
        unspent: A lock for each `once` handler, taken by the emit that runs it.
    """
    if not plan:
        return _nobody
    run = Run(plan, hub, settings, watchdog)
    handlers = [_policed(subscription, hub, unspent) for subscription in plan]
    names: dict[str, Any] = {
        "Outcome": Outcome,
        "budget": watchdog.budget,
        "clock": perf_counter,
        "enter": run.enter,
        "failed": run.failed,
        "get": current.get,
        "late": run.late,
        "plan": plan,
        "reset": current.reset,
        "set": current.set,
        "settle": _settle,
        "stalled": run.stalled,
        "timed": run.timed,
        "watchdog": watchdog,
    }
    names |= {f"handler{i}": handler for i, handler in enumerate(handlers)}
    kinds = tuple("async" if is_async(handler) else "sync" for handler in handlers)
    send = FunctionType(_code(kinds, settings.timings), names, argdefs=(None,))
    send.__qualname__ = "event_bus.emit"  # Python names it when somebody forgets to await
    return send


async def _nobody(event: Event, outcome: Outcome | None = None) -> Outcome:
    frame = _frame(None)
    if frame is not None and frame.event is not None:
        event.follow(frame.event)  # it may be emitted or published again later
    return _NOTHING if outcome is None else outcome


_nobody.__qualname__ = "event_bus.emit"
_frame = current.get  # looked up once, and one outcome for all: nobody listening must cost nothing
_NOTHING = Outcome()


@lru_cache(maxsize=256)
def _code(kinds: tuple[str, ...], timings: bool) -> CodeType:
    body = "".join(
        _CALL[kind].format(i=i)
        + _CATCH.format(i=i)
        + (_TIME.format(i=i) if timings else "")
        + _CHECK.format(i=i)
        for i, kind in enumerate(kinds)
    )
    module = compile(_HEAD + body + _TAIL, DISPATCH, "exec")
    return next(const for const in module.co_consts if isinstance(const, CodeType))


async def _settle(result: Any) -> None:
    if inspect.isawaitable(result):
        await finish(result)


def _policed(
    subscription: Subscription, hub: Hub, unspent: Mapping[Subscription, Lock]
) -> Callable[[Event], Any]:
    """Return the handler with what its class, `timeout` and `once` ask for; most need nothing."""
    handler = with_event(subscription)
    if subscription.timeout is not None:
        handler = _with_timeout(handler, subscription.timeout)
    if subscription.once:
        lock = unspent.get(subscription)
        # None: it ran, or was unsubscribed, in another thread while this plan was being made.
        handler = _spent if lock is None else _only_once(handler, subscription, hub, lock)
    return handler


def _spent(event: Event) -> None:
    """Stand for a `once` handler that has had its turn."""


def _with_timeout(handler: Callable[[Event], Any], seconds: float) -> Callable[[Event], Any]:
    async def call(event: Event) -> None:
        deadline = asyncio.timeout(seconds)
        try:
            async with deadline:
                await _settle(handler(event))
        except TimeoutError:
            if not deadline.expired():
                raise  # the handler's own
            raise TimeoutError(f"cancelled after its timeout of {seconds:g} s") from None

    return call


def _only_once(
    handler: Callable[[Event], Any], subscription: Subscription, hub: Hub, unspent: Lock
) -> Callable[[Event], Any]:
    async def call(event: Event) -> None:
        # Other emits, in other tasks and threads and of other event types, may hold this handler.
        if unspent.acquire(blocking=False):
            hub.unsubscribe(subscription)
            await _settle(handler(event))

    return call


class Run:
    """What the generated function calls when something is out of the ordinary."""

    def __init__(
        self,
        plan: tuple[Subscription, ...],
        hub: Hub,
        settings: BusSettings,
        watchdog: Watchdog,
    ) -> None:
        self._plan = plan
        self._hub = hub
        self._max_depth = hub.hub_settings.max_depth
        self._timings = settings.timings
        self._watchdog = watchdog

    def enter(self, outcome: Outcome, parent: Any) -> None:
        """Note that this emit comes from a handler: correlation, causation and depth."""
        nest(outcome, parent, self._max_depth)

    async def failed(self, outcome: Outcome, index: int, error: BaseException, seen: float) -> None:
        """Isolate a handler's error, or raise it when it is the emitter's."""
        subscription = self._plan[index]
        stop = stopped_by(error, outcome) if isinstance(error, Exception) else error
        if isinstance(stop, EventCancelled):
            self._stop(outcome, index, "cancelled", seen)
            fill_in(
                stop,
                event=outcome.event,
                handler=subscription.handler,
                plugin=subscription.plugin,
                skipped=outcome.skipped,
                outcome=outcome,
            )
            raise stop
        if stop is not None:
            self._stop(outcome, index, "aborted", seen)
            raise stop
        assert outcome.event is not None
        failure = HandlerFailure(event=outcome.event, subscription=subscription, error=error)
        outcome.failures = (*outcome.failures, failure)
        if subscription.required:
            self._stop(outcome, index, "failed", seen)
        logger.error(
            "handler %s failed on %s: %r",
            subscription.id,
            one_line(outcome.event.type),
            error,
            exc_info=error,
        )
        try:
            await self._hub.handler_failed(failure)
        except BaseException:
            self._stop(outcome, index, "aborted", seen)
            raise
        if subscription.required:
            if isinstance(error, StopIteration):
                raise RuntimeError(
                    f"{subscription} raised {error!r}, which no coroutine can pass on to the "
                    "emitter; it is required, so its error is the emitter's"
                ) from error
            error.add_note(
                f"{subscription} is required, so its error is the emitter's; "
                f"{len(outcome.skipped)} later handlers were skipped"
            )
            raise error

    def _stop(self, outcome: Outcome, index: int, status: Status, seen: float) -> None:
        outcome.status = status
        outcome.reached = index + 1
        outcome.ended = perf_counter()
        if self._timings:
            self.timed(outcome, index)
        if self._watchdog.now != seen:
            self.late(outcome, index, seen)

    def late(self, outcome: Outcome, index: int, seen: float) -> float:
        """The clock ticked while a handler ran: was it over the budget?"""
        since = max(seen, outcome.started)  # the clock may have been late when the emit began
        exact = since == outcome.started
        suspects = self._plan[outcome.ticked + 1 : index + 1]
        outcome.ticked = index
        return self._watchdog.judge(suspects, since, exact=exact)

    def stalled(self, outcome: Outcome, seen: float) -> None:
        """No tick came for longer than the budget: did the last handlers let no thread run?"""
        took = outcome.ended - max(seen, outcome.started)
        suspects = self._plan[outcome.ticked + 1 :]
        if suspects and took > self._watchdog.budget:
            self._watchdog.judge_stalled(suspects, took)

    def timed(self, outcome: Outcome, index: int) -> None:
        """Keep the exact seconds of a handler."""
        spent = sum(outcome.seconds or ())
        outcome.seconds = (
            *(outcome.seconds or ()),
            perf_counter() - outcome.started - spent,
        )
