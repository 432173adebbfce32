"""Signals for a command that ends in order: the first one asks, the second one leaves."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from vectis.core.forks import SignalsOfChildren

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["heeding_signals"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_ECHO = 0.2  # seconds in which a second signal is the first one again, as `timeout` sends it


@contextmanager
def heeding_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first signal, leave at the second.

    Not with `loop.add_signal_handler`: a handler that blocks the loop would keep it from being
    heard. A process that is forked meanwhile hears signals for itself.

    Args:
        stop: Called on the event loop that runs now.
    """
    loop = asyncio.get_running_loop()
    since: float | None = None

    def heard(number: int, frame: object) -> None:
        nonlocal since
        if since is None:
            since = monotonic()
            loop.call_soon_threadsafe(stop)
        elif monotonic() - since > _ECHO:
            os.write(2, b"left at once; what is not committed comes again\n")
            os._exit(128 + number)

    before = [signal.signal(number, heard) for number in _SIGNALS]
    children = SignalsOfChildren()
    try:
        yield
    finally:
        del children
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)
