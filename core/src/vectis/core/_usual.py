"""Binary mode as nearly every producer writes it, read in one pass.

What is out of the ordinary is not read here, nor judged: the answer is None, and `_decode` takes
the careful way, which reads the same, costs twice as much, and says what is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orjson import loads

from vectis.core._headers import said_by
from vectis.core._received import Envelope, Received, time_of
from vectis.core.events.event import Event
from vectis.core.jsontext import SHALLOW, from_json

if TYPE_CHECKING:
    from datetime import datetime

    from vectis.core._headers import Said
    from vectis.core.message import Delivery

Parts = tuple[str, Any, "Said", "datetime | None"]
"""The event type, the payload, and what the rest is made of. A plain tuple, for most handlers want
no more than the first two, and any class costs four times as much to make."""


def read_usual(delivery: Delivery, max_bytes: int) -> Received | None:
    """Return what a delivery in binary mode says, or None when it needs a closer look."""
    size = len(delivery.value or b"") + len(delivery.key or b"")
    parts = take_apart(delivery, size, max_bytes)
    return None if parts is None else Usual(parts)


def take_apart(delivery: Delivery, size: int, max_bytes: int) -> Parts | None:
    """Return what `Usual` takes, or None when the delivery needs a closer look.

    Everything is checked here; `Usual`, its event and its envelope are made of it when somebody
    asks for them.

    Args:
        delivery: The delivery.
        size: Bytes of its value and key.
        max_bytes: The most bytes of these, its topic and its headers together.
    """
    said, value = said_by(delivery._headers), delivery.value
    if not said:
        return None
    _, stated, _, more, moment = said
    if size + more + len(delivery.topic) > max_bytes:
        return None
    try:
        if moment is None:
            moment = time_of(delivery.timestamp)
        if not value:
            payload = None
        elif len(value) <= SHALLOW:
            payload = loads(value)
        else:
            payload = from_json(value)
    except ValueError:
        return None
    return stated.type, payload, said, moment


class Usual(Received):
    """What was read the quick way; event and envelope are made when they are first asked for."""

    __slots__ = ("parts",)

    def __init__(self, parts: Parts) -> None:
        self.type = parts[0]
        self.payload = parts[1]
        self.parts = parts

    @property
    def version(self) -> int | None:
        """The version of the event type, when the sender named it."""
        return self.parts[2][1].version

    def __getattr__(self, name: str) -> Any:
        # Python comes here only for a slot that is still empty (or a name that does not exist).
        if name == "instances":
            self.instances = {}
            return self.instances
        _, _, (layout, stated, own, _, _), time = self.parts
        if name == "event":
            said = {attribute: own[place].decode() for attribute, place in layout.own}
            self.event = Event.received(
                self.type,
                self.payload,
                id=said["id"],
                source=stated.source,
                user_id=said.get("userid") or None,
                time=time,
                correlation_id=said.get("correlationid") or None,
                causation_id=said.get("causationid") or None,
                version=stated.version,
            )
            return self.event
        if name == "envelope":
            extensions = {name: own[place].decode() for name, place in layout.others}
            trace = extensions.pop("traceparent", "") or None
            if stated.schema is not None:
                extensions["dataschema"] = stated.schema
            self.envelope = Envelope("binary", stated.version, trace, extensions)
            return self.envelope
        raise AttributeError(f"'Received' object has no attribute {name!r}")
