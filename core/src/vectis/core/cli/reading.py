"""Opening a reader for a command: what keeps it from starting is the command's exit code 2."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from vectis.core.exceptions import ConfigError, HookError, TransportError
from vectis.core.reader import Reader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from vectis.core.hub import Hub

__all__ = ["reading"]


@asynccontextmanager
async def reading(
    hub: Hub, topics: Sequence[str], *, from_now: bool = False
) -> AsyncIterator[Reader]:
    """Give a reader of the topics, the hub started around it.

    Args:
        hub: Started and shut down.
        topics: The topics.
        from_now: Leave out what is there.

    Raises:
        ConfigError: There is no transport, it cannot be read, or a startup guard failed.
    """
    try:
        reader = await _started(hub, topics, from_now=from_now)
        try:
            yield reader
        finally:
            await reader.__aexit__(None, None, None)
    finally:
        await hub.shutdown()


async def _started(hub: Hub, topics: Sequence[str], *, from_now: bool) -> Reader:
    try:
        reader = Reader(hub, topics, from_now=from_now)
        await hub.startup()
        await reader.__aenter__()
    except (HookError, TransportError) as error:
        raise ConfigError(str(error)) from error
    return reader
