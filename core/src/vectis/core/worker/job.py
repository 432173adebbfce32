"""One delivery on its way through its handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from vectis.core.codec import Received
    from vectis.core.dead_letter import DeadLetter
    from vectis.core.events import Event
    from vectis.core.message import Delivery
    from vectis.core.outcome import HandlerFailure
    from vectis.core.subscription import Subscription
    from vectis.core.worker.partition import Partition
    from vectis.core.worker.watermark import Held

__all__ = ["Job"]


class Job:
    """A delivery, what has become of it so far, and what is next.

    A plain slots class, because there is one for every delivery. It is also the frame that
    `current` holds while one of its handlers runs.

    Args:
        delivery: The delivery.
        partition: The partition it came from, in this assignment of it.
        held: Its place above the watermark.
        lane: Its lane; None when it keeps no order with anything.
    """

    __slots__ = (
        "attempt",
        "delivery",
        "done",
        "failures",
        "finished",
        "handler",
        "held",
        "lane",
        "letter",
        "partition",
        "received",
        "set_aside",
        "started",
        "tries",
    )

    def __init__(
        self, delivery: Delivery, partition: Partition, held: Held, lane: Hashable | None
    ) -> None:
        self.delivery = delivery
        self.partition = partition
        self.held = held
        self.lane = lane
        self.received: Received | None = None  # decoded when it first runs
        self.handler = 0  # the number of the handler that is next
        self.attempt = 1  # of that handler
        self.letter: DeadLetter | None = None  # to be written before anything else
        self.tries = 0  # of writing it
        self.set_aside = False
        self.started = 0.0
        self.finished = False
        self.done: tuple[Subscription, ...] = ()
        self.failures: tuple[HandlerFailure, ...] = ()

    @property
    def event(self) -> Event | None:
        """The delivery's event, for correlation of what its handlers emit and publish."""
        return None if self.received is None else self.received.event
