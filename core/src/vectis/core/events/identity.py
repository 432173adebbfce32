"""New event ids: UUIDs of version 4, made without a system call for each."""

from __future__ import annotations

import os
from struct import iter_unpack

from vectis.core.forks import after_fork

__all__ = ["new_id"]

_BLOCK = 4096  # bytes; a call to the system may wait for other threads, one in 256 ids does

# What RFC 9562 fixes of a version 4 UUID, for a whole block at once.
_RANDOM = int.from_bytes(bytes.fromhex("ffffffffffff0fff3fffffffffffffff") * (_BLOCK // 16))
_FIXED = int.from_bytes(bytes.fromhex("00000000000040008000000000000000") * (_BLOCK // 16))

_unused: list[str] = []
after_fork(_unused.clear)  # a child that went on with its parent's ids would repeat them


def new_id() -> str:
    """Return a random UUID of version 4, as text.

    Example:
        >>> from uuid import UUID
        >>> from vectis.core.events.identity import new_id
        >>> UUID(new_id()).version
        4
    """
    try:
        return _unused.pop()  # atomic: no two threads get the same
    except IndexError:
        ids = _block()
        mine = ids.pop()
        _unused.extend(ids)
        return mine


def _block() -> list[str]:
    block = int.from_bytes(os.urandom(_BLOCK)) & _RANDOM | _FIXED
    digits = block.to_bytes(_BLOCK).hex().encode()
    return b" ".join(map(b"-".join, iter_unpack("8s4s4s4s12s", digits))).decode().split()
