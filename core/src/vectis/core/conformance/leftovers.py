"""What a process has open and running: compared before and after, it shows what was left behind."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["descriptors", "threads"]

_PATIENCE = 2.0  # seconds that a thread, told to end, may take for it


def descriptors() -> dict[int, str]:
    """Return what is open, by number: files and sockets; nothing where that cannot be told.

    Example:
        >>> from vectis.core.conformance.leftovers import descriptors
        >>> before = descriptors()
        >>> with open(__file__) as file:
        ...     len(descriptors()) - len(before) in (0, 1)
        True
    """
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return {}
    found = {}
    for entry in os.listdir(folder):  # noqa: PTH208 - numbers are wanted, and no paths
        with suppress(OSError):  # the folder itself was open while it was read
            found[int(entry)] = os.readlink(folder / entry)  # noqa: PTH115 - nothing of that name
    return found


def threads(known: set[threading.Thread]) -> list[threading.Thread]:
    """Return the threads beyond those known that do not end by themselves soon, but for core's."""
    deadline = time.monotonic() + _PATIENCE
    left = []
    for thread in threading.enumerate():
        if thread not in known and not thread.name.startswith("vectis"):
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                left.append(thread)
    return left
