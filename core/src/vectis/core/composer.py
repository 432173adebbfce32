"""What a hub writes for its transports: events, and the values of new ones, as messages.

A new event is written from its values, without an `Event`. What all events of a type, topic and
source share is worked out once.
"""

from __future__ import annotations

from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from vectis.core.events.event import Event, check_version, is_checked
from vectis.core.events.identity import new_id
from vectis.core.outcome import current
from vectis.core.topics import check_topic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from vectis.core._encode import Template
    from vectis.core.hub import Hub
    from vectis.core.message import Message

__all__ = ["Composer", "Key"]

Key = str | bytes | None
_KEYS = (str, bytes)
_ALIKE = 1024  # templates kept; types, topics and sources come from code, the bound stops a leak

# What the events of a chunk may have so that they are written column by column.
_NEEDED = frozenset({"event_type", "payload"})
_COLUMNS = _NEEDED | {"key", "event_id"}


class Composer:
    """Writes the messages of one hub.

    Args:
        hub: Its settings and its catalogue are used.
    """

    def __init__(self, hub: Hub) -> None:
        settings = hub.hub_settings
        self._hub = hub
        self._source = settings.source or "vectis-core"
        self._max_bytes = settings.max_message_bytes
        self._templates: dict[tuple[str, str, str | None, int | None], Template] = {}

    @cached_property
    def _encoder(self) -> ModuleType:
        from vectis.core import _encode  # an application that only emits never needs it

        return _encode

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
    ) -> tuple[Message, str]:
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
            template = self._new_template(topic, event_type, source, version)
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

    def new_messages(
        self, topic: str, events: Sequence[Mapping[str, Any]], time: bytes
    ) -> tuple[list[Message], list[str]] | None:
        """Encode new events as `new_message` does one by one, at a third of what that costs.

        Args:
            topic: The topic of all of them.
            events: What `new_message` takes, by name.
            time: What `now` returned.

        Returns:
            The messages, and the ids of their events; None when one of them needs a closer look:
            what is wrong with it, if anything is, `new_message` says.
        """
        frame = current.get(None)
        if frame is not None and frame.event is not None:
            return None
        from vectis.core._encode_alike import encode_alike  # as with the encoder

        try:
            if {*map(type, events)} != {dict}:
                return None
            names = frozenset(events[0])
            # All of them have these names, which are looked up below, and no other.
            if not _NEEDED <= names <= _COLUMNS or {*map(len, events)} != {len(names)}:
                return None
            rows = map(itemgetter(*names), events)
            columns = dict(zip(names, zip(*rows, strict=True), strict=True))
            kinds, payloads = columns["event_type"], columns["payload"]
            if {*map(type, payloads)} != {dict}:
                return None
            templates = {kind: self._newest(topic, kind) for kind in {*kinds}}
            ids = columns.get("event_id") or [new_id() for _ in events]
            messages: list[Message] | None = encode_alike(
                [templates[kind] for kind in kinds], payloads, columns.get("key"), ids, time
            )
        except Exception:
            return None  # whoever looks closer says which of them it is
        return None if messages is None else (messages, list(ids))

    def _newest(self, topic: str, event_type: str) -> Template:
        """Return the template for the newest version of a type, from the usual source."""
        known = self._hub.catalogue.find(event_type)
        version = None if known is None else known.version
        template = self._templates.get((topic, event_type, None, version))
        if template is None:
            if not is_checked(event_type):
                raise TypeError(event_type)
            template = self._new_template(topic, event_type, None, version)
        return template

    def _new_template(
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


def _check_key(event_type: str, key: Key) -> None:
    if key is not None and not isinstance(key, _KEYS):
        raise TypeError(
            f"publishing {event_type}: key must be a str or bytes, "
            f"not {type(key).__name__}; write key=str(...)"
        )
