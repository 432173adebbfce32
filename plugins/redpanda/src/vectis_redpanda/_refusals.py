"""Messages that a broker, or a limit here, has refused: who sends again, and who is told what.

Nothing here sends; what may be sent again goes back to the front of its queue.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from vectis.core.dead_letter import SUFFIX as DEAD_LETTERS
from vectis.core.exceptions import PublishError, TransportError
from vectis_redpanda._faults import BLAMED, DISPLACED, TOO_LARGE, unpublished
from vectis_redpanda._topics import largest_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectis_redpanda._link import Link
    from vectis_redpanda._queues import PartitionQueue, Waiting

__all__ = ["look_for_room", "refuse", "refuse_before_sending", "tell_too_large"]


def refuse_before_sending(
    topic: str, taken: Sequence[Waiting], batch: Any, largest: int
) -> PublishError | None:
    """Return why a batch must not be sent; None when it may.

    Args:
        topic: Where it would go.
        taken: The messages in it.
        batch: It, as aiokafka has it.
        largest: Bytes that one message may take.
    """
    # What exceeds the size of a batch has one of its own. A dead letter is larger than what it
    # holds, and must not be lost: only the broker refuses one.
    size = batch.size()
    if len(taken) != 1 or size <= largest or topic.endswith(DEAD_LETTERS):
        return None
    return PublishError(
        f"{topic}: the message takes {size:,} bytes, and [redpanda] max_request_size "
        f"allows {largest:,}; nothing was sent. Send a reference to the data instead, or raise it "
        "here and max.message.bytes of the topic",
        fate="rejected",
    )


def refuse(queue: PartitionQueue, taken: Sequence[Waiting], error: BaseException) -> Waiting | None:
    """See to the messages of a batch that was not written.

    A batch that is refused for what may be one of its messages is sent again in smaller ones, until
    that message is alone.

    Returns:
        The message that is too large for the topic, and is to be told so; None without one.
    """
    if isinstance(error, DISPLACED):
        queue.put_back(taken)
    elif isinstance(error, BLAMED) and len(taken) > 1:
        queue.shrink(taken)
        queue.put_back(taken)
    elif isinstance(error, TOO_LARGE):
        queue.refused = 0  # it was this one
        return taken[0]
    else:
        queue.refused = 0
        for message, answer, _ in taken:
            if not answer.done():
                answer.set_exception(unpublished(error, queue.topic, message.size))
    return None


async def look_for_room(link: Link, topic: str, until: float) -> int | None:
    """Return how many bytes a message of a topic may have; None when nobody says so.

    Args:
        link: Where to ask.
        topic: The topic's name.
        until: How long to wait for the answer, in loop time.
    """
    try:
        async with asyncio.timeout_at(until):
            return await largest_message(link, topic)
    except (TimeoutError, TransportError):
        return None  # this user may not ask, for instance


def tell_too_large(one: Waiting, error: BaseException, looked: asyncio.Task[int | None]) -> None:
    """Tell somebody that their message is too large, and for what if that was found out.

    Args:
        one: The message.
        error: What the broker said.
        looked: The end of `look_for_room`, however that came.
    """
    message, answer, _ = one
    found = not looked.cancelled() and looked.exception() is None
    largest = looked.result() if found else None
    if not answer.done():
        answer.set_exception(unpublished(error, message.topic, message.size, largest))
