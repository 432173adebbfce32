"""One line of `vectis doctor`."""

from __future__ import annotations

from typing import Literal

import attrs

from vectis.core.redact import one_line

__all__ = ["Check", "Status", "briefly"]

Status = Literal["ok", "warn", "fail"]


@attrs.frozen
class Check:
    """What one question came to.

    Args:
        name: What was looked at.
        status: `ok`, `warn` or `fail`.
        message: What was found.
        remedy: What to do; empty when there is nothing to do.
    """

    name: str
    status: Status
    message: str
    remedy: str = ""


def briefly(cause: object) -> str:
    """Return the text of an error at a length for a check: it may quote a server's whole answer."""
    return one_line(str(cause), limit=500)
