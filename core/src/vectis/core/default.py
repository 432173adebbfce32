"""The one default hub behind the functions of `vectis.core.events`: made on first use.

Nothing heavy is imported until then, so that importing the façade stays cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectis.core.forks import ForkSafeLock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vectis.core.hub import Hub

__all__ = ["default_hub", "existing_hub", "use_hub", "when_changed"]

_lock = ForkSafeLock()
_hub: Hub | None = None
_watchers: list[Callable[[], None]] = []


def default_hub(observers: Sequence[object] = ()) -> Hub:
    """Return the default hub; the first call makes it, and it adopts what was registered so far.

    Args:
        observers: Given to the hub that this call makes.

    Raises:
        RuntimeError: There are observers, and the hub was made before without them.
    """
    hub = _hub
    if hub is not None and not observers:
        return hub  # without the lock, for every publish asks
    with _lock:
        if _hub is None:
            from vectis.core.hub import Hub

            use_hub(Hub(observers=observers))
        elif observers:
            raise RuntimeError(
                "the default hub is there already and takes no more observers: give them to "
                "`Hub(observers=...)`, or let nothing use the hub before"
            )
        assert _hub is not None
        return _hub


def existing_hub() -> Hub | None:
    """Return the default hub if it has been made."""
    return _hub


def use_hub(hub: Hub | None) -> Hub | None:
    """Make a hub the default one, for frameworks and tests, and return the one before.

    Args:
        hub: Adopts what was registered so far; None: the next use makes a new hub.
    """
    global _hub
    from vectis.core.marks import registry

    with _lock:
        registry.adopt(hub)
        before, _hub = _hub, hub  # not before it has everything: others look without the lock
        for changed in _watchers:
            changed()
    return before


def when_changed(changed: Callable[[], None]) -> None:
    """Have something called whenever another hub becomes the default one."""
    _watchers.append(changed)
