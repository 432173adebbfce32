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

__all__ = ["refuse", "refuse_before_sending", "tell_too_large"]


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


async def tell_too_large(link: Link, one: Waiting, error: BaseException, until: float) -> None:
    """Tell somebody that their message is too large, and for what.

    Args:
        link: Where to ask what the topic takes.
        one: The message.
        error: What the broker said.
        until: When to tell it at the latest, in loop time.
    """
    message, answer, _ = one
    largest = None
    try:
        async with asyncio.timeout_at(until):
            largest = await largest_message(link, message.topic)
    except (TimeoutError, TransportError):
        pass  # this user may not ask, for instance
    finally:
        if not answer.done():
            answer.set_exception(unpublished(error, message.topic, message.size, largest))
