"""Tells plugins what the worker is doing, about every second, on its event loop."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING

from vectis.core.exceptions import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectis.core.hub import Hub
    from vectis.core.transport import Consumer
    from vectis.core.worker.status import WorkerStatus
    from vectis.core.worker.vitals import Vitals

__all__ = ["Telling"]

logger = logging.getLogger("vectis.worker")

_PERIOD = 1.0  # seconds
_LAG = 5.0  # seconds that a transport may take to say how far behind it is
_WANTED = 60.0  # seconds for which somebody who asked for the status may ask again


class Telling:
    """Calls `vectis_worker_status`, and asks the transport for the lag while anybody is interested.

    Args:
        hub: Its plugins are told.
        status: Returns what they are told.
        consumer: Knows the lag.
        vitals: Where the lag is noted, and when somebody looked.
    """

    def __init__(
        self, hub: Hub, status: Callable[[], WorkerStatus], consumer: Consumer, vitals: Vitals
    ) -> None:
        self._hub = hub
        self._status = status
        self._consumer = consumer
        self._vitals = vitals
        self._heard = hub.lifecycle.implemented("vectis_worker_status")

    async def keep_telling(self) -> None:
        """Tell again and again, until cancelled."""
        while True:
            looked = self._vitals.looked
            if self._heard or (looked and monotonic() - looked < _WANTED):
                await self._ask_lag()
            await self.tell()
            await asyncio.sleep(_PERIOD)

    async def tell(self) -> None:
        """Tell once, if anybody listens."""
        if not self._heard:
            return
        arguments = {"status": self._status(), "hub": self._hub}
        await self._hub.lifecycle.tell("vectis_worker_status", arguments)

    async def _ask_lag(self) -> None:
        try:
            async with asyncio.timeout(_LAG):
                lag = await self._consumer.lag()
        except Exception as error:  # looking must not end what is looked at
            if not isinstance(error, TransportError | TimeoutError):
                logger.debug("the transport cannot tell the lag", exc_info=True)
            return  # the last answer stays, and its age tells
        self._vitals.lag, self._vitals.lag_asked = lag, monotonic()
