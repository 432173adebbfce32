"""Publishing: a hundred tasks that await each message, and many messages at once."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Bar
from tests.bench.kafka.laps import Laps, Stopwatch
from tests.bench.kafka.peers import faststream_publisher, raw_publisher
from tests.bench.kafka.records import KEYS, TYPE, message, payload
from vectis.core import Hub
from vectis.core.default import use_hub
from vectis.core.events import publish_event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.bench.figures import Figure

__all__ = ["publishing_figures"]

_TASKS = 100
_EACH = 100  # messages of each task
_COUNT = _TASKS * _EACH

_RAW = "aiokafka, send_and_wait"
_RAW_MANY = "aiokafka, send, then await all"
_MANY = "publish_many"
_FASTSTREAM = "FastStream, publish"


async def publishing_figures(servers: str, topic: str, rounds: int) -> list[Figure]:
    """Measure publishing; what aiokafka sends was encoded before, with the same headers.

    Args:
        servers: The bootstrap servers.
        topic: What is published to.
        rounds: How often each has its turn.
    """
    laps = Laps("publishing")
    data = payload(7)
    hub = Hub({"redpanda": {"bootstrap_servers": servers}})
    events = [{"event_type": TYPE, "payload": data, "key": KEYS[n % 1000]} for n in range(_COUNT)]
    before = use_hub(hub)
    known = hub.catalogue.find(TYPE)  # where it is, Vectis writes one header more
    same = message(topic, None if known is None else known.version)
    async with (
        hub,
        raw_publisher(servers, same) as raw,
        faststream_publisher(servers, topic, data) as faststream,
    ):

        async def many() -> None:
            await hub.publish_many(topic, events)

        async def raw_many() -> None:
            await asyncio.gather(*[await raw.begin(KEYS[n % 1000]) for n in range(_COUNT)])

        turns: dict[str, Callable[[], Awaitable[object]]] = {
            _RAW: lambda: _in_tasks(raw.send),
            "publish_event": lambda: _in_tasks(lambda key: publish_event(topic, TYPE, data, key)),
            "hub.publish": lambda: _in_tasks(lambda key: hub.publish(topic, TYPE, data, key)),
            _FASTSTREAM: lambda: _in_tasks(faststream),
            _RAW_MANY: raw_many,
            _MANY: many,
        }
        shuffle = Random(7).shuffle
        for number in range(rounds + 1):
            order = [*turns.items()]
            shuffle(order)  # a turn leaves something to the next one: memory, and the broker busy
            for name, turn in order:
                watch = Stopwatch()
                watch.start()
                await turn()
                watch.stop()
                if number > 0:  # the first round connects
                    laps.note(name, _COUNT, watch)
    use_hub(before)
    bar = Bar(0.95, least=True)
    return [
        laps.rate(_RAW),
        laps.rate("publish_event", _RAW, bar),
        laps.rate("hub.publish", _RAW, bar),
        laps.rate(_FASTSTREAM, _RAW),
        laps.rate(_RAW_MANY),
        laps.rate(_MANY, _RAW_MANY, bar),
        laps.cost(_RAW),
        *(laps.cost(name, _RAW) for name in ("publish_event", "hub.publish", _FASTSTREAM)),
        laps.cost(_RAW_MANY),
        laps.cost(_MANY, _RAW_MANY),
    ]


async def _in_tasks(publish: Callable[[str], Awaitable[Any]]) -> None:
    async def publish_some(first: int) -> None:
        for number in range(first, _COUNT, _TASKS):
            await publish(KEYS[number % 1000])

    async with asyncio.TaskGroup() as group:
        for first in range(_TASKS):
            group.create_task(publish_some(first))
