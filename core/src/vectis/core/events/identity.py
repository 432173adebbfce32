"""New event ids: UUIDs of version 4, made without a system call for each."""

from __future__ import annotations

import os
from struct import iter_unpack

from vectis.core.forks import after_fork

__all__ = ["new_id"]

# Bytes. A call to the system lets other threads go first, and getting the interpreter back from one
# that works takes milliseconds: one in 4,096 ids makes one. As many ids at a time would take one.
_POOL = 65_536
_BLOCK = 4_096

# What RFC 9562 fixes of a version 4 UUID, for a whole block at once.
_RANDOM = int.from_bytes(bytes.fromhex("ffffffffffff0fff3fffffffffffffff") * (_BLOCK // 16))
_FIXED = int.from_bytes(bytes.fromhex("00000000000040008000000000000000") * (_BLOCK // 16))

_unused: list[str] = []
_pool: list[bytes] = []
for _kept in (_unused, _pool):
    after_fork(_kept.clear)  # a child that went on with its parent's ids would repeat them


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
    try:
        random = _pool.pop()
    except IndexError:
        fresh = os.urandom(_POOL)
        blocks = [fresh[at : at + _BLOCK] for at in range(0, _POOL, _BLOCK)]
        random = blocks.pop()
        _pool.extend(blocks)
    block = int.from_bytes(random) & _RANDOM | _FIXED
    digits = block.to_bytes(_BLOCK).hex().encode()
    return b" ".join(map(b"-".join, iter_unpack("8s4s4s4s12s", digits))).decode().split()
