"""Uses a plugin as a hub does: puts it together, starts it, calls its handlers, shuts it down.

Twice, since a hub that is used again starts again.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from vectis.core.conformance.findings import Finding
from vectis.core.conformance.handlers import Finished, call_handlers, not_called
from vectis.core.conformance.keys import undocumented
from vectis.core.conformance.leftovers import descriptors, threads
from vectis.core.exceptions import ConfigError
from vectis.core.hub import Hub
from vectis.core.plugins import discover
from vectis.core.settings import Config
from vectis.core.testing.memory import MemoryTransport
from vectis.core.topics import topics_of_handler

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vectis.core.conformance.elsewhere import Elsewhere
    from vectis.core.subscription import Subscription

__all__ = ["use"]

_TURNS = 100  # of the event loop, that a cancelled task may take to end
_ROUNDS = 2
_ANY_TOPIC = "vectis.check"
_GIVE = (
    "A check reads no config file: set what it needs in the variables of its table, or give it to "
    "check_plugin in Python, with config="
)


def use(
    name: str,
    config: Mapping[str, Mapping[str, Any]],
    *,
    elsewhere: Elsewhere | None,
    budget: float,
) -> list[Finding]:
    """Use a plugin in this process, and tell what was found.

    Args:
        name: The plugin's name.
        config: Tables of the config.
        elsewhere: The event types of other plugins, for its handlers; None when those are not to be
            called.
        budget: Seconds that each may take.
    """
    finished = Finished()
    hub = _hub(name, config, finished)
    plugin = next(one for one in hub.plugins if one.name == name)
    if plugin.state != "loaded":
        advice = "Mend that, and check again"
        if isinstance(plugin.cause, ConfigError):
            advice = _GIVE
        return [Finding("hooks", f"it is quarantined: {plugin.reason}", advice)]
    findings = [] if plugin.settings is None else undocumented(type(plugin.settings))
    if elsewhere is None:
        findings += not_called(hub, name)
    elif lacking := [one for one in hub.subscriptions if _lacks_a_topic(hub, one)]:
        hub = _hub(name, {**config, "topics": _topics(hub, lacking, elsewhere)}, finished)
        findings += [_without_topic(one) for one in lacking if not _topic(one, elsewhere)]
    said = _Errors()
    logging.getLogger("vectis").addHandler(said)
    logging.getLogger("vectis").propagate = False
    asyncio.run(_warm_up())
    before, known = descriptors(), set(threading.enumerate())
    tasks: set[str] = set()
    for number in range(_ROUNDS):
        called = elsewhere if not number else None
        tasks |= asyncio.run(_round(hub, name, findings, called, finished, budget=budget))
    gc.collect()
    opened = {what for number, what in descriptors().items() if number not in before}
    left = {
        "task": tasks,
        "thread": {thread.name for thread in threads(known)},
        "open file or socket": opened,
    }
    advice = "The hub goes on without it, and what it should have ended is left: mend it"
    findings += [Finding("shutdown", text, advice) for text in said.texts]
    findings += [
        Finding(
            "shutdown", f"left behind by vectis_shutdown, {what}: {', '.join(sorted(those))}", _END
        )
        for what, those in left.items()
        if those
    ]
    return list(dict.fromkeys(findings))  # once, and not for each round


_END = "End it in vectis_shutdown, and wait for its end there"


def _hub(name: str, config: Mapping[str, Mapping[str, Any]], finished: Finished) -> Hub:
    """Return a hub with the plugin, what it needs, the memory transport, and one bus."""
    wanted = {name}
    while True:
        hub = _hub_of(wanted, config, finished)
        needed = {need for plugin in hub.plugins for need in plugin.requires}
        if needed <= wanted:
            break
        wanted |= needed
    if any(hub.routing.is_bus(one) for one in wanted):
        return hub
    return _hub_of(wanted | {"bus"}, config, finished)


def _lacks_a_topic(hub: Hub, one: Subscription) -> bool:
    return one.scope == "service" and one.enabled and not topics_of_handler(hub, one)


def _topic(one: Subscription, elsewhere: Elsewhere) -> str | None:
    """Return the topic that another plugin names for a handler's type."""
    named = {examples.name: examples.topic for examples in elsewhere.examples}
    return named.get(one.pattern)


def _topics(
    hub: Hub, lacking: Sequence[Subscription], elsewhere: Elsewhere
) -> dict[str, list[str]]:
    """Return `[topics]` with one for every handler, since no worker starts without."""
    found = {topic: [*types] for topic, types in hub.topics.items()}
    for one in lacking:
        types = found.setdefault(_topic(one, elsewhere) or _ANY_TOPIC, [])
        if one.pattern not in types:
            types.append(one.pattern)
    return found


def _without_topic(one: Subscription) -> Finding:
    text = f"no topic is known here for {one}, and no worker starts without"
    advice = f'Name it, @on_event("{one.pattern}", topic="..."), or tell users to, in [topics]'
    return Finding("handlers", text, advice, fault=False)


def _hub_of(wanted: set[str], config: Mapping[str, Mapping[str, Any]], finished: Finished) -> Hub:
    tables: dict[str, Mapping[str, Any]] = {
        "consumer": {"group": "check", "shutdown_timeout": 1.0, "retry_initial": 0.0},
        "hub": {"transport": "memory"},
        **config,
        **_timed(config),
        "plugins": {"enable": [*sorted(wanted), "memory"]},
    }
    environment = {key: value for key, value in os.environ.items() if key.startswith("VECTIS_")}
    logging.getLogger("vectis").setLevel(logging.CRITICAL)  # found anyway, and told better
    try:
        return Hub(
            Config(tables, environment, "the config of the check"),
            plugins={"memory": MemoryTransport()},
            observers=[finished],
        )
    finally:
        logging.getLogger("vectis").setLevel(logging.NOTSET)


def _timed(config: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the table with which Vectis's bus times each handler by itself; none for another."""
    if any(one.name == "bus" and one.distribution == "vectis-bus" for one in discover()):
        return {"bus": {**config.get("bus", {}), "timings": True}}
    return {}


async def _warm_up() -> None:
    """Let the event loop open what it keeps."""
    await asyncio.get_running_loop().run_in_executor(None, int)


async def _round(
    hub: Hub,
    name: str,
    findings: list[Finding],
    elsewhere: Elsewhere | None,
    finished: Finished,
    *,
    budget: float,
) -> set[str]:
    """Start, perhaps call, and shut down; return the tasks that are left."""
    here = asyncio.current_task()
    try:
        await hub.startup()
        if elsewhere is not None:
            findings += await call_handlers(hub, name, elsewhere, finished, budget)
    except Exception as error:
        text = f"the hub does not start with it: {type(error).__name__}: {error}"
        findings.append(Finding("shutdown", text, _GIVE))
        if elsewhere is not None:
            text = "they were not all called, so their time is not known"
            findings.append(Finding("handlers", text, "Mend the start first", fault=False))
    await hub.shutdown()
    for _ in range(_TURNS):
        left = asyncio.all_tasks() - {here}
        if not left:
            break
        await asyncio.sleep(0)
    return {
        getattr(task.get_coro(), "__qualname__", "") or task.get_name()
        for task in asyncio.all_tasks() - {here}
    }


class _Errors(logging.Handler):
    """Keeps what the hub says about hooks that failed while it started and shut down."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage().splitlines()[0]
        if "vectis_" in text and text not in self.texts:
            self.texts.append(text)
