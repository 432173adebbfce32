"""Opening a hub or a reader for a command: what keeps it from starting is its exit code 2."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from vectis.core.exceptions import ConfigError, HookError, TransportError
from vectis.core.reader import Reader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from vectis.core.hub import Hub

__all__ = ["reading", "started"]


@asynccontextmanager
async def started(hub: Hub) -> AsyncIterator[Hub]:
    """Start a hub, and shut it down in the end.

    Raises:
        ConfigError: A startup guard failed.
    """
    try:
        try:
            await hub.startup()
        except HookError as error:
            raise ConfigError(str(error)) from error
        yield hub
    finally:
        await hub.shutdown()


@asynccontextmanager
async def reading(
    hub: Hub, topics: Sequence[str], *, from_now: bool = False, behind: str | None = None
) -> AsyncIterator[Reader]:
    """Give a reader of the topics.

    Args:
        hub: Started already.
        topics: The topics.
        from_now: Leave out what is there.
        behind: Leave out what this group has committed.

    Raises:
        ConfigError: There is no transport, or it cannot be read.
    """
    reader = await _opened(hub, topics, from_now=from_now, behind=behind)
    try:
        yield reader
    finally:
        await reader.__aexit__(None, None, None)


async def _opened(hub: Hub, topics: Sequence[str], *, from_now: bool, behind: str | None) -> Reader:
    try:
        return await Reader(hub, topics, from_now=from_now, behind=behind).__aenter__()
    except TransportError as error:
        raise ConfigError(str(error)) from error
