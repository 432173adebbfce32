"""`@on_event`, and `python -m vectis.core.events.consumer` to run what it marks.

The registry behind it lives elsewhere, because under `-m` a module exists twice.
"""

from vectis.core.marks import on_event

__all__ = ["on_event"]
