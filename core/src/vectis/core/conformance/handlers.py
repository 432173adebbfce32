"""Whether handlers keep within the budget, as far as that can be seen from outside.

Those of which an event class is known are called with made-up events of it; one of a pattern, with
those of every type that it matches. A budget is broken only when every one of a few calls breaks
it: a machine that was busy for once is no fault.
"""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING

import attrs

from vectis.core import hookimpl
from vectis.core.catalogue import described
from vectis.core.conformance.examples import examples_of
from vectis.core.conformance.findings import Finding
from vectis.core.events.event import Event
from vectis.core.obtaining import installing
from vectis.core.subscription import pattern_matches
from vectis.core.testing.pumping import pump
from vectis.core.topics import topics_of_handler
from vectis.core.transport import Route

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectis.core.conformance.elsewhere import Elsewhere
    from vectis.core.conformance.examples import Examples
    from vectis.core.hub import Hub
    from vectis.core.outcome import DeliveryOutcome
    from vectis.core.subscription import Subscription

__all__ = ["Finished", "call_handlers", "not_called"]

_BEAT = 0.001  # seconds between two beats of the event loop
ENOUGH = 10.0
"""Seconds for the worker to be done with one event."""


@attrs.define
class Finished:
    """An observer that counts how often each handler of the worker was done with a delivery."""

    times: dict[Subscription, int] = attrs.Factory(dict)

    @hookimpl
    def vectis_after_consume(self, outcome: DeliveryOutcome) -> None:
        """Count those that ran."""
        for one in outcome.ran:
            self.times[one] = self.times.get(one, 0) + 1


def not_called(hub: Hub, plugin: str) -> list[Finding]:
    """Say for each handler that it was not called because nobody asked for it."""
    return [
        _unknown(one, "was not called", "Have it called, with made-up events: --call")
        for one in _of(hub, plugin)
    ]


async def call_handlers(
    hub: Hub, plugin: str, elsewhere: Elsewhere, finished: Finished, budget: float
) -> list[Finding]:
    """Call every handler of a plugin whose event class is known.

    Args:
        hub: Started, with the memory transport.
        plugin: The plugin's name.
        elsewhere: The event types of other plugins.
        finished: An observer of the hub.
        budget: Seconds that a handler on the bus may take, and that one of the worker may keep the
            event loop from everything else.
    """
    if find_spec("hypothesis") is None:
        advice = "Events are made up by hypothesis: pip install hypothesis"
        return [_unknown(one, "was not called", advice) for one in _of(hub, plugin)]
    findings = []
    for one in _of(hub, plugin):
        if one.scope == "process" and hub.routing.offer(Route("process", one.pattern)) is None:
            advice = f"Nobody runs handlers here: {installing('vectis-bus')}"
            findings.append(_unknown(one, "was not called", advice))
            continue
        known = _known(hub, one, elsewhere)
        if not known:
            findings.append(_without_class(one, elsewhere))
        for examples in known:
            if examples.why_not:
                text = f"was not called with {examples.name}: {examples.why_not}"
                advice = "Hypothesis makes up no event of its class; measure it in a test"
                findings.append(_unknown(one, text, advice))
        usable = [examples for examples in known if not examples.why_not]
        if usable and one.scope == "process":
            findings += await _on_the_bus(hub, one, usable, budget)
        elif usable:
            findings += await _in_the_worker(hub, one, usable[0], finished, budget)
    return findings


def _of(hub: Hub, plugin: str) -> list[Subscription]:
    return [one for one in hub.subscriptions if one.plugin == plugin and one.enabled]


def _known(hub: Hub, one: Subscription, elsewhere: Elsewhere) -> list[Examples]:
    """Return events of every type that a handler is for: of its own class, or of a catalogue."""
    own = None if one.event_class is None else described(one.event_class)
    if own is not None:
        return [examples_of(own)]
    found = {examples.name: examples for examples in elsewhere.examples}
    found |= {known.name: examples_of(known) for known in hub.catalogue}
    return [found[name] for name in sorted(found) if pattern_matches(one.pattern, name)]


def _without_class(one: Subscription, elsewhere: Elsewhere) -> Finding:
    what = f"a type that {one.pattern} matches" if "*" in one.pattern else one.pattern
    return _unknown(
        one,
        "was not called: no plugin that is installed and enabled here registers an event class of "
        f"{what}{elsewhere.unasked}",
        "Install or enable the plugin that has the class; register one with vectis_register_events "
        "if the event is yours; or measure the handler in a test",
    )


def _unknown(one: Subscription, text: str, advice: str) -> Finding:
    return Finding("handlers", f"{one} {text}, so its time is not known", advice, fault=False)


async def _on_the_bus(
    hub: Hub, one: Subscription, known: Sequence[Examples], budget: float
) -> list[Finding]:
    times: dict[str, float] = {}
    shared: dict[str, float] = {}
    for examples in known[:1] if one.once else known:
        timed = await _times(hub, one, examples)
        if timed:
            times[examples.name], alone = min(timed)
            if not alone and times[examples.name] > budget:
                shared[examples.name] = times[examples.name]
    found = []
    failed = [examples.name for examples in known if examples.name not in times]
    if failed and not (one.once and times):
        of = f" of {', '.join(failed)}" if times else ""
        text = f"was called, and passed for none of the made-up events{of}"
        advice = "Its tests know better events; measure it there"
        found.append(_unknown(one, text, advice))
    if shared:
        of = ", ".join(shared)
        text = f"was called in emits of {of} that took too long, and other handlers ran in them"
        advice = "The bus here times no single handler; measure it in a test"
        found.append(_unknown(one, text, advice))
    own = times.keys() - shared.keys()
    slowest = max(own, key=lambda name: times[name], default="")
    if slowest and times[slowest] > budget:
        of = f" with {slowest}" if "*" in one.pattern else ""
        text = f"{one} takes {times[slowest] * 1000:.0f} ms{of}, and the emitter waits that long"
        advice = f"Stay below {budget * 1000:.0f} ms: publish the event, and do it with @on_event"
        found.append(Finding("handlers", text, advice))
    return found


async def _times(hub: Hub, one: Subscription, examples: Examples) -> list[tuple[float, bool]]:
    """Return the seconds of each call that passed, and whether they are those of no other handler.

    A bus that does not time its handlers leaves only the whole emit to be measured.
    """
    timed = []
    for payload in examples.payloads:
        began = perf_counter()
        outcome = await hub.emit(Event(examples.name, payload, version=examples.version))
        whole = perf_counter() - began
        ran = next((run for run in outcome.ran if run.subscription == one), None)
        if ran is None or ran.error is not None:
            continue
        if ran.seconds is None:
            timed.append((whole, len(outcome.ran) == 1))
        else:
            timed.append((ran.seconds, True))
    return timed


async def _in_the_worker(
    hub: Hub, one: Subscription, examples: Examples, finished: Finished, budget: float
) -> list[Finding]:
    topic = topics_of_handler(hub, one)[0].topic
    gaps = []
    for payload in examples.payloads:
        await hub.publish(topic, examples.name, payload, version=examples.version)
        heart = asyncio.ensure_future(_longest_gap())
        await asyncio.sleep(0)
        try:
            await pump(hub, within=0, timeout=ENOUGH)
        except AssertionError as error:
            return [Finding("handlers", str(error), "Let nothing in it wait without a bound")]
        finally:
            heart.cancel()
        gaps.append(await heart)
    if min(gaps) > budget:
        text = f"{one} blocks the event loop of the worker for {min(gaps) * 1000:.0f} ms"
        advice = "Await what takes long, or make it a plain function: those run in threads"
        return [Finding("handlers", text, advice)]
    if one not in finished.times:
        advice = "Its tests know better events; measure it there"
        return [_unknown(one, "was called, and passed for none of the made-up events", advice)]
    return []


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
