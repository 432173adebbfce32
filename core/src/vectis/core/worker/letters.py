"""Writing dead letters: straight to the transport, and never skipped."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from vectis.core.exceptions import TransportError
from vectis.core.redact import one_line
from vectis.core.transport import Route
from vectis.core.worker.errors import fields_of, text_of

if TYPE_CHECKING:
    from vectis.core.dead_letter import DeadLetter
    from vectis.core.hub import Hub

__all__ = ["write"]

logger = logging.getLogger("vectis.worker")


async def write(letter: DeadLetter, hub: Hub) -> bool:
    """Try to write a letter and tell the observers; False when it must be tried again.

    No guard on publishing may lose a letter, so none is asked.
    """
    try:
        message = letter.message()
        offer = hub.routing.offer(Route("service", message.topic))
        if offer is None:
            raise TransportError("no transport offers to carry it")
        async with asyncio.timeout(hub.hub_settings.publish_timeout):
            await offer.carrier.send(message)
    except Exception as error:
        logger.error(
            "%s: its dead letter cannot be written to %s, so it waits and nothing behind it is "
            "committed: %s: %s",
            letter.delivery.place,
            letter.topic,
            type(error).__name__,
            one_line(text_of(error)) or f"no answer within {hub.hub_settings.publish_timeout:g} s",
            extra=fields_of(letter.delivery, letter.handler),
        )
        return False
    logger.warning(
        "%s set aside to %s%s: %s",
        letter.delivery.place,
        letter.topic,
        f" for {letter.handler}, attempts: {letter.attempts}" if letter.handler else "",
        letter.error,
        extra=fields_of(letter.delivery, letter.handler),
    )
    await hub.lifecycle.tell("vectis_dead_letter", {"letter": letter, "hub": hub})
    return True
