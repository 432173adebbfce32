"""How large scenarios are: in full, as `nox -s faults` runs them, or a short selection."""

from __future__ import annotations

import os

__all__ = ["FULL"]

FULL = os.environ.get("FAULT_FULL") == "1"
