"""The testing kit: the memory transport, and the contract that every transport must pass.

`vectis.core.testing.contract` needs pytest and is imported by its own name.
"""

from __future__ import annotations

from vectis.core.testing.memory import MemoryTransport

__all__ = ["MemoryTransport"]
