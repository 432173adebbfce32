"""What a consumer asks its reading thread for, and how the answer comes back to the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from vectis.core.message import Delivery, TopicPartition
    from vectis_sqlite._groups import Standing

__all__ = ["Fetch", "Found", "finish", "tell"]


@attrs.define(eq=False)
class Fetch:
    """A request for deliveries.

    Args:
        wanted: Partitions with their ids and the offsets to read from, the first in turn first.
        max_records: How many deliveries at most.
        deadline: When to give up waiting, on the monotonic clock.
        standing: The standing it was made under; a newer one ends it.
        future: Gets what was found, or None to look at the standing and ask again.
        interrupted: What is wanted has changed.
        answered: The future has its answer, or will have it in a moment.
    """

    wanted: Sequence[tuple[TopicPartition, int, int]]
    max_records: int
    deadline: float
    standing: Standing
    future: asyncio.Future[list[Found] | None]
    interrupted: bool = False
    answered: bool = False


class Found(NamedTuple):
    """What a fetch found in a partition.

    Args:
        where: The partition.
        wanted: The offset that was asked for.
        offset: The nearest one that could be read; another one means that some are missing.
        deliveries: From there on.
    """

    where: TopicPartition
    wanted: int
    offset: int
    deliveries: list[Delivery]


def finish(request: Fetch, answer: list[Found] | None, error: Exception | None = None) -> bool:
    """Answer a request, and say so."""
    request.answered = True
    tell(request.future, answer, error)
    return True


def tell(future: asyncio.Future[Any], answer: Any, error: Exception | None) -> None:
    """Answer whoever waits on an event loop, from the thread; one who is gone is left alone."""

    def settle() -> None:
        if future.done():
            return
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)

    try:
        future.get_loop().call_soon_threadsafe(settle)
    except RuntimeError:  # the loop has closed meanwhile: nobody waits there any more
        return
