"""Publishing: events become messages, guards look at them, and a transport takes them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vectis.core.absence import configured_transport
from vectis.core.deadline import Deadline
from vectis.core.events.event import Event, check_version, is_checked
from vectis.core.events.identity import new_id
from vectis.core.exceptions import PublishError, TransportError
from vectis.core.message import Receipt
from vectis.core.outcome import current
from vectis.core.redact import one_line
from vectis.core.topics import check_topic
from vectis.core.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from types import ModuleType

    from vectis.core._encode import Template
    from vectis.core.hub import Hub
    from vectis.core.message import Message
    from vectis.core.routing import Offer
    from vectis.core.turns import Turn

__all__ = ["Key", "Outgoing", "Publication"]

logger = logging.getLogger("vectis.publish")

Key = str | bytes | None
_KEYS = (str, bytes)
_ALIKE = 1024  # templates kept; types, topics and sources come from code, the bound stops a leak

Outgoing = tuple["Message", str]
"""A message, and the id of its event."""

_HOOKS = ("vectis_before_publish", "vectis_around_publish", "vectis_after_publish")


class Publication:
    """Publishes for one hub.

    Args:
        hub: Its settings, hooks and transports are used.
    """

    def __init__(self, hub: Hub) -> None:
        settings = hub.hub_settings
        self._hub = hub
        self._source = settings.source or "vectis-core"
        self._max_bytes = settings.max_message_bytes
        self._deadline = Deadline(settings.publish_timeout)
        self._turns = Turns()
        self._templates: dict[tuple[str, str, str | None, int | None], Template] = {}
        self.counts: Counter[str] = Counter()
        """How many were `acknowledged`, `failed`, or `disabled` for want of a transport."""

    @cached_property
    def _encoder(self) -> ModuleType:
        from vectis.core import _encode  # an application that only emits never needs it

        return _encode

    @cached_property
    def _hooked(self) -> bool:
        return self._hub.lifecycle.implemented(*_HOOKS)  # once: a hub's plugins do not change

    def now(self) -> bytes:
        """Return the present moment as it is written on the wire."""
        moment: bytes = self._encoder.now()
        return moment

    def message(self, event: Event, topic: str, key: Key) -> Message:
        """Encode an event for a topic, after it took correlation from the handler that runs now.

        Raises:
            EncodeError: The data is not JSON; the path inside it is named.
            PublishError: It is larger than `[hub] max_message_bytes`, or the topic's name is none.
            TypeError: The key is neither string nor bytes.
        """
        check_topic(topic)
        _check_key(event.type, key)
        frame = current.get(None)
        if frame is not None and frame.event is not None:
            event.follow(frame.event)
        version = event.version
        if version is None:
            known = self._hub.catalogue.find(event.type)
            version = None if known is None else known.version
        message: Message = self._encoder.encode(
            event,
            topic=topic,
            key=key,
            source=self._source,
            version=version,
            max_bytes=self._max_bytes,
        )
        return message

    def new_message(
        self,
        topic: str,
        event_type: str,
        payload: dict[str, Any] | None = None,
        key: Key = None,
        event_id: str | None = None,
        source: str | None = None,
        user_id: Any = None,
        version: int | None = None,
        time: bytes | None = None,
    ) -> Outgoing:
        """Encode a new event, as `message` does; most need no `Event` for that.

        Args:
            topic: As in `Hub.publish`, as are those that follow.
            event_type: Its type.
            payload: Its data.
            key: The message's key.
            event_id: Its id; a new one unless given.
            source: Who says so.
            user_id: On whose behalf.
            version: Which version of the type the payload is of.
            time: What `now` returned, when many events have the same time.

        Returns:
            The message, and the event's id.
        """
        try:
            if version is None:
                known = self._hub.catalogue.find(event_type)
                version = None if known is None else known.version
            elif version.__class__ is not int:  # True and 1.0 would be found below as 1
                check_version(event_type, version)
            template = self._templates.get((topic, event_type, source, version))
        except TypeError:  # unhashable: what is wrong is said below
            template = None
        if template is None or payload.__class__ is not dict:
            if not is_checked(event_type) or payload.__class__ is not dict:
                event = Event(  # says it
                    event_type, payload, source, user_id, id=event_id, version=version
                )
                return self.message(event, topic, key), event.id
            template = self._template(topic, event_type, source, version)
        if key is not None and key.__class__ is not str:
            _check_key(event_type, key)
        frame = current.get(None)
        cause = None if frame is None else frame.event
        if event_id is None:
            event_id = new_id()
            raw_id = event_id.encode()
        else:
            raw_id = self._encoder.written("id", event_id)
        message: Message = template.message(
            payload,
            key,
            raw_id,
            self._encoder.now() if time is None else time,
            None if cause is None else cause.correlation_id,
            None if cause is None else cause.id,
            user_id,
        )
        return message, event_id

    def _template(
        self, topic: str, event_type: str, source: str | None, version: int | None
    ) -> Template:
        check_topic(topic)
        if version is not None:
            check_version(event_type, version)
        template: Template = self._encoder.Template(
            event_type, topic, source or self._source, version, self._max_bytes
        )
        if template.short:
            if len(self._templates) >= _ALIKE:
                self._templates.clear()
            self._templates[topic, event_type, source, version] = template
        return template

    async def publish(self, event: Event, topic: str, key: Key = None) -> Receipt | None:
        """Publish one event; see `Hub.publish`."""
        # Encoded first: what production would refuse is refused in development too.
        message = self.message(event, topic, key)
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

    async def send_all(self, topic: str, written: Sequence[Outgoing]) -> list[Any]:
        """Take messages to a transport, and return the receipt or the error of each, in order."""
        hub = self._hub
        offer = hub.routing.for_topic(topic)
        assert offer is not None  # the caller has asked
        if offer.carrier.send_many is None or self._hooked:
            return await self._send_each(offer, written)
        if hub.startup.done and not self._turns.taken:
            return await self._send_many(offer, written, offer.carrier.send_many)
        # One for each key, all before anything is awaited: later calls queue behind every message.
        turns = [self._queue(message) for message in {m.key: m for m, _ in written}.values()]
        try:
            for turn in turns:
                await turn.wait()
            await hub.startup()
            return await self._send_many(offer, written, offer.carrier.send_many)
        finally:
            for turn in turns:
                turn.leave()

    async def _send_each(self, offer: Offer, written: Sequence[Outgoing]) -> list[Any]:
        # The turns are taken here: the tasks begin when others have already made their calls.
        turns = [self._queue(message) for message, _ in written]
        calls = [
            self._in_turn(offer, message, event_id, turn)
            for (message, event_id), turn in zip(written, turns, strict=True)
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
        written: Sequence[Outgoing],
        send_many: Callable[[Sequence[Message]], Awaitable[list[Any]]],
    ) -> list[Any]:
        topic = written[0][0].topic
        try:
            with self._deadline.begun():
                answers = list(await send_many([message for message, _ in written]))
        except Exception as error:
            failure = self._failed(error, topic)
            if failure is not error:
                failure.__cause__ = error
            return [failure] * len(written)
        plugin, receipts = offer.plugin, 0
        for answer, (_, event_id) in zip(answers, written, strict=True):
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


def _check_key(event_type: str, key: Key) -> None:
    if key is not None and not isinstance(key, _KEYS):
        raise TypeError(
            f"publishing {event_type}: key must be a str or bytes, "
            f"not {type(key).__name__}; write key=str(...)"
        )
