"""Ends the worker when the demo is gone, however it went: a SIGKILL leaves no time to say so.

The demo holds the other end of the worker's standard input and never writes to it.
"""

from __future__ import annotations

import os
import signal
from threading import Thread

__all__ = ["VARIABLE", "follow"]

VARIABLE = "DEMO_HOLDS_STDIN"
"""Set by the demo; without it standard input is nobody's business."""


def follow() -> None:
    """Ask this process to end as soon as the demo's end of standard input closes."""
    if os.environ.get(VARIABLE):
        Thread(target=_wait, name="demo-leash", daemon=True).start()


def _wait() -> None:
    # os.read, because a daemon thread inside sys.stdin would hold its lock at the end of Python.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
