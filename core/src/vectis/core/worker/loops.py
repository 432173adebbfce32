"""The event loop that a worker's own process runs on."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal

from vectis.core.exceptions import ConfigError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

__all__ = ["loop_factory"]


def loop_factory(name: Literal["asyncio", "uvloop"]) -> Callable[[], AbstractEventLoop] | None:
    """Return what makes the event loop, as `asyncio.Runner` takes it; None is asyncio's own.

    Args:
        name: The `event_loop` of the `[consumer]` settings.

    Raises:
        ConfigError: It is not installed, or does not import.

    Example:
        >>> from vectis.core.worker.loops import loop_factory
        >>> print(loop_factory("asyncio"))
        None
    """
    if name == "asyncio":
        return None
    try:
        made: Callable[[], AbstractEventLoop] = import_module(name).new_event_loop
    except ImportError as error:
        raise ConfigError(
            f'[consumer] event_loop, or VECTIS_CONSUMER_EVENT_LOOP, is "{name}", which does not '
            f"import here: {error}. Install it with `pip install {name}`, or take the setting out"
        ) from error
    return made
