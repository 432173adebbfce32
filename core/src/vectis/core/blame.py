"""Who is slow, who fails and who vetoes, by handler and by plugin: an ordinary observer of a hub.

A hub that is given none pays for none. In the worker it also times the handlers, from
`Worker.measure` on.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Any

import attrs

from vectis.core.exceptions import TransportError
from vectis.core.forks import ForkSafeLock
from vectis.core.hookspecs import hookimpl
from vectis.core.times import Times
from vectis.core.transport import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from vectis.core.hub import Hub
    from vectis.core.outcome import HandlerFailure, Outcome
    from vectis.core.subscription import Subscription

__all__ = ["Blame", "HandlerBlame", "PluginBlame"]


_MOST = 1000  # handlers told apart; the others of a plugin are `plugin:other`


@attrs.frozen(kw_only=True)
class HandlerBlame:
    """What is to be said of one handler.

    Args:
        handler: `plugin:name`.
        plugin: Its plugin.
        scope: `process`, on the bus, or `service`, in the worker.
        calls: How often it was called; of a batch handler, the batches.
        failed: How often it failed; of a batch handler, for how many deliveries. Attempts that a
            plugin's hook kept from it are that plugin's `hook_errors`.
        vetoed: How many emits it cancelled.
        over_budget: How often the bus found it over its budget; in the worker, how many calls took
            longer than `[consumer] stuck_after`.
        p50: Seconds within which half of its calls were done; None when none was timed.
        p99: Seconds within which 99 of 100 were done.
        longest: Seconds of the longest.
        total: Seconds of all.
    """

    handler: str
    plugin: str
    scope: str
    calls: int = 0
    failed: int = 0
    vetoed: int = 0
    over_budget: int = 0
    p50: float | None = None
    p99: float | None = None
    longest: float | None = None
    total: float = 0.0


@attrs.frozen(kw_only=True)
class PluginBlame:
    """What is to be said of one plugin: its handlers together, and its hooks.

    Args:
        plugin: Its name; `app` for the handlers of the program.
        calls: How often its handlers were called.
        failed: How often they failed.
        vetoed: How many emits its handlers and its hooks cancelled, and how many publishes its
            hooks did.
        over_budget: How often one was over its budget.
        hook_errors: How often its hooks failed, also a guard whose error stopped an emit, a publish
            or an attempt at a delivery.
        p50: Seconds within which half of the calls were done; None when none was timed.
        p99: Seconds within which 99 of 100 were done.
        longest: Seconds of the longest.
        total: Seconds of all.
    """

    plugin: str
    calls: int = 0
    failed: int = 0
    vetoed: int = 0
    over_budget: int = 0
    hook_errors: int = 0
    p50: float | None = None
    p99: float | None = None
    longest: float | None = None
    total: float = 0.0


class _Entry:
    """What was counted of one handler in one scope, or of several together."""

    __slots__ = (
        "calls",
        "failed",
        "handler",
        "over_budget",
        "plugin",
        "scope",
        "times",
        "vetoed",
    )

    def __init__(self, handler: str, plugin: str, scope: str) -> None:
        self.handler = handler
        self.plugin = plugin
        self.scope = scope
        self.calls = 0
        self.failed = 0
        self.vetoed = 0
        self.over_budget = 0  # in the worker; a bus keeps its own
        self.times = Times()

    def over(self, overruns: Mapping[str, int]) -> int:
        return overruns.get(self.handler, 0) if self.scope == "process" else self.over_budget


class Blame:
    """Counts and times the handlers of one hub; give it to the hub as an observer.

    On the bus, times are there with `[bus] timings = true` only, for what they cost, and `untimed`
    says so; counts, vetoes and overruns always are.

    Example:
        >>> import asyncio
        >>> from vectis.core import Event, Hub
        >>> from vectis.core.blame import Blame
        >>> blame = Blame()
        >>> hub = Hub({"bus": {"timings": True}}, observers=[blame])
        >>> subscription = hub.subscribe("order.created", lambda event: 1 / 0)
        >>> outcome = asyncio.run(hub.emit(Event("order.created")))
        >>> [(one.plugin, one.calls, one.failed, one.p99 < 1) for one in blame.plugins(hub)]
        [('app', 1, 1, True)]
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._known: dict[int, _Entry] = {}  # by serial: making names takes longer than counting
        self._lock = ForkSafeLock()  # emits come from any thread

    @hookimpl
    def vectis_after_emit(self, outcome: Outcome) -> None:
        """Count who ran, for how long, and who cancelled."""
        with self._lock:
            # Not `outcome.ran`, which makes an object for each.
            ran = outcome.plan[: outcome.reached]
            for subscription in ran:
                self._entry(subscription).calls += 1
            for subscription, seconds in zip(ran, outcome.seconds or (), strict=False):
                self._entry(subscription).times.add(seconds)
            for failure in outcome.failures:
                self._entry(failure.subscription).failed += 1
            if outcome.status == "cancelled" and ran and not outcome.guard:
                self._entry(ran[-1]).vetoed += 1

    @hookimpl
    def vectis_handler_error(self, failure: HandlerFailure) -> None:
        """Count an attempt that failed in the worker; the outcome of an emit tells its own."""
        if failure.delivery is not None and not failure.guard:
            self._entry(failure.subscription).failed += 1

    def timed(
        self,
        subscription: Subscription,
        call: Callable[[str, Any], Coroutine[Any, Any, Any]],
        *,
        budget: float = inf,
    ) -> Callable[[str, Any], Coroutine[Any, Any, Any]]:
        """Return what awaits a handler as `call` does, and notes how long that takes.

        Args:
            subscription: The handler.
            call: Awaits it, given the event type and the payload.
            budget: Seconds after which a call is over its budget; counted when it has ended.
        """
        entry = self._entry(subscription)
        add = entry.times.add

        async def timed_call(event_type: str, payload: Any) -> None:
            began = perf_counter()
            try:
                await call(event_type, payload)
            finally:
                seconds = perf_counter() - began
                entry.calls += 1
                if seconds > budget:
                    entry.over_budget += 1
                add(seconds)

        return timed_call

    def handlers(self, hub: Hub) -> tuple[HandlerBlame, ...]:
        """Return what is to be said of each handler that was called, who took most time first.

        To be called from any thread.

        Args:
            hub: The one that this observes; asked for the overruns of its bus.
        """
        over = _overruns(hub)
        found = [
            HandlerBlame(
                handler=entry.handler,
                plugin=entry.plugin,
                scope=entry.scope,
                calls=entry.calls,
                failed=entry.failed,
                vetoed=entry.vetoed,
                over_budget=entry.over(over),
                **_figures(entry.times),
            )
            for entry in self._copied()
            if entry.calls or entry.failed
        ]
        return tuple(sorted(found, key=lambda one: (-one.total, one.handler)))

    def plugins(self, hub: Hub) -> tuple[PluginBlame, ...]:
        """Return what is to be said of each plugin, who took most time first.

        Those of which there is nothing to be said are left out. To be called from any thread.

        Args:
            hub: The one that this observes; asked for the overruns of its bus and for its hooks.
        """
        over = _overruns(hub)
        sums: dict[str, _Entry] = {}
        for entry in self._copied():
            whole = sums.setdefault(entry.plugin, _Entry("", entry.plugin, ""))
            whole.calls += entry.calls
            whole.failed += entry.failed
            whole.vetoed += entry.vetoed
            whole.over_budget += entry.over(over)
            whole.times.add_all(entry.times)
        # Kept by whoever calls the hooks: an observer of every publish would cost each of them the
        # short way to the transport.
        errors = _by_plugin(hub.lifecycle.errors, hub.lifecycle.stops)
        vetoed = _by_plugin(hub.lifecycle.vetoes)
        for name in (*errors, *vetoed):
            sums.setdefault(name, _Entry("", name, ""))
        found = [
            PluginBlame(
                plugin=name,
                calls=whole.calls,
                failed=whole.failed,
                vetoed=whole.vetoed + vetoed[name],
                over_budget=whole.over_budget,
                hook_errors=errors[name],
                **_figures(whole.times),
            )
            for name, whole in sums.items()
            if whole.calls or whole.failed or errors[name] or vetoed[name]
        ]
        return tuple(sorted(found, key=lambda one: (-one.total, one.plugin)))

    def untimed(self) -> str:
        """Return why handlers on the bus have no times, and what to do; empty when they have.

        To be called from any thread.
        """
        with self._lock:  # else a first call might be seen before its time
            on_bus = [one for one in self._copied() if one.scope == "process" and one.calls]
            timed = any(one.times.count for one in on_bus)
        if timed or not on_bus:
            return ""
        return (
            "p50, p99, longest and total are not known of handlers on the bus, which does not "
            "measure them: set [bus] timings = true or VECTIS_BUS_TIMINGS=true"
        )

    def _entry(self, subscription: Subscription) -> _Entry:
        entry = self._known.get(subscription.serial)
        if entry is None:
            name, plugin, scope = subscription.id, subscription.plugin, subscription.scope
            if (scope, name) not in self._entries and len(self._entries) >= _MOST:
                name = f"{plugin}:other"
            entry = self._entries.setdefault((scope, name), _Entry(name, plugin, scope))
            if len(self._known) >= _MOST:  # a handler that runs once is another one every time
                self._known.clear()
            self._known[subscription.serial] = entry
        return entry

    def _copied(self) -> Iterable[_Entry]:
        return self._entries.copy().values()


def _figures(times: Times) -> dict[str, Any]:
    quantiles = times.quantiles(0.5, 0.99)
    if not quantiles:
        return {}
    return {
        "p50": quantiles[0],
        "p99": quantiles[1],
        "longest": times.longest,
        "total": times.total,
    }


def _by_plugin(*counters: Counter[tuple[str, str]]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for counter in counters:
        for (_, plugin), count in counter.copy().items():
            sums[plugin] += count
    return sums


def _overruns(hub: Hub) -> Mapping[str, int]:
    try:
        offer = hub.routing.offer(Route("process", "vectis.blame"))
    except TransportError:  # two buses: then nothing was emitted
        return {}
    if offer is None or offer.carrier.overruns is None:
        return {}
    return offer.carrier.overruns()
