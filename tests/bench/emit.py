"""What an emit costs, beside calling the handlers oneself and beside other libraries."""

from __future__ import annotations

from itertools import repeat
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Figure, Turn, compare, of_rounds
from tests.bench.peers import peers
from vectis.core import Event, Hub, event_bus, hookimpl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from vectis.core.outcome import Outcome

__all__ = ["emit_figures"]

_FIVE = "five async handlers"
_NONE = "no handlers"
_MORE = "five handlers and more"
_ONE = "one plain handler"


class _AfterEmit:
    """A plugin with one lifecycle hook."""

    @hookimpl
    def vectis_after_emit(self, outcome: Outcome) -> None:
        """Look at the outcome, and do nothing with it."""


async def emit_figures(rounds: int) -> list[Figure]:
    """Measure emits of every kind.

    Args:
        rounds: How often each has its turn.
    """
    event, unheard, plain = Event("order.created"), Event("order.unheard"), Event("order.plain")
    handlers = [_handler() for _ in range(5)]

    async with (
        Hub({}) as hub,
        Hub({}, plugins={"after-emit": _AfterEmit()}) as hooked,
        Hub({"bus": {"timings": True}}) as timed,
        Hub({}) as limited,
    ):
        for handler in handlers:
            event_bus.subscribe(event.type, handler)
            for each in (hub, hooked, timed):
                each.subscribe(event.type, handler)
            limited.subscribe(event.type, handler, timeout=60.0)
        hub.subscribe(plain.type, _plain)

        five = "await each handler in a loop"
        nothing = "await an empty coroutine"
        function = "call the function"
        turns: dict[str, Turn] = {
            five: _loop(handlers, event),
            "event_bus.emit": _facade(event),
            "hub.emit": _emitting(hub, event),
            "with vectis_after_emit implemented": _emitting(hooked, event),
            "with [bus] timings = true": _emitting(timed, event),
            "with a timeout on each": _emitting(limited, event),
            **peers(event, handlers),
            nothing: _empty(),
            "event_bus.emit, nobody subscribed": _facade(unheard),
            "hub.emit, nobody subscribed": _emitting(hub, unheard),
            function: _calling(plain),
            "hub.emit, one plain function": _emitting(hub, plain),
        }
        seconds = await compare(turns, rounds)

    def beside(group: str, yardstick: str, bars: dict[str, float | None]) -> list[Figure]:
        return [of_rounds(group, yardstick, seconds)] + [
            of_rounds(group, name, seconds, yardstick=yardstick, bar=bar)
            for name, bar in bars.items()
        ]

    others: dict[str, float | None] = dict.fromkeys(peers(event, handlers))
    return [
        *beside(_FIVE, five, {"event_bus.emit": 2.5, "hub.emit": 2.5, **others}),
        *beside(
            _MORE,
            five,
            {
                "with vectis_after_emit implemented": None,
                "with [bus] timings = true": None,
                "with a timeout on each": None,
            },
        )[1:],
        *beside(
            _NONE,
            nothing,
            {"event_bus.emit, nobody subscribed": 3.0, "hub.emit, nobody subscribed": 3.0},
        ),
        *beside(_ONE, function, {"hub.emit, one plain function": None}),
    ]


def _handler() -> Callable[[Event], Awaitable[None]]:
    async def handler(event: Event) -> None:
        pass

    return handler


def _plain(event: Event) -> None:
    pass


async def _nothing() -> None:
    pass


def _loop(handlers: Sequence[Callable[[Any], Awaitable[None]]], event: Event) -> Turn:
    async def turn(times: int) -> float:
        start = perf_counter()
        for _ in repeat(None, times):
            for handler in handlers:
                await handler(event)
        return perf_counter() - start

    return turn


def _facade(event: Event) -> Turn:
    async def turn(times: int) -> float:
        start = perf_counter()
        for _ in repeat(None, times):
            await event_bus.emit(event)
        return perf_counter() - start

    return turn


def _emitting(hub: Hub, event: Event) -> Turn:
    async def turn(times: int) -> float:
        start = perf_counter()
        for _ in repeat(None, times):
            await hub.emit(event)
        return perf_counter() - start

    return turn


def _empty() -> Turn:
    async def turn(times: int) -> float:
        start = perf_counter()
        for _ in repeat(None, times):
            await _nothing()
        return perf_counter() - start

    return turn


def _calling(event: Event) -> Turn:
    async def turn(times: int) -> float:
        start = perf_counter()
        for _ in repeat(None, times):
            _plain(event)
        return perf_counter() - start

    return turn
