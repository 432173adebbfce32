"""One attempt of a handler: the delivery as it came, a context of its own, the hooks around it."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from vectis.core.codec import decode
from vectis.core.outcome import current
from vectis.core.worker.isolation import within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectis.core.hub import Hub
    from vectis.core.message import Delivery
    from vectis.core.worker.batches import Batch
    from vectis.core.worker.calling import Callee
    from vectis.core.worker.job import Job

__all__ = ["Attempts"]


class Attempts:
    """Calls the handlers of one worker; what they raise is for whoever awaits it.

    Args:
        hub: For its hooks and its settings.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._max_bytes = hub.hub_settings.max_message_bytes
        # Asked once and not per delivery: a hub's plugins do not change.
        self._around = hub.lifecycle.implemented("vectis_around_consume")

    async def of_one(self, job: Job, callee: Callee) -> None:
        """Call a handler with a job that was decoded before."""
        received = job.received
        assert received is not None  # whoever advances it decoded it
        if job.delivery.attempt > 1:  # the failed attempt may have changed the payload
            received = job.received = decode(job.delivery, max_bytes=self._max_bytes)
        current.set(job)
        await self._within_around(callee, received.type, received.payload, [job.delivery])

    async def of_many(self, batch: Batch) -> None:
        """Call a batch handler with all jobs of a batch."""
        callee = batch.callee
        payloads = []
        for job in batch.jobs:
            if job.delivery.attempt > 1:  # the failed attempt may have changed the payload
                job.received = decode(job.delivery, max_bytes=self._max_bytes)
            assert job.received is not None  # whoever let it join decoded it
            payloads.append(job.received.payload)
        current.set(batch)
        await self._within_around(
            callee, callee.subscription.pattern, payloads, [job.delivery for job in batch.jobs]
        )

    async def _within_around(
        self, callee: Callee, event_type: str, payload: Any, deliveries: Sequence[Delivery]
    ) -> None:
        if not self._around:
            await within(copy_context(), callee.call(event_type, payload))
            return
        given = [
            {"delivery": delivery, "subscription": callee.subscription, "hub": self._hub}
            for delivery in deliveries
        ]
        around = self._hub.lifecycle.within(
            "vectis_around_consume", lambda: callee.call(event_type, payload), *given
        )
        await within(copy_context(), around)
