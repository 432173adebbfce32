"""Settling letters: what was done is noted where it cannot be committed yet, and committed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vectis.core.exceptions import PublishError, TransportError
from vectis.core.letters.hold import Hold, group_of
from vectis.core.letters.scan import scan
from vectis.core.letters.wire import StoredLetter, settled
from vectis.core.reader import Reader
from vectis.core.transport import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from vectis.core.hub import Hub
    from vectis.core.letters.shelf import Shelf, Waiting
    from vectis.core.letters.wire import How
    from vectis.core.message import Message

__all__ = ["progress", "purge", "settle"]


async def settle(hub: Hub, hold: Hold, shelf: Shelf, records: Sequence[Waiting], how: How) -> None:
    """Let records not come again.

    What lies above something that still waits cannot be committed: a note of it is appended.

    Args:
        hub: Its transport takes the notes.
        hold: Holds the partitions.
        shelf: What waits; the records are taken from it.
        records: What was replayed or given up.
        how: Which of it.

    Raises:
        TransportError: It could not be done, and it is time to end; they come again.
    """
    for record in records:
        shelf.settle(record)
    for record in records:
        if not shelf.passed(record):
            key = record.letter.delivery.key if isinstance(record, StoredLetter) else None
            note = settled(record, shelf.group, how, key)
            await hold.insist(lambda note=note: _send(hub, note), "what was done is not noted")  # type: ignore[misc]  # mypy cannot type the default of a lambda
    await progress(hold, shelf)


async def progress(hold: Hold, shelf: Shelf) -> None:
    """Commit as far as the letters are settled.

    Raises:
        LeaseLost: Another member took a partition over.
        TransportError: It does not work, and it is time to end.
    """
    more = True
    while more:  # a note can be passed once its letter has been
        positions = shelf.positions
        await hold.commit(positions)
        more = shelf.stored(positions)


async def _send(hub: Hub, message: Message) -> None:
    offer = hub.routing.offer(Route("service", message.topic))
    if offer is None:
        raise TransportError(f"no transport offers to carry {message.topic}")
    try:
        async with asyncio.timeout(hub.hub_settings.publish_timeout):
            await offer.carrier.send(message)
    except TimeoutError:
        raise PublishError(
            f"{message.topic}: no answer within {hub.hub_settings.publish_timeout:g} s",
            fate="unknown",
        ) from None


async def purge(
    hub: Hub,
    group: str,
    topics: Sequence[str],
    ids: Collection[str],
    note: Callable[[str], None],
) -> int:
    """Let letters not come again, though nobody handled them; they stay in the topic.

    Args:
        hub: Its transport is used.
        group: The group whose letters they are.
        topics: The dead-letter topics that they lie on.
        ids: Their ids.
        note: Called with a sentence when there is something to wait for.

    Returns:
        How many were waiting still.

    Raises:
        Busy: A replay or another purge of the group is at work.
        TransportError: The transport failed; running it again goes on.
    """
    await hub.startup()
    async with Reader(hub, topics, behind=group_of(group)) as reader:
        shelf = await scan(reader, group)
    concerned = {record.where.topic for record in shelf.waiting if record.id in ids}
    wanted = frozenset(where for where in shelf.positions if where.topic in concerned)
    if not wanted:
        return 0
    async with Hold(hub, group, wanted, asyncio.Event(), note) as hold:
        async with Reader(hub, topics, behind=group_of(group)) as reader:
            shelf = await scan(reader, group)
        given_up = [record for record in shelf.waiting if record.id in ids]
        async with hold.busy:
            await settle(hub, hold, shelf, given_up, "purged")
        async with Reader(hub, topics, behind=group_of(group)) as reader:
            await progress(hold, await scan(reader, group))  # past the notes
    return len(given_up)
