"""What an application publishes and handles, for other programs: AsyncAPI and JSON Schema.

The AsyncAPI document is of version 3.0: a channel for every topic and for its dead letters, a
message for every version of a type, an operation for every handler and for what plugins publish.
What AsyncAPI has no word for, such as the failure policy, stands in extensions `x-vectis-...`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vectis.core._cloudevents import SCHEMA
from vectis.core.dead_letter import PREFIX, topic_of
from vectis.core.entries import Entry, entries
from vectis.core.schemas import DIALECT, Schemas
from vectis.core.topics import topics_of_handler

if TYPE_CHECKING:
    from vectis.core.catalogue import EventType
    from vectis.core.hub import Hub
    from vectis.core.subscription import Subscription

__all__ = ["asyncapi", "json_schemas"]

Json = dict[str, Any]

_DEAD_LETTER = "dead-letter"
_NO_ID = re.compile(r"[^A-Za-z0-9_.-]")
_TEXT = {"type": "string"}


def json_schemas(hub: Hub) -> Json:
    """Return the JSON Schemas (2020-12) of all event types in one document, each under `$defs`.

    Args:
        hub: Its catalogue and its handlers are asked.

    Raises:
        SubscriptionError: A class has a type that JSON cannot hold.

    Example:
        >>> from vectis.core import Hub
        >>> from vectis.core.asyncapi import json_schemas
        >>> json_schemas(Hub({}, discover=False))["$defs"]
        {}
    """
    schemas = Schemas("#/$defs/")
    found = _bodies(entries(hub), schemas)
    return {"$schema": DIALECT, "$defs": {**schemas.named, **found}}


def asyncapi(hub: Hub, *, title: str | None = None, version: str = "1.0.0") -> Json:
    """Return an AsyncAPI 3.0 document of an application.

    Args:
        hub: Its catalogue, its handlers and its settings are asked.
        title: What the application is called; default: `[hub] source`.
        version: The version of the application.

    Raises:
        SubscriptionError: A class has a type that JSON cannot hold.

    Example:
        >>> from vectis.core import Hub
        >>> from vectis.core.asyncapi import asyncapi
        >>> asyncapi(Hub({"hub": {"source": "shop"}}, discover=False))["info"]["title"]
        'shop'
    """
    return _Document(hub).whole(title or hub.hub_settings.source or "vectis", version)


def _bodies(found: tuple[Entry, ...], schemas: Schemas) -> Json:
    return {
        _message_id(entry.name, version): schemas.body(version.cls)
        for entry in found
        for version in entry.versions
    }


def _message_id(name: str, version: EventType | None) -> str:
    return _id(name if version is None else f"{name}.v{version.version}")


def _id(text: str) -> str:
    return _NO_ID.sub("_", text)


class _Document:
    """The parts of one document, filled type by type."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._entries = entries(hub)
        self._schemas = Schemas("#/components/schemas/", draft_07=True)
        self._messages: Json = {}
        self._channels: Json = {}
        self._operations: Json = {}

    def whole(self, title: str, version: str) -> Json:
        bodies = _bodies(self._entries, self._schemas)
        for entry in self._entries:
            self._add(entry)
        return {
            "asyncapi": "3.0.0",
            "info": {"title": title, "version": version},
            "defaultContentType": "application/json",
            "channels": self._channels,
            "operations": self._operations,
            "components": {
                "messages": self._messages,
                "schemas": {**self._schemas.named, **bodies},
            },
            "x-vectis-bus": [_on_bus(s) for s in self._on_bus()],
        }

    def _on_bus(self) -> list[Subscription]:
        found = [s for s in self._hub.subscriptions if s.scope == "process" and s.enabled]
        return sorted(found, key=lambda s: s.priority)

    def _add(self, entry: Entry) -> None:
        ids = [_message_id(entry.name, version) for version in entry.versions or (None,)]
        for id, version in zip(ids, entry.versions or (None,), strict=True):
            self._messages[id] = _message(entry.name, version, id)
        for topic in entry.topics:
            self._channel(topic)["messages"].update(
                {id: {"$ref": f"#/components/messages/{id}"} for id in ids}
            )
        newest = entry.newest
        if entry.catalogued and newest is not None and newest.topic is not None:
            self._publishes(entry.name, newest, newest.topic)
        for handler in entry.consumers:
            self._handles(entry, handler)

    def _channel(self, topic: str) -> Json:
        channel: Json = self._channels.setdefault(topic, {"address": topic, "messages": {}})
        return channel

    def _publishes(self, name: str, newest: EventType, topic: str) -> None:
        id = _message_id(name, newest)
        self._channel(topic)["messages"].setdefault(id, {"$ref": f"#/components/messages/{id}"})
        self._operations[_id(f"publish.{name}")] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{topic}"},
            "messages": [{"$ref": f"#/channels/{topic}/messages/{id}"}],
            "x-vectis-plugin": newest.plugin,
            "x-vectis-forward": newest.forward,
        }

    def _handles(self, entry: Entry, handler: Subscription) -> None:
        topics = [source.topic for source in topics_of_handler(self._hub, handler)]
        for topic in topics or self._hub.consumer_settings.topics:
            ids = [_message_id(entry.name, version) for version in _taken(entry, handler)]
            messages = self._channel(topic)["messages"]
            for id in ids:
                messages.setdefault(id, {"$ref": f"#/components/messages/{id}"})
            self._operations[self._free(f"handle.{entry.name}.{handler.id}")] = {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{topic}"},
                "messages": [{"$ref": f"#/channels/{topic}/messages/{id}"} for id in ids],
                "x-vectis-handler": handler.id,
                "x-vectis-plugin": handler.plugin,
                "x-vectis-takes": handler.takes,
                "x-vectis-batch": handler.batch,
                "x-vectis-failure-policy": self._policy(topic),
            }
            self._sets_aside(topic)

    def _free(self, name: str) -> str:
        """Return an operation's id that no other has: a handler may be there more than once."""
        wanted = _id(name)
        number, id = 1, wanted
        while id in self._operations:
            number += 1
            id = f"{wanted}.{number}"
        return id

    def _policy(self, topic: str) -> Json:
        settings = self._hub.consumer_settings
        return {
            "order": settings.order,
            "max_attempts": settings.max_attempts,
            "retry_initial_seconds": settings.retry_initial,
            "retry_max_seconds": settings.retry_max,
            "on_exhausted": settings.on_exhausted,
            "dead_letter_topic": topic_of(topic),
            "dead_letters_per_minute": settings.dead_letters_per_minute,
        }

    def _sets_aside(self, topic: str) -> None:
        letters = topic_of(topic)
        self._messages[_DEAD_LETTER] = _dead_letter()
        self._channels[letters] = {
            "address": letters,
            "description": f"Deliveries of {topic} that a handler could not take.",
            "messages": {_DEAD_LETTER: {"$ref": f"#/components/messages/{_DEAD_LETTER}"}},
        }
        self._operations[_id(f"set-aside.{topic}")] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{letters}"},
            "messages": [{"$ref": f"#/channels/{letters}/messages/{_DEAD_LETTER}"}],
        }


def _taken(entry: Entry, handler: Subscription) -> tuple[EventType | None, ...]:
    """Return the versions that a handler is called for; the pair and the delivery take all."""
    if not entry.versions:
        return (None,)
    if handler.takes != "class":
        return entry.versions
    own = next(v.version for v in entry.versions if v.cls is handler.event_class)
    there = {upcaster.from_version for upcaster in entry.upcasters}
    older = [v for v in entry.versions if v.version <= own]
    return tuple(v for v in older if there.issuperset(range(v.version, own)))


def _message(name: str, version: EventType | None, id: str) -> Json:
    message: Json = {
        "name": name,
        "contentType": "application/json",
        "headers": _headers(name, version),
    }
    if version is None:
        return message
    message |= {
        "title": f"{name}, version {version.version}",
        "payload": {"$ref": f"#/components/schemas/{id}"},
        "x-vectis-plugin": version.plugin,
        "x-vectis-class": f"{version.cls.__module__}.{version.cls.__qualname__}",
    }
    if version.key is not None:
        about = f"The value of {version.key}; messages of one key keep their order."
        message["bindings"] = {"kafka": {"key": {**_TEXT, "description": about}}}
    return message


def _headers(name: str, version: EventType | None) -> Json:
    """Return the schema of the headers: CloudEvents 1.0, Kafka protocol binding, binary mode."""
    properties: Json = {
        "ce_specversion": {"const": "1.0"},
        "ce_type": {"const": name},
        "ce_id": _TEXT,
        "ce_source": _TEXT,
        "ce_time": {**_TEXT, "format": "date-time"},
        "ce_correlationid": _TEXT,
        "ce_causationid": _TEXT,
        "ce_userid": _TEXT,
        "ce_partitionkey": _TEXT,
        "content-type": {"const": "application/json"},
    }
    if version is not None:
        properties["ce_dataschema"] = {"const": f"{SCHEMA}{name}:v{version.version}"}
    required = ["ce_specversion", "ce_type", "ce_id", "ce_source"]
    return {"type": "object", "properties": properties, "required": required}


def _dead_letter() -> Json:
    always = ("group", "handler", "plugin", "error", "attempts", "topic", "partition", "offset")
    names = [f"{PREFIX}{name}" for name in always]
    return {
        "name": "vectis.dead_letter",
        "title": "A delivery that was set aside",
        "description": "Key, bytes and headers are the delivery's own; these headers say why.",
        "headers": {
            "type": "object",
            "properties": dict.fromkeys(names, _TEXT),
            "required": names,
        },
    }


def _on_bus(subscription: Subscription) -> Json:
    return {
        "handler": subscription.id,
        "plugin": subscription.plugin,
        "pattern": subscription.pattern,
        "priority": subscription.priority,
        "required": subscription.required,
        "timeout_seconds": subscription.timeout,
        "takes": subscription.takes,
    }
