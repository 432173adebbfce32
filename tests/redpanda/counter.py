"""A hub on a broker, for tests that publish and consume in this process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.core.worker_world import Diary, eventually
from vectis.core import Hub
from vectis.core.exceptions import PublishError
from vectis.core.worker import Worker
from vectis_bus import Bus
from vectis_redpanda import Redpanda

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vectis.core.worker import Report

__all__ = ["Counter", "hub_on", "publishing_fails"]

LONGEST = 3.0  # seconds that publishing may take


def hub_on(servers: str, *, config: dict[str, Any] | None = None, **redpanda: Any) -> Hub:
    """Make a hub that publishes to a broker.

    Args:
        servers: The bootstrap servers.
        config: Further tables of the config.
        redpanda: Further keys of `[redpanda]`.
    """
    tables = {
        "hub": {"publish_timeout": LONGEST},
        "redpanda": {"bootstrap_servers": servers, **redpanda},
        **(config or {}),
    }
    return Hub(tables, plugins={"redpanda": Redpanda(), "bus": Bus()}, discover=False)


def publishing_fails(hub: Hub, topic: str, payload: Any = None) -> PublishError:
    """Publish, and return the error that it ends with."""

    async def main() -> PublishError:
        try:
            await hub.publish(topic, "order.created", payload or {"order_id": 7}, key="7")
        except PublishError as error:
            return error
        finally:
            await hub.shutdown()
        raise AssertionError("it was published")

    return asyncio.run(main())


class Counter:
    """A worker with one handler for `order.created`, and what it was given.

    Args:
        servers: The bootstrap servers.
        topic: What it reads; the topic for its dead letters must be there as well.
        redpanda: Further keys of `[redpanda]`.
        consumer: Further keys of `[consumer]`.
    """

    def __init__(
        self,
        servers: str,
        topic: str,
        *,
        redpanda: Mapping[str, Any] | None = None,
        **consumer: Any,
    ) -> None:
        self.diary = Diary()
        self.handled: list[Any] = []
        quick = {"commit_interval": 0, "retry_initial": 0.001, "retry_max": 0.01}
        self.hub = Hub(
            {
                "hub": {"publish_timeout": LONGEST},
                "redpanda": {"bootstrap_servers": servers, **(redpanda or {})},
                "consumer": {"group": f"{topic}.shop", **quick, **consumer},
            },
            plugins={"redpanda": Redpanda(), "bus": Bus(), "diary": self.diary},
            discover=False,
        )
        self.hub.on_event("order.created", self._handle, topic=topic)

    def work(self, until: Callable[[], bool]) -> Report:
        """Run the worker until a condition holds, and return its report."""

        async def main() -> Report:
            worker = Worker(self.hub)
            running = asyncio.ensure_future(worker.run())
            try:
                await eventually(lambda: until() or running.done())
            finally:
                worker.stop()
                report = await running
                await self.hub.shutdown()
            return report

        return asyncio.run(main())

    @property
    def settled(self) -> int:
        """How many deliveries it is done with, in whichever way."""
        return len(self.diary.outcomes)

    async def _handle(self, event_type: str, payload: Any) -> None:
        self.handled.append(payload)
