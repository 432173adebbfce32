"""Events to call handlers with, made up by Hypothesis from the event class of their type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from vectis.core.jsontext import plain

if TYPE_CHECKING:
    from vectis.core.catalogue import EventType

__all__ = ["CALLS", "Examples", "examples_of"]

CALLS = 3
"""How many events of a type a handler is called with."""


@attrs.frozen(kw_only=True)
class Examples:
    """A few events of one type.

    Args:
        name: The event type.
        version: That of the class they were made from.
        topic: Where events of the type travel; None when nobody says.
        payloads: Their data, as JSON values; nothing when they cannot be made up.
        why_not: Why they cannot.
    """

    name: str
    version: int = 1
    topic: str | None = None
    payloads: tuple[dict[str, Any], ...] = ()
    why_not: str = ""


def examples_of(known: EventType) -> Examples:
    """Make up events of a type, the same ones every time.

    Args:
        known: The type, with its class. Its module may be anybody's, so that nothing that goes
            wrong here is raised.

    Raises:
        ImportError: Hypothesis is not installed.

    Example:
        >>> import attrs
        >>> from vectis.core.catalogue import EventType
        >>> from vectis.core.conformance.examples import examples_of
        >>> @attrs.frozen
        ... class Happened:
        ...     number: int
        >>> examples_of(EventType(name="acme.happened", cls=Happened)).payloads[0]
        {'number': 0}
    """
    from vectis.core.testing.strategies import instances

    made, why_not = [], ""
    try:
        made = [plain(instance) for instance in _drawn(instances(known.cls))]
    except Exception as error:  # a class may have any types and validators
        why_not = f"{type(error).__name__}: {error}"
    return Examples(
        name=known.name,
        version=known.version,
        topic=known.topic,
        payloads=tuple(made),
        why_not=why_not,
    )


def _drawn(strategy: Any) -> list[Any]:
    from hypothesis import HealthCheck, Phase, given, settings

    found: list[Any] = []

    @settings(
        max_examples=CALLS,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(made: Any) -> None:
        found.append(made)

    collect()
    return found
