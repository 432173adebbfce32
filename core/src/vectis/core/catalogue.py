"""The known event types: their classes and versions, topic and owner.

A class is described where it is written, with `@event_type`, and registered by its plugin. What the
catalogue decides: the topic that a consumed type arrives on, whether an emit is also published, and
whether a payload of another version can be made one that a class takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from vectis.core.events.event import Event
from vectis.core.exceptions import PayloadError, VectisError
from vectis.core.subscription import APP
from vectis.core.upcasting import Upcaster, Upcasters, upcasters_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Catalogue", "EventType", "event_of", "event_type"]

C = TypeVar("C", bound=type)


@attrs.frozen(kw_only=True)
class EventType:
    """One entry of the catalogue.

    Args:
        name: The event type, such as `order.created`.
        cls: The attrs class of its data.
        version: The version of its schema, from 1.
        topic: The topic it is published to; None when it stays in the process.
        forward: Publish it after an emit whose handlers passed. Never implied by `topic`.
        key: The field of the data whose value is the message's key.
        plugin: The owner's name.
    """

    name: str
    cls: type
    version: int = 1
    topic: str | None = None
    forward: bool = False
    key: str | None = None
    plugin: str = APP

    def key_of(self, data: dict[str, Any]) -> str | None:
        """Return the message key for an event's data, or None without a key field.

        Raises:
            VectisError: The data lacks the field: a silent None would lose the order.
        """
        if self.key is None:
            return None
        value = data.get(self.key)
        if value is None:
            raise VectisError(
                f"{self.name} is keyed by {self.key!r}, which its data does not have: "
                "add it, or change key= in @event_type"
            )
        return str(value)


def event_type(
    name: str,
    *,
    topic: str | None = None,
    version: int = 1,
    forward: bool = False,
    key: str | None = None,
) -> Callable[[C], C]:
    """Describe the attrs class below as the data of an event type.

    Args:
        name: The event type, such as `order.created`.
        topic: The topic it is published to. Naming one publishes nothing by itself.
        version: The version of its schema, from 1. A type may have a class for each version; what
            is published is the newest, and `@upcasts` makes old payloads new.
        forward: Publish every emit of this type too, after its handlers passed, never after a
            cancellation. Needs `topic`.
        key: The field whose value is the message's key, and with it decides the order.

    Raises:
        VectisError: `forward` without `topic`, a class that is not attrs, a version that is not a
            whole number from 1, or a key that is none.

    Example:
        >>> import attrs
        >>> from vectis.core import event_type
        >>> @event_type("order.created", topic="vectis.orders", key="order_id")
        ... @attrs.frozen
        ... class OrderCreated:
        ...     order_id: str
    """

    def check(cls: type) -> None:
        where = f"@event_type({name!r}) on {cls.__qualname__}"
        if not attrs.has(cls):
            raise VectisError(f"{where}: the class must be an attrs class; add @attrs.frozen below")
        if type(version) is not int or version < 1:
            raise VectisError(f"{where}: version={version!r} is none; they count from 1")
        if forward and topic is None:
            raise VectisError(f"{where}: forward=True needs a topic=")
        fields = [field.name for field in attrs.fields(cls)]
        if key is not None and key not in fields:
            raise VectisError(f"{where}: key={key!r} is no field; there are {', '.join(fields)}")

    def describe(cls: C) -> C:
        check(cls)
        made = EventType(name=name, cls=cls, version=version, topic=topic, forward=forward, key=key)
        setattr(cls, _MARK, made)
        return cls

    return describe


_MARK = "__vectis_event_type__"


def event_of(
    instance: Any, *, source: str | None = None, user_id: Any = None, id: str | None = None
) -> Event:
    """Make the event of an instance of a class described by `@event_type`.

    Its data is plain JSON values: dicts, lists, strings, numbers. Its version is that of the class,
    also when a newer one is known.

    Example:
        >>> import attrs
        >>> from vectis.core.catalogue import event_of, event_type
        >>> @event_type("order.created")
        ... @attrs.frozen
        ... class OrderCreated:
        ...     order_id: str
        >>> event_of(OrderCreated("7")).data
        {'order_id': '7'}
    """
    known = describe(type(instance))
    from vectis.core.jsontext import plain

    data = plain(instance)
    return Event(known.name, data, source, user_id, id=id, version=known.version)


def describe(cls: type) -> EventType:
    """Return what `@event_type` said of a class.

    Raises:
        VectisError: The class is not described.
    """
    found = described(cls)
    if found is None:
        raise VectisError(f"{cls.__qualname__} is no event class: add @event_type(...) above it")
    return found


def described(cls: type) -> EventType | None:
    """Return what `@event_type` said of this very class, None when it said nothing."""
    found: EventType | None = cls.__dict__.get(_MARK)
    return found


class Catalogue:
    """The event types that the plugins of one hub registered.

    Example:
        >>> import attrs
        >>> from vectis.core import Catalogue, event_type
        >>> @event_type("order.created", topic="vectis.orders")
        ... @attrs.frozen
        ... class OrderCreated:
        ...     order_id: str
        >>> catalogue = Catalogue()
        >>> catalogue.register(OrderCreated)
        >>> catalogue.topic_of("order.created")
        'vectis.orders'
    """

    def __init__(self) -> None:
        self._types: dict[tuple[str, int], EventType] = {}
        self._newest: dict[str, EventType] = {}
        self._upcasters = Upcasters()
        self.owner = APP

    def register(self, what: Any) -> None:
        """Add a class that `@event_type` describes, or a function that `@upcasts` marks.

        Raises:
            VectisError: Neither, another plugin has registered the type already, or there is
                another class or function of the same version.
        """
        if isinstance(what, type):
            self._add(attrs.evolve(describe(what), plugin=self.owner))
            return
        upcasters = upcasters_of(what)
        if not upcasters:
            raise VectisError(
                f"{what!r} is no event class and no upcaster: add @event_type(...) or "
                "@upcasts(...) above it"
            )
        for upcaster in upcasters:
            self._upcasters.add(attrs.evolve(upcaster, plugin=self.owner))

    def _add(self, made: EventType) -> None:
        known = self._types.get((made.name, made.version)) or self._newest.get(made.name)
        if known is not None and known.cls is not made.cls:
            both = (
                f"{made.plugin} ({_path_of(made.cls)}) is already registered by {known.plugin} "
                f"({_path_of(known.cls)})"
            )
            if known.plugin != made.plugin:
                raise VectisError(
                    f"event type {made.name!r} of {both}: rename one or disable a plugin"
                )
            if known.version == made.version:
                raise VectisError(
                    f"version {made.version} of event type {made.name!r} of {both}: give the newer "
                    f"one version={made.version + 1}"
                )
        self._types[made.name, made.version] = made
        self._sort()

    def _sort(self) -> None:
        self._newest = {name: self._types[name, version] for name, version in sorted(self._types)}

    def find(self, name: str) -> EventType | None:
        """Return the entry of an event type in its newest version, or None."""
        return self._newest.get(name)

    def versions(self, name: str) -> tuple[EventType, ...]:
        """Return the entries of an event type, from the oldest version to the newest."""
        return tuple(self._types[key] for key in sorted(self._types) if key[0] == name)

    def upcasters(self, name: str) -> tuple[Upcaster, ...]:
        """Return the upcasters of an event type, from the oldest version."""
        return tuple(self._upcasters.of(name))

    def upcast(self, payload: Any, version: int, cls: type) -> Any:
        """Return a payload of some version as one of a class's version.

        Args:
            payload: The payload as it came; it is left as it is.
            version: The version that the wire names.
            cls: The class that is wanted, described by `@event_type`.

        Raises:
            PayloadError: It is newer than the class, or an upcaster is missing or fails.
        """
        wanted = describe(cls)
        if version == wanted.version:
            return payload
        if version < wanted.version:
            return self._upcasters.apply(wanted.name, payload, version, wanted.version)
        newest = self._newest.get(wanted.name, wanted)
        if version <= newest.version:
            raise PayloadError(
                f"{wanted.name} came in version {version}, and the handler takes "
                f"{cls.__qualname__}, version {wanted.version}: let it take "
                f"{newest.cls.__qualname__}, version {newest.version}, then replay"
            )
        raise PayloadError(
            f"{wanted.name} came in version {version}, and the newest known here is version "
            f"{max(newest.version, wanted.version)}: upgrade what describes it "
            f"({_path_of(newest.cls)} of {newest.plugin}), then replay"
        )

    def topic_of(self, name: str) -> str | None:
        """Return the topic that an event type is published to, or None."""
        known = self._newest.get(name)
        return known.topic if known else None

    @property
    def forwards(self) -> bool:
        """Whether any type is published after its emits."""
        return any(known.forward for known in self._newest.values())

    def forget(self, plugin: str) -> None:
        """Drop what a plugin registered; the loader does this when it quarantines one."""
        self._types = {key: t for key, t in self._types.items() if t.plugin != plugin}
        self._upcasters.forget(plugin)
        self._sort()

    def __iter__(self) -> Iterator[EventType]:
        """Yield the newest version of every type, by name."""
        return iter(tuple(self._newest.values()))

    def __len__(self) -> int:
        return len(self._newest)


def _path_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
