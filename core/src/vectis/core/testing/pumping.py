"""The real worker, run until it has handled all that is there: no waiting, the same every time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vectis.core.blocking import run_alone
from vectis.core.testing.clock import FakeClock
from vectis.core.testing.memory import MemoryTransport
from vectis.core.worker import Worker

if TYPE_CHECKING:
    from vectis.core.hub import Hub
    from vectis.core.worker import Report

__all__ = ["pump", "run_worker"]

_TICK = 0.001  # seconds between two looks at whether all is quiet


async def pump(
    hub: Hub,
    *,
    clock: FakeClock | None = None,
    within: float = 3600.0,
    timeout: float = 30.0,
) -> Report:
    """Let a worker handle everything that is there on the memory transport, then stop it.

    What handlers publish meanwhile is handled as well. A wait for the next attempt takes no time:
    when nothing else is left to do, the clock is moved to it. What handlers wait for themselves
    takes as long as it takes.

    Args:
        hub: One whose transport is the memory transport, such as `isolated_hub` makes.
        clock: Tells afterwards what was waited for; default: a new one.
        within: Seconds of that clock after which what still waits is left, to come again in the
            next call; it is what ends a handler that would be retried for ever.
        timeout: Seconds of real time that all of it may take.

    Returns:
        What was done.

    Raises:
        TransportError: The hub has another transport.
        ConfigError: Nothing is there to consume, as `Worker` says.
        AssertionError: A handler was not done within `timeout`; it is named.

    Example:
        >>> import asyncio
        >>> from vectis.core.exceptions import RetryLater
        >>> from vectis.core.testing import FakeClock, isolated_hub, pump
        >>> hub, clock, seen = isolated_hub(), FakeClock(), []
        >>> async def handle(event_type, payload):
        ...     seen.append(payload["order_id"])
        ...     if len(seen) == 1:
        ...         raise RetryLater(60)
        >>> subscription = hub.on_event("order.created", handle, topic="vectis.orders")
        >>> async def main():
        ...     await hub.publish("vectis.orders", "order.created", {"order_id": 7})
        ...     return await pump(hub, clock=clock)
        >>> report = asyncio.run(main())
        >>> report.handled, seen, clock.now()
        (1, [7, 7], 60.0)
    """
    clock = clock or FakeClock()
    end = clock.now() + within
    worker = Worker(hub, clock=clock)
    transport = _memory_transport(hub, worker.transport)
    running = asyncio.ensure_future(worker.run())
    stuck: list[str] = []
    try:
        async with asyncio.timeout(timeout):
            while not running.done():
                if transport.idle and not worker.busy:
                    wait = clock.next
                    if wait is None or clock.now() + wait > end:
                        break
                    clock.advance(wait)
                await asyncio.sleep(_TICK)
    except TimeoutError:
        stuck = worker.in_hand or ["nothing in hand, though more is there to be handled"]
    finally:
        worker.stop()
        report = await running
    if stuck:
        raise AssertionError(f"the worker was not done within {timeout:g} s: {', '.join(stuck)}")
    return report


def run_worker(
    hub: Hub,
    *,
    clock: FakeClock | None = None,
    within: float = 3600.0,
    timeout: float = 30.0,
) -> Report:
    """Do what `pump` does, in a test without an event loop.

    Example:
        >>> from vectis.core.testing import isolated_hub, run_worker
        >>> hub = isolated_hub()
        >>> subscription = hub.on_event("order.created", print, topic="vectis.orders")
        >>> receipt = hub.publish_sync("vectis.orders", "order.created", {"order_id": 7})
        >>> str(run_worker(hub))
        order.created {'order_id': 7}
        '1 handled, 0 skipped, 0 dead letters, 0 retries'
    """
    return run_alone(pump(hub, clock=clock, within=within, timeout=timeout))


def _memory_transport(hub: Hub, name: str) -> MemoryTransport:
    (transport,) = (plugin.object for plugin in hub.plugins if plugin.name == name)
    if not isinstance(transport, MemoryTransport):
        from vectis.core.exceptions import TransportError

        raise TransportError(
            f"only the memory transport can be pumped, and this hub reads through {name!r}: make "
            "it with `isolated_hub` or the fixture `make_hub`"
        )
    return transport
