"""What `vectis doctor` checks of a group: what waits for it, and which dead letters wait.

The topics are read from outside of the group: nothing is committed, and nobody's partitions move.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from vectis.core.cli.check import Check, briefly
from vectis.core.exceptions import TransportError
from vectis.core.letters.handlers import absence
from vectis.core.letters.hold import group_of
from vectis.core.letters.scan import scan
from vectis.core.letters.wire import StoredLetter
from vectis.core.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vectis.core.hub import Hub
    from vectis.core.letters.shelf import Waiting

__all__ = ["backlog", "letters"]

_ENOUGH = 10.0  # seconds; whoever runs doctor waits for it
_MOST = 10_000  # records that are read to be counted one by one
_SHOWN = 3  # handlers that are named

_LIST = "`vectis dlq list` shows them and why"
_REPLAY = f"{_LIST}, `vectis dlq replay` gives them to their handlers"
_REPLAY_SOME = f"{_LIST}, `vectis dlq replay` gives them to those of their handlers that are there"
_PURGE = "`vectis dlq show` shows one, `vectis dlq purge` lets go of them"


def letters(hub: Hub, group: str, topics: Sequence[str]) -> Iterator[Check]:
    """Tell how many dead letters wait for a group, and because of whom.

    Args:
        hub: Its transport carries; it is not started.
        group: The group.
        topics: The dead-letter topics.
    """
    try:
        waiting, unread = asyncio.run(_waiting(hub, group, topics))
    except (TransportError, TimeoutError) as error:
        yield _unreadable("dead letters", error)
        return
    if unread:
        yield Check("dead letters", "warn", f"up to {unread} wait for {group}", _REPLAY_SOME)
    elif waiting:
        yield Check("dead letters", "warn", _told(waiting, group), _remedy(hub, waiting))
    else:
        yield Check("dead letters", "ok", f"none wait for {group} on {', '.join(topics)}")


def backlog(hub: Hub, group: str, topics: Sequence[str]) -> Iterator[Check]:
    """Tell how many deliveries wait for a group.

    Args:
        hub: Its transport carries; it is not started.
        group: The group.
        topics: What it reads; nothing is told when that is not known.
    """
    if not topics:
        return
    try:
        ahead = asyncio.run(_ahead(hub, group, topics))
    except (TransportError, TimeoutError) as error:
        yield _unreadable("backlog", error)
        return
    if ahead:
        some = "1 delivery waits" if ahead == 1 else f"{ahead} deliveries wait"
        said = f"{some} for {group}, by their offsets"
        yield Check("backlog", "ok", said, "`vectis consume` handles them, unless it does already")
    else:
        yield Check("backlog", "ok", f"{group} has finished all that there is")


async def _waiting(hub: Hub, group: str, topics: Sequence[str]) -> tuple[list[Waiting], int]:
    """Return what waits, or the number of records when they are too many to be read."""
    async with (
        asyncio.timeout(_ENOUGH),
        Reader(hub, topics, behind=group_of(group)) as reader,
    ):
        ahead = await reader.ahead()
        return ([], ahead) if ahead > _MOST else ((await scan(reader, group)).waiting, 0)


async def _ahead(hub: Hub, group: str, topics: Sequence[str]) -> int:
    async with asyncio.timeout(_ENOUGH), Reader(hub, topics, behind=group) as reader:
        return await reader.ahead()


def _told(waiting: Sequence[Waiting], group: str) -> str:
    handlers = Counter(
        record.letter.handler or "no handler" if isinstance(record, StoredLetter) else "no worker"
        for record in waiting
    )
    by = [f"{count} of {handler}" for handler, count in handlers.most_common(_SHOWN)]
    if len(handlers) > _SHOWN:
        by.append("others")
    wait = "waits" if len(waiting) == 1 else "wait"
    return f"{len(waiting)} {wait} for {group}: {', '.join(by)}"


def _remedy(hub: Hub, waiting: Sequence[Waiting]) -> str:
    """Return what to do. A replay leaves those whose handler is gone, or that nobody can read."""
    named = Counter(
        one.letter.handler
        for one in waiting
        if isinstance(one, StoredLetter) and one.letter.handler
    )
    gone = {handler: why for handler in named if (why := absence(handler, hub))}
    there = len(named) > len(gone)
    said = [_REPLAY if there and not gone else _REPLAY_SOME if there else _LIST]
    if gone:
        said.append(_gone(gone))
    if named.total() < len(waiting):
        which = "those of no handler nobody can read" if named else "nobody can read them"
        said.append(f"{which}: {_PURGE}")
    return "; ".join(said)


def _gone(gone: Mapping[str, str]) -> str:
    if len(gone) == 1:
        ((handler, why),) = gone.items()
        return f"those of {handler} a replay leaves: {why}"
    names = ", ".join([*gone][:_SHOWN]) + " and others" * (len(gone) > _SHOWN)
    return (
        f"those of {names} a replay leaves, since these handlers are not there: "
        "`vectis dlq replay --dry-run` says why"
    )


def _unreadable(name: str, error: Exception) -> Check:
    why = briefly(error) or f"no answer within {_ENOUGH:g} s"
    return Check(name, "warn", f"they could not be counted: {why}", "see how the transport is")
