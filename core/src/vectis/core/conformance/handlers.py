"""Whether handlers keep within the budget, as far as that can be seen from outside.

Those of which an event class is known are called with made-up events of it. A budget is broken only
when every one of a few calls breaks it: a machine that was busy for once is no fault.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any

from vectis.core.catalogue import event_of
from vectis.core.conformance.findings import Finding
from vectis.core.jsontext import plain
from vectis.core.obtaining import installing
from vectis.core.subscription import pattern_matches
from vectis.core.testing.pumping import pump
from vectis.core.transport import Route

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from vectis.core.catalogue import EventType
    from vectis.core.hub import Hub
    from vectis.core.subscription import Subscription

__all__ = ["call_handlers", "not_called"]

_CALLS = 3
_BEAT = 0.001  # seconds between two beats of the event loop
ENOUGH = 10.0
"""Seconds for the worker to be done with one event."""


def not_called(hub: Hub, plugin: str) -> list[Finding]:
    """Say for each handler that it was not called because nobody asked for it."""
    return [
        _unknown(one, "was not called", "Ask for it where handlers may do what they do: --call")
        for one in _of(hub, plugin)
    ]


async def call_handlers(hub: Hub, plugin: str, budget: float) -> list[Finding]:
    """Call every handler of a plugin whose event class is known.

    Args:
        hub: Started, with the memory transport.
        plugin: The plugin's name.
        budget: Seconds that a handler on the bus may take, and that one of the worker may keep the
            event loop from everything else.
    """
    try:
        from vectis.core.testing.strategies import instances
    except ImportError:
        return [
            _unknown(
                one, "was not called", "Events are made up by hypothesis: pip install hypothesis"
            )
            for one in _of(hub, plugin)
        ]
    findings = []
    for one in _of(hub, plugin):
        if one.scope == "process" and hub.routing.offer(Route("process", one.pattern)) is None:
            advice = f"Nobody runs handlers here: {installing('vectis-bus')}"
            findings.append(_unknown(one, "was not called", advice))
            continue
        known = _known(hub, one)
        if known is None:
            advice = "Register an event class of that type with vectis_register_events"
            findings.append(_unknown(one, "was not called: its event has no class", advice))
            continue
        made = _examples(instances(known.cls))
        if one.scope == "process":
            findings += await _on_the_bus(hub, one, made, budget)
        else:
            findings += await _in_the_worker(hub, one, known, made, budget)
    return findings


def _of(hub: Hub, plugin: str) -> list[Subscription]:
    return [one for one in hub.subscriptions if one.plugin == plugin and one.enabled]


def _known(hub: Hub, one: Subscription) -> EventType | None:
    matching = (known for known in hub.catalogue if pattern_matches(one.pattern, known.name))
    return next(matching, None)


def _unknown(one: Subscription, text: str, advice: str) -> Finding:
    return Finding("handlers", f"{one} {text}, so its time is not known", advice, fault=False)


def _examples(strategy: SearchStrategy[Any]) -> list[Any]:
    """Return a few instances, the same ones every time."""
    from hypothesis import HealthCheck, Phase, given, settings

    found: list[Any] = []

    @settings(
        max_examples=_CALLS,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(made: Any) -> None:
        found.append(made)

    collect()
    return found


async def _on_the_bus(hub: Hub, one: Subscription, made: list[Any], budget: float) -> list[Finding]:
    seconds = []
    for instance in made:
        began = perf_counter()
        outcome = await hub.emit(event_of(instance))
        ran = next((run for run in outcome.ran if run.subscription == one), None)
        if ran is None or ran.error is not None:
            continue
        seconds.append(perf_counter() - began if ran.seconds is None else ran.seconds)
    if not seconds:
        advice = "Its tests know better events; measure it there"
        return [_unknown(one, "was called, and passed for none of the made-up events", advice)]
    if min(seconds) <= budget:
        return []
    text = f"{one} takes {min(seconds) * 1000:.0f} ms, and the emitter waits that long"
    advice = f"Stay below {budget * 1000:.0f} ms: publish the event, and do it with @on_event"
    return [Finding("handlers", text, advice)]


async def _in_the_worker(
    hub: Hub, one: Subscription, known: EventType, made: list[Any], budget: float
) -> list[Finding]:
    topic = one.topic or known.topic
    if topic is None:
        return [_unknown(one, "was not called: it has no topic", "Name one with topic=")]
    gaps = []
    for instance in made:
        await hub.publish(topic, known.name, plain(instance))
        heart = asyncio.ensure_future(_longest_gap())
        await asyncio.sleep(0)
        try:
            await pump(hub, within=0, timeout=ENOUGH)
        except AssertionError as error:
            return [Finding("handlers", str(error), "Let nothing in it wait without a bound")]
        finally:
            heart.cancel()
        gaps.append(await heart)
    if min(gaps) <= budget:
        return []
    text = f"{one} blocks the event loop of the worker for {min(gaps) * 1000:.0f} ms"
    advice = "Await what takes long, or make it a plain function: those run in threads"
    return [Finding("handlers", text, advice)]


async def _longest_gap() -> float:
    """Return the longest time that the event loop was busy with one thing, once cancelled."""
    longest, last = 0.0, perf_counter()
    try:
        while True:
            await asyncio.sleep(_BEAT)
            now = perf_counter()
            longest, last = max(longest, now - last - _BEAT), now
    except asyncio.CancelledError:
        return max(longest, perf_counter() - last - _BEAT)
