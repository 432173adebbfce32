"""What aiokafka leaves behind when it is refused, cleaned away where it is expected."""

from __future__ import annotations

import gc
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["leftovers"]


@contextmanager
def leftovers() -> Iterator[None]:
    """Put up with connections that are not closed to the end when their event loop is.

    A refused TLS connection says goodbye in the background, and aiokafka waits for no goodbye.
    Collected later, it would fail whichever test runs then.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            yield
        finally:
            gc.collect()
