"""The in-process fact: `Event`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from vectis.core.events.identity import new_id

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Event"]


class Event:
    """A fact: what happened, its data, and where it came from. Its attributes cannot be set.

    A plain slots class, because one is made for every emit: attrs would cost three times as much.
    `id`, `time` and `correlation_id` are made when they are first asked for.

    Args:
        type: What happened: segments joined by dots, such as `order.created`.
        data: The payload, a dict; empty when left out.
        source: Who says so, such as `product_service`.
        user_id: On whose behalf.
        id: Unique; a UUID unless given. The same id means the same event, also on a retry.
        time: When it happened, an aware datetime; now unless given.
        correlation_id: Shared by everything that follows from one first event; nested emits inherit
            it, a first event's is its own id.
        causation_id: The id of the event whose handler emitted this one, or None.
        version: Which version of its type the data is of, written on the wire when the event is
            published; None for the newest one that is known here.

    Raises:
        TypeError: `type` is no string or `data` is no dict.
        ValueError: `type` is empty or a pattern, has an empty segment or white space: no
            subscription could name it. Or `version` is no whole number from 1.

    Example:
        >>> from vectis.core.events import Event
        >>> event = Event(type="order.created", data={"order_id": 7}, source="shop")
        >>> event
        Event(type='order.created', source='shop', user_id=None)
        >>> event.id == event.id, event.correlation_id == event.id, event.causation_id
        (True, True, None)
    """

    __slots__ = (
        "causation_id",
        "correlation_id",
        "data",
        "id",
        "source",
        "time",
        "type",
        "user_id",
        "version",
    )

    type: str
    data: dict[str, Any]
    source: str | None
    user_id: Any
    id: str
    time: datetime
    correlation_id: str
    causation_id: str | None
    version: int | None

    def __init__(
        self,
        type: str,
        data: dict[str, Any] | None = None,
        source: str | None = None,
        user_id: Any = None,
        *,
        id: str | None = None,
        time: datetime | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        version: int | None = None,
    ) -> None:
        if type.__class__ is not str or type not in _checked:
            type = _type_of(type)
        if data is None:
            data = {}
        elif not isinstance(data, dict):
            raise TypeError(
                f"Event({type!r}): data must be a dict of names and values, "
                f"not {data.__class__.__name__}{_dict_of(data)}"
            )
        _set_type(self, type)
        _set_data(self, data)
        _set_source(self, source)
        _set_user_id(self, user_id)
        # Unset slots mean "made when asked for", see __getattr__.
        if id is not None:
            _set_id(self, id)
        if time is not None:
            _set_time(self, time)
        if correlation_id is not None:
            _set_correlation_id(self, correlation_id)
        if causation_id is not None:
            _set_causation_id(self, causation_id)
        if version is not None:
            _set_version(self, check_version(type, version))

    @classmethod
    def received(
        cls,
        type: str,
        payload: Any,
        *,
        id: str,
        source: str | None = None,
        user_id: Any = None,
        time: datetime | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        version: int | None = None,
    ) -> Event:
        """Make the event of a delivery: its data is the payload as it came, any JSON value.

        Other producers may send a list, a number or nothing; only an event made here must have a
        dict.
        """
        event: Any = object.__new__(Unsealed)
        event.type = type  # as it came: nobody here may be able to subscribe to it
        event.data = payload
        event.source = source
        event.user_id = user_id
        event.id = id
        if time is not None:
            event.time = time
        if correlation_id is not None:
            event.correlation_id = correlation_id
        if causation_id is not None:
            event.causation_id = causation_id
        if version is not None:
            event.version = version
        event.__class__ = cls
        sealed: Event = event
        return sealed

    def __getattr__(self, name: str) -> Any:
        # Python comes here only for a slot that is still empty (or a name that does not exist).
        if name == "id":
            value: Any = new_id()
            _set_id(self, value)
        elif name == "time":
            from datetime import UTC, datetime

            value = datetime.now(UTC)
            _set_time(self, value)
        elif name == "correlation_id":
            value = self.id  # not stored: emitted from a handler later on, it takes that event's
        elif name == "causation_id" or name == "version":
            value = None
        else:
            raise AttributeError(f"'Event' object has no attribute {name!r}")
        return value

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"an event is a fact and cannot be changed: use event.replace({name}=...)"
        )

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"an event is a fact and cannot be changed: {name} stays")

    def replace(self, **changes: Any) -> Event:
        """Return a copy with other values; it keeps its id, as it is the same event.

        Raises:
            TypeError: A name that an event does not have, or a value that it refuses.

        Example:
            >>> from vectis.core.events import Event
            >>> event = Event("order.created", {"order_id": 7})
            >>> event.replace(source="shop").id == event.id
            True
        """
        values = self._values()
        if "type" in changes:
            values.pop("version", None)  # it was one of the other type
        event = Event(**{**values, "type": "copy", **changes})
        if "type" not in changes:
            _set_type(event, self.type)
        return event

    __replace__ = replace

    def follow(self, cause: Event) -> None:
        """Take correlation and causation from the event whose handler caused this one.

        Values that this event already has stay. Called by the bus and on publishing.
        """
        if cause is self:
            return
        try:
            _get_correlation_id(self)
        except AttributeError:
            _set_correlation_id(self, cause.correlation_id)
        try:
            _get_causation_id(self)
        except AttributeError:
            _set_causation_id(self, cause.id)

    def __repr__(self) -> str:
        # Never the data: reprs end up in logs, and payloads do not belong there.
        return f"Event(type={self.type!r}, source={self.source!r}, user_id={self.user_id!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._values(),)

    def _values(self) -> dict[str, Any]:
        # A copy is the same event, so it gets id and time; correlation and causation stay open
        # until the event is emitted from a handler.
        values = {name: getattr(self, name) for name in ("id", "time")}
        for name, getter in _GETTERS.items():
            with suppress(AttributeError):
                values[name] = getter(self)
        return values


class Unsealed(Event):
    """An event that is being filled in; its class becomes `Event` when it is complete.

    For deliveries, of which there are many: it costs a third of what the setters below do.
    """

    __slots__ = ()
    # Both of object's own, or Python would not store straight into the slots.
    __setattr__ = object.__setattr__  # type: ignore[assignment]  # its parameters have other names
    __delattr__ = object.__delattr__


def is_checked(type: object) -> bool:
    """Tell whether an event of this type was made before, so that its name needs no look.

    Example:
        >>> from vectis.core.events import Event
        >>> from vectis.core.events.event import is_checked
        >>> is_checked(Event("order.created").type), is_checked("order created")
        (True, False)
    """
    return type.__class__ is str and type in _checked


def check_version(event_type: str, version: int) -> int:
    """Return the version of an event type, or say why it is none.

    Raises:
        ValueError: It is no whole number from 1.

    Example:
        >>> from vectis.core.events.event import check_version
        >>> check_version("order.created", 2)
        2
    """
    if version.__class__ is not int or version < 1:
        raise ValueError(f"{event_type}: version={version!r} is none; they count from 1")
    return version


def _type_of(type: object) -> str:
    """Check a type that was not seen before, and remember it."""
    if type == "":
        raise ValueError("Event(type=''): an event needs a type, such as 'order.created'")
    if not isinstance(type, str):
        raise TypeError(
            f"Event(type=...): the type must be a string, not {type.__class__.__name__}"
        )
    text = str.__str__(type)  # a member of an enum of strings
    if "*" in text or "" in text.split(".") or text.split() != [text]:
        raise ValueError(
            f"Event(type={text!r}): no subscription could name this type: segments without white "
            "space are joined by dots, as in 'order.created', and '*' is for patterns"
        )
    if len(_checked) >= _BOUND:
        _checked.clear()
    _checked.add(text)
    return text


def _dict_of(data: object) -> str:
    """Return how an instance of an event class becomes data, to be put behind an error."""
    if data.__class__.__module__ == "builtins":
        return ""
    return (
        "; of an instance of an event class, vectis.core.catalogue.event_of(instance).data is one"
    )


_BOUND = 1024  # types come from code, this only stops a leak
_checked: set[str] = set()


def _restore(values: dict[str, Any]) -> Event:
    event = Event("restored")
    for name, value in values.items():
        _SETTERS[name](event, value)
    return event


# The slots' own setters: the one way past __setattr__, and faster than object.__setattr__.
_SETTERS = {name: Event.__dict__[name].__set__ for name in Event.__slots__}
_set_type = _SETTERS["type"]
_set_data = _SETTERS["data"]
_set_source = _SETTERS["source"]
_set_user_id = _SETTERS["user_id"]
_set_id = _SETTERS["id"]
_set_time = _SETTERS["time"]
_set_correlation_id = _SETTERS["correlation_id"]
_set_causation_id = _SETTERS["causation_id"]
_set_version = _SETTERS["version"]
_GETTERS = {name: Event.__dict__[name].__get__ for name in Event.__slots__}
_get_correlation_id = _GETTERS["correlation_id"]
_get_causation_id = _GETTERS["causation_id"]
