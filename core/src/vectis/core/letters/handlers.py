"""Who is to be called for a letter, or why nobody can be. Nothing is called here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectis.core.codec import decode
from vectis.core.exceptions import DecodeError
from vectis.core.quarantine import quarantined
from vectis.core.redact import one_line
from vectis.core.subscription import by_priority

if TYPE_CHECKING:
    from vectis.core.hub import Hub
    from vectis.core.letters.wire import StoredLetter
    from vectis.core.subscription import Subscription

__all__ = ["Stays", "absence", "handlers_of"]


class Stays(Exception):
    """A letter cannot be replayed now and stays where it is; the message says why."""


def handlers_of(letter: StoredLetter, hub: Hub) -> dict[str, tuple[Subscription, ...]]:
    """Return the handlers that a replay calls, per event type: the one that failed.

    A letter that never reached a handler, because it could not be decoded, is for all handlers of
    its type.

    Args:
        letter: The letter, with its value.
        hub: Its handlers and plugins, the application's modules imported.

    Raises:
        Stays: The handler is gone, renamed, disabled, or its plugin is not loaded; or there is
            nobody for the type.
    """
    wanted = letter.letter.handler
    delivery = letter.letter.delivery
    try:
        event_type = decode(delivery, max_bytes=hub.hub_settings.max_message_bytes).type
    except DecodeError as error:
        why = str(error).removeprefix(f"{one_line(delivery.place)}: ")
        raise Stays(f"it cannot be decoded: {why}") from None
    consuming = by_priority(s for s in hub.subscriptions if s.scope == "service")
    if not wanted:
        return {event_type: _all_of(event_type, consuming, hub)}
    why = absence(wanted, hub)
    if why:
        raise Stays(why)
    named = [s for s in consuming if s.id == wanted]
    fitting = [s for s in named if s.pattern == event_type]
    enabled = tuple(s for s in fitting if s.enabled)
    if enabled:
        return {event_type: enabled}
    if fitting:
        raise Stays(_disabled(fitting[0]))
    raise Stays(f"handler {wanted} does not handle {one_line(event_type, 100)} any more")


def absence(wanted: str, hub: Hub) -> str:
    """Say why nobody could call a handler for a letter, whatever its type; empty when one could.

    Args:
        wanted: The handler that the letter names.
        hub: Its handlers and plugins, the application's modules imported.

    Example:
        >>> from vectis.core import Hub
        >>> from vectis.core.letters.handlers import absence
        >>> absence("app:sync", Hub({}, discover=False))[:34]
        'there is no handler app:sync here:'
    """
    named = [s for s in hub.subscriptions if s.scope == "service" and s.id == wanted]
    if not named:
        return _absent(wanted, hub)
    return "" if any(s.enabled for s in named) else _disabled(named[0])


def _disabled(handler: Subscription) -> str:
    return f"handler {handler.id} is disabled ({handler.note})"


def _all_of(event_type: str, consuming: list[Subscription], hub: Hub) -> tuple[Subscription, ...]:
    broken = [plugin.name for plugin in quarantined(hub, tolerated=False)]
    if broken:
        # One of their handlers might be for this type, and would miss it for good.
        raise Stays(
            f"it is for all handlers of {one_line(event_type, 100)}, and plugins are in "
            f"quarantine: {', '.join(broken)}; mend or disable them, see `vectis doctor`"
        )
    found = tuple(s for s in consuming if s.pattern == event_type and s.enabled)
    if not found:
        raise Stays(f"there is no handler of {one_line(event_type, 100)} here")
    return found


def _absent(wanted: str, hub: Hub) -> str:
    owner = wanted.partition(":")[0]
    for plugin in hub.plugins:
        if plugin.name != owner or plugin.state == "loaded":
            continue
        if plugin.state == "disabled":
            return f"plugin {owner}, which has its handler {wanted}, is disabled: {plugin.reason}"
        return (
            f"plugin {owner}, which has its handler {wanted}, is in quarantine: "
            f"{one_line(plugin.reason)}"
        )
    return (
        f"there is no handler {wanted} here: it was renamed or removed, or its module is not named "
        "with --module or in [consumer] modules; `vectis handlers` lists those there are"
    )
