"""One line of `vectis doctor`."""

from __future__ import annotations

from typing import Literal

import attrs

__all__ = ["Check", "Status"]

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
