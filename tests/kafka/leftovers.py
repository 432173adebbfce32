"""What aiokafka leaves behind when it is refused or stopped, cleaned away where it is expected."""

from __future__ import annotations

import asyncio
import gc
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

__all__ = ["leftovers", "run"]

PATIENCE = 60.0  # seconds

Result = TypeVar("Result")


@contextmanager
def leftovers() -> Iterator[None]:
    """Put up with connections that are not closed to the end when their event loop is.

    A refused TLS connection says goodbye in the background, and aiokafka waits for no goodbye; nor
    does it for a connection that it was about to make when it was stopped. Collected later, they
    would fail whichever test runs then.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            yield
        finally:
            gc.collect()


def run(job: Coroutine[Any, Any, Result], patience: float = PATIENCE) -> Result:
    """Run something with aiokafka to its end, and leave nothing behind.

    Args:
        job: What to run.
        patience: Seconds that it may take.
    """
    with leftovers():
        return asyncio.run(asyncio.wait_for(job, patience))
