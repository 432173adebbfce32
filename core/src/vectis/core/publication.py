"""Publishing: guards look at messages, a transport takes them, and whoever waits is answered."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vectis.core.absence import configured_transport
from vectis.core.composer import Composer
from vectis.core.deadline import Deadline
from vectis.core.exceptions import PublishError, TransportError
from vectis.core.message import Receipt
from vectis.core.redact import one_line
from vectis.core.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from vectis.core.composer import Key
    from vectis.core.events import Event
    from vectis.core.hub import Hub
    from vectis.core.message import Message
    from vectis.core.routing import Offer
    from vectis.core.turns import Turn

__all__ = ["Publication"]

logger = logging.getLogger("vectis.publish")

_HOOKS = ("vectis_before_publish", "vectis_around_publish", "vectis_after_publish")


class Publication:
    """Publishes for one hub.

    Args:
        hub: Its settings, hooks and transports are used.
    """

    def __init__(self, hub: Hub) -> None:
        settings = hub.hub_settings
        self._hub = hub
        self._max_bytes = settings.max_message_bytes
        self._deadline = Deadline(settings.publish_timeout)
        self._turns = Turns()
        self.composer = Composer(hub)
        self.counts: Counter[str] = Counter()
        """How many were `acknowledged`, `failed`, or `disabled` for want of a transport."""

    @cached_property
    def _hooked(self) -> bool:
        return self._hub.lifecycle.implemented(*_HOOKS)  # once: a hub's plugins do not change

    async def publish(self, event: Event, topic: str, key: Key = None) -> Receipt | None:
        """Publish one event; see `Hub.publish`."""
        # Encoded first: what production would refuse is refused in development too.
        message = self.composer.message(event, topic, key)
        return await self.carry(message, event.id)

    # No coroutine: each one between a caller and the transport costs a tenth of what is spent here.
    def carry(self, message: Message, event_id: str) -> Coroutine[Any, Any, Receipt | None]:
        """Return what takes a message through the hooks to the transport; see `Hub.publish`."""
        hub = self._hub
        offer = hub.routing.for_topic(message.topic)
        if offer is None:
            return self._nowhere(message.topic)
        # Without hooks nothing is awaited before the transport has the message. Whoever waits for
        # the start or for a hook keeps its turn, and those who come later queue behind it.
        if hub.startup.done and not self._turns.taken and not self._hooked:
            return self._send(offer, message, event_id)
        return self._in_turn(offer, message, event_id, self._queue(message))

    def _queue(self, message: Message) -> Turn:
        starting = self._hub.startup.inside
        return self._turns.queue(message.topic, message.key, starting=starting)

    async def _in_turn(self, offer: Offer, message: Message, event_id: str, turn: Turn) -> Receipt:
        async with turn:
            await self._hub.startup()
            return await self._through_hooks(offer, message, event_id)

    async def _nowhere(self, topic: str) -> None:
        self._disabled(topic)

    def offers(self, topic: str) -> bool:
        """Tell whether a transport takes messages to a topic; when none does, that is noted."""
        if self._hub.routing.for_topic(topic) is None:
            self._disabled(topic)
            return False
        return True

    async def send_all(
        self, topic: str, messages: Sequence[Message], ids: Sequence[str]
    ) -> list[Any]:
        """Take messages to a transport.

        Args:
            topic: The topic of all of them.
            messages: The messages.
            ids: The ids of their events.

        Returns:
            The receipt or the error of each, in order.
        """
        hub = self._hub
        offer = hub.routing.for_topic(topic)
        assert offer is not None  # the caller has asked
        send_many = offer.carrier.send_many
        if send_many is None or self._hooked:
            return await self._send_each(offer, messages, ids)
        if hub.startup.done and not self._turns.taken:
            return await self._send_many(offer, send_many, messages, ids)
        # One for each key, all before anything is awaited: later calls queue behind every message.
        turns = [self._queue(message) for message in {m.key: m for m in messages}.values()]
        try:
            for turn in turns:
                await turn.wait()
            await hub.startup()
            return await self._send_many(offer, send_many, messages, ids)
        finally:
            for turn in turns:
                turn.leave()

    async def _send_each(
        self, offer: Offer, messages: Sequence[Message], ids: Sequence[str]
    ) -> list[Any]:
        # The turns are taken here: the tasks begin when others have already made their calls.
        turns = [self._queue(message) for message in messages]
        calls = [
            self._in_turn(offer, message, event_id, turn)
            for message, event_id, turn in zip(messages, ids, turns, strict=True)
        ]
        try:
            ends: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
        finally:
            for turn in turns:  # of a task that was cancelled before it began
                turn.leave()
        return ends

    async def _send_many(
        self,
        offer: Offer,
        send_many: Callable[[Sequence[Message]], Awaitable[list[Any]]],
        messages: Sequence[Message],
        ids: Sequence[str],
    ) -> list[Any]:
        topic = messages[0].topic
        try:
            with self._deadline.begun():
                answers = list(await send_many(messages))
        except Exception as error:
            failure = self._failed(error, topic)
            if failure is not error:
                failure.__cause__ = error
            return [failure] * len(messages)
        plugin, receipts = offer.plugin, 0
        for answer, event_id in zip(answers, ids, strict=True):
            if isinstance(answer, Receipt):
                receipts += 1
                answer.event_id, answer.transport = event_id, plugin
        self.counts["acknowledged"] += receipts
        if receipts < len(answers):
            return [a if isinstance(a, Receipt) else self._failed(a, topic) for a in answers]
        return answers

    async def close(self) -> None:
        """Flush and close the producers of the running loop."""
        closing = [o.carrier.close for o in self._hub.routing.offers() if o.carrier.close]
        results = await asyncio.gather(*(close() for close in closing), return_exceptions=True)
        for error in results:
            if error is not None:
                raise error

    async def _through_hooks(self, offer: Offer, message: Message, event_id: str) -> Receipt:
        hub = self._hub
        if not self._hooked:
            return await self._send(offer, message, event_id)
        receipt: Receipt | None = None
        error: BaseException | None = None
        try:
            message = await hub.lifecycle.guard(
                "vectis_before_publish", message, {"hub": hub}, "message"
            )
            self._check_size(message)
            receipt = await hub.lifecycle.within(
                "vectis_around_publish",
                lambda: self._send(offer, message, event_id),
                {"message": message, "hub": hub},
            )
        except BaseException as raised:
            error = raised
            raise
        finally:
            await hub.lifecycle.observe(
                "vectis_after_publish",
                {"message": message, "receipt": receipt, "error": error, "hub": hub},
            )
        return receipt

    def _check_size(self, message: Message) -> None:
        if message.size > self._max_bytes:
            raise PublishError(
                f"{one_line(message.topic)}: after the vectis_before_publish hooks the message has "
                f"{message.size:,} bytes, and [hub] max_message_bytes allows "
                f"{self._max_bytes:,}: let them add less, or raise the cap, here and on the "
                "transport",
                fate="not_sent",
            )

    async def _send(self, offer: Offer, message: Message, event_id: str) -> Receipt:
        try:
            receipt: Receipt
            if offer.carrier.keeps_deadline:
                receipt = await offer.carrier.send(message)
            else:
                with self._deadline.begun():
                    receipt = await offer.carrier.send(message)
        except Exception as error:
            failure = self._failed(error, message.topic)
            if failure is error:
                raise
            raise failure from error
        self.counts["acknowledged"] += 1
        receipt.event_id, receipt.transport = event_id, offer.plugin
        return receipt

    def _failed(self, error: BaseException, topic: str) -> BaseException:
        self.counts["failed"] += 1
        if isinstance(error, PublishError) or not isinstance(error, Exception):
            return error
        if isinstance(error, TimeoutError):
            seconds = self._hub.hub_settings.publish_timeout
            return PublishError(
                f"{topic}: no acknowledgement within [hub] publish_timeout = {seconds:g} s. It may "
                "be there all the same: publish again with the same event_id",
                fate="unknown",
            )
        cause = str(error) if isinstance(error, TransportError) else repr(error)
        return PublishError(f"{topic}: {cause}", fate="unknown")

    def _disabled(self, topic: str) -> None:
        problem = configured_transport(self._hub)
        if problem is not None:
            self.counts["failed"] += 1
            raise PublishError(f"{topic}: nothing was published: {problem}", fate="not_sent")
        self.counts["disabled"] += 1
        logger.debug("nothing published to %s: no transport is available", topic)
