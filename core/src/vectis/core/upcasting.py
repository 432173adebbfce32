"""Old payloads made new: functions from one version of an event type to the next, in a chain.

What they are for: messages outlive the code that wrote them, in topics and among dead letters.
Which version a message has stands on the wire; which one is wanted, the class of a handler says.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from vectis.core.exceptions import PayloadError, VectisError
from vectis.core.subscription import APP, handler_name

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Upcaster", "Upcasters", "upcasts"]

Upcast = Callable[[dict[str, Any]], dict[str, Any]]

F = TypeVar("F", bound=Upcast)

_MARK = "__vectis_upcasts__"


@attrs.frozen(kw_only=True)
class Upcaster:
    """A function that makes a payload of one version one of the next.

    Args:
        name: The event type.
        from_version: The version it takes; it returns the next one.
        function: What is called with a payload of its own, and returns one.
        plugin: The owner's name.
    """

    name: str
    from_version: int
    function: Upcast
    plugin: str = APP

    def __str__(self) -> str:
        return f"{self.plugin}:{handler_name(self.function)}"


def upcasts(event_type: str, *, from_version: int) -> Callable[[F], F]:
    """Mark a function that makes a payload of one version of an event type one of the next.

    It is registered with `catalogue.register`, as classes are. The payload that it is given is its
    own to change, and what it returns is what the next version's class is made of.

    Args:
        event_type: The event type, such as `order.created`.
        from_version: The version that it takes, from 1; it returns version `from_version + 1`.

    Raises:
        VectisError: It is not a plain function of one payload, or the version is none.

    Example:
        >>> from vectis.core import upcasts
        >>> @upcasts("order.created", from_version=1)
        ... def name_the_currency(payload):
        ...     return {**payload, "currency": "EUR"}
    """

    def mark(function: F) -> F:
        where = f"@upcasts({event_type!r}, from_version={from_version!r}) on {function!r}"
        if type(from_version) is not int or from_version < 1:
            raise VectisError(f"{where}: that is no version; they count from 1")
        if not inspect.isfunction(function) or inspect.iscoroutinefunction(function):
            raise VectisError(f"{where}: an upcaster is a plain function, without `async`")
        try:
            inspect.signature(function).bind({})
        except TypeError as error:
            raise VectisError(f"{where}: it is called with a payload alone: {error}") from None
        made = Upcaster(name=event_type, from_version=from_version, function=function)
        setattr(function, _MARK, (*getattr(function, _MARK, ()), made))
        return function

    return mark


def upcasters_of(function: object) -> tuple[Upcaster, ...]:
    """Return what `@upcasts` said of a function, nothing when it said nothing."""
    found: tuple[Upcaster, ...] = getattr(function, _MARK, ())
    return found


class Upcasters:
    """The upcasters of one hub, by event type and version."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Upcaster] = {}

    def add(self, made: Upcaster) -> None:
        """Take one.

        Raises:
            VectisError: There is another for the same version.
        """
        known = self._known.setdefault((made.name, made.from_version), made)
        if known.function is not made.function:
            raise VectisError(
                f"{made} makes {made.name!r} of version {made.from_version} new, and so does "
                f"{known}: one of them is too many"
            )

    def of(self, name: str) -> Iterator[Upcaster]:
        """Yield those of an event type, from the oldest version."""
        for key in sorted(key for key in self._known if key[0] == name):
            yield self._known[key]

    def forget(self, plugin: str) -> None:
        """Drop those of a plugin."""
        self._known = {key: u for key, u in self._known.items() if u.plugin != plugin}

    def apply(self, name: str, payload: Any, version: int, wanted: int) -> Any:
        """Return a payload in a newer version; the one given is left as it is.

        Args:
            name: The event type.
            payload: The payload as it came.
            version: Its version.
            wanted: A newer one.

        Raises:
            PayloadError: An upcaster is missing on the way, or fails.
        """
        from vectis.core.jsontext import plain  # an application that only emits never needs it

        chain = [self._step(name, number, version, wanted) for number in range(version, wanted)]
        payload = plain(payload)  # a copy: other handlers have the same one
        for upcaster in chain:
            try:
                payload = upcaster.function(payload)
            except Exception as error:
                raise PayloadError(
                    f"{name} came in version {version}, and upcaster {upcaster} could not make "
                    f"version {upcaster.from_version + 1} of it: {type(error).__name__}: {error}"
                ) from error
            if not isinstance(payload, dict):
                raise PayloadError(
                    f"upcaster {upcaster} of {name} returned no payload but a "
                    f"{type(payload).__name__}"
                )
        return payload

    def _step(self, name: str, number: int, version: int, wanted: int) -> Upcaster:
        upcaster = self._known.get((name, number))
        if upcaster is None:
            raise PayloadError(
                f"{name} came in version {version}, version {wanted} is wanted, and nobody "
                f"makes version {number + 1} of version {number}: register a function with "
                f"@upcasts({name!r}, from_version={number}), then replay"
            )
        return upcaster
