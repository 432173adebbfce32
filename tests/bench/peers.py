"""Other libraries that call five handlers, each the way its own documentation shows."""

from __future__ import annotations

from itertools import repeat
from time import perf_counter
from typing import TYPE_CHECKING, Any

# The peers are installed for the bench only, not where types are checked.
import blinker  # type: ignore[import, unused-ignore]
import pluggy
from django.dispatch import Signal  # type: ignore[import, unused-ignore]
from pyee.asyncio import AsyncIOEventEmitter  # type: ignore[import, unused-ignore]

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.bench.figures import Turn

__all__ = ["peers"]

_spec = pluggy.HookspecMarker("bench")
_impl = pluggy.HookimplMarker("bench")


class _Specs:
    @_spec
    def handle(self, event: object) -> None:
        """Take an event."""


class _Plugin:
    @_impl
    def handle(self, event: object) -> None:
        """Take an event, and do nothing with it."""


def peers(event: object, handlers: Sequence[Callable[[Any], Awaitable[None]]]) -> dict[str, Turn]:
    """Return a turn for each library, which hands an event to the handlers.

    Args:
        event: What every handler gets.
        handlers: Async functions of one argument. pluggy does not await, and gets plain ones.
    """
    return {
        "pluggy (five plain functions)": _pluggy(event, len(handlers)),
        "blinker, send_async": _blinker(event, handlers),
        "pyee, AsyncIOEventEmitter": _pyee(event, handlers),
        "Django signals, asend": _django(event, handlers),
    }


def _pluggy(event: object, count: int) -> Turn:
    manager = pluggy.PluginManager("bench")
    manager.add_hookspecs(_Specs)
    for _ in range(count):
        manager.register(_Plugin())
    hook = manager.hook

    async def turn(times: int) -> float:
        start = perf_counter()
        for _ in repeat(None, times):
            hook.handle(event=event)
        return perf_counter() - start

    return turn


def _blinker(event: object, handlers: Sequence[Callable[[Any], Awaitable[None]]]) -> Turn:
    signal = blinker.Signal()
    for handler in handlers:
        signal.connect(handler)

    async def turn(times: int) -> float:
        start = perf_counter()
        for _ in repeat(None, times):
            await signal.send_async(event)
        return perf_counter() - start

    return turn


def _pyee(event: object, handlers: Sequence[Callable[[Any], Awaitable[None]]]) -> Turn:
    emitter = AsyncIOEventEmitter()
    for handler in handlers:
        emitter.add_listener("order.created", handler)

    async def turn(times: int) -> float:
        start = perf_counter()
        for _ in repeat(None, times):
            emitter.emit("order.created", event)
            await emitter.wait_for_complete()
        return perf_counter() - start

    return turn


def _django(event: object, handlers: Sequence[Callable[[Any], Awaitable[None]]]) -> Turn:
    signal = Signal()
    receivers = [_receiver(handler) for handler in handlers]
    for receiver in receivers:
        signal.connect(receiver, weak=False)

    async def turn(times: int) -> float:
        start = perf_counter()
        for _ in repeat(None, times):
            await signal.asend(None, event=event)
        return perf_counter() - start

    return turn


def _receiver(handler: Callable[[Any], Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    # The handler's body once more: calling the handler from here would be a sixth call in five.
    async def receive(sender: object, **named: Any) -> None:
        pass

    receive.__name__ = getattr(handler, "__name__", "receive")
    return receive
