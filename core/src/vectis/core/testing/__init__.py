"""The testing kit: isolated hubs, captured events, a worker that is pumped, the memory transport.

Each name is loaded on first use, so that the pytest plugin costs nothing where no test asks for its
fixtures. `contract` and `conformance`, suites of tests, need pytest and `strategies` needs
hypothesis; they are imported by their own names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vectis.core.testing.captured import Captured
    from vectis.core.testing.clock import FakeClock
    from vectis.core.testing.isolated import isolated_hub
    from vectis.core.testing.memory import MemoryTransport
    from vectis.core.testing.pumping import pump, run_worker

__all__ = ["Captured", "FakeClock", "MemoryTransport", "isolated_hub", "pump", "run_worker"]

_HOME = {
    "Captured": "captured",
    "FakeClock": "clock",
    "MemoryTransport": "memory",
    "isolated_hub": "isolated",
    "pump": "pumping",
    "run_worker": "pumping",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{home}"), name)
