"""One delivery on its way through its handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectis.core._usual import Usual
from vectis.core.worker.watermark import Held

if TYPE_CHECKING:
    from collections.abc import Hashable

    from vectis.core._usual import Parts
    from vectis.core.codec import Received
    from vectis.core.dead_letter import DeadLetter
    from vectis.core.events import Event
    from vectis.core.message import Delivery
    from vectis.core.outcome import HandlerFailure
    from vectis.core.worker.partition import Partition

__all__ = ["Job", "Trouble"]


class Job(Held):
    """A delivery, its place above the watermark, and what is next for it.

    A plain slots class, because there is one for every delivery, with no more of them than every
    delivery needs. It is also the frame that `current` holds while one of its handlers runs.

    Args:
        delivery: The delivery; its `attempt` is that of the handler that is next.
        partition: The partition it came from, in this assignment of it.
        lane: Its lane; None when it keeps no order with anything.

    Attributes:
        read: What it says, in the form it was read in; None before that.
        handler: The number of the handler that is next.
        trouble: What went wrong; most deliveries have none.
        started: Seconds of `perf_counter`, when its first handler began; only where somebody wants
            to know how long it took.
    """

    __slots__ = (
        "delivery",
        "handler",
        "lane",
        "partition",
        "read",
        "started",
        "trouble",
    )

    started: float

    def __init__(self, delivery: Delivery, partition: Partition, lane: Hashable | None) -> None:
        self.offset = delivery.offset
        self.size = len(delivery.value or b"") + len(delivery.key or b"")
        self.finished = False
        self.delivery = delivery
        self.partition = partition
        self.lane = lane
        self.read: Received | Parts | None = None
        self.handler = 0
        self.trouble: Trouble | None = None

    @property
    def received(self) -> Received | None:
        """What the delivery says; None before it was decoded."""
        read = self.read
        if isinstance(read, tuple):
            read = self.read = Usual(read)
        return read

    @received.setter
    def received(self, received: Received) -> None:
        self.read = received

    @property
    def event(self) -> Event | None:
        """The delivery's event, for correlation of what its handlers emit and publish."""
        received = self.received
        return None if received is None else received.event


class Trouble:
    """What went wrong with a delivery so far.

    Args:
        letter: To be written before anything else; None when there is none to be.

    Attributes:
        tries: How often writing it failed.
        set_aside: The numbers of the handlers for which one was written.
        failures: Failed attempts, the last ones.
    """

    __slots__ = ("failures", "letter", "set_aside", "tries")

    def __init__(self, letter: DeadLetter | None = None) -> None:
        self.letter = letter
        self.tries = 0
        self.set_aside: set[int] = set()
        self.failures: tuple[HandlerFailure, ...] = ()
