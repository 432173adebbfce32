"""Public names of `vectis.core`, each loaded on first use.

Importing this package imports nothing else: `from vectis.core import hookimpl` costs pluggy, and
`from vectis.core.events import Event` costs not even that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vectis.core.catalogue import Catalogue, event_type
    from vectis.core.events import Event, event_bus, publish_event, publish_many, shutdown_producer
    from vectis.core.events.consumer import on_event
    from vectis.core.hookspecs import hookimpl
    from vectis.core.hub import Hub
    from vectis.core.marks import handles
    from vectis.core.settings import Config, secret
    from vectis.core.upcasting import upcasts

__all__ = [
    "Catalogue",
    "Config",
    "Event",
    "Hub",
    "event_bus",
    "event_type",
    "handles",
    "hookimpl",
    "on_event",
    "publish_event",
    "publish_many",
    "secret",
    "shutdown_producer",
    "upcasts",
]

_HOME = {
    "Catalogue": "catalogue",
    "Config": "settings",
    "Event": "events",
    "Hub": "hub",
    "event_bus": "events",
    "event_type": "catalogue",
    "handles": "marks",
    "hookimpl": "hookspecs",
    "on_event": "events.consumer",
    "publish_event": "events",
    "publish_many": "events",
    "secret": "settings",
    "shutdown_producer": "events",
    "upcasts": "upcasting",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
