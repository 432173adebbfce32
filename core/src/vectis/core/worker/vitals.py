"""What the worker's loop notes about itself as it goes, for whoever looks from another thread.

Plain attributes, each written by the loop alone. Times are seconds of `monotonic`.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vectis.core.message import TopicPartition
    from vectis.core.worker.status import State

__all__ = ["Vitals"]


class Vitals:
    """The signs of life of one worker.

    Attributes:
        state: What it is about.
        began: When it was started.
        due: When the fetch that is under way should come back; 0.0 between two.
        fetched: When one last succeeded; 0.0 before.
        fetch_error: Why fetching fails now.
        lag: What lies behind the fetch position of each partition, when it was asked.
        lag_asked: When that was; 0.0 before.
        looked: When somebody last asked for the status; 0.0 before.
    """

    def __init__(self) -> None:
        self.state: State = "starting"
        self.began = monotonic()
        self.due = 0.0
        self.fetched = 0.0
        self.fetch_error = ""
        self.lag: Mapping[TopicPartition, int] = {}
        self.lag_asked = 0.0
        self.looked = 0.0

    def fetch_begins(self, timeout: float) -> None:
        """Note that a fetch is under way, and for how many seconds it may wait."""
        self.due = monotonic() + timeout

    def fetch_ended(self, error: str = "") -> None:
        """Note that it came back; with an error, the transport is away and the worker is not."""
        if not error:
            self.fetched = monotonic()
        self.due = 0.0
        self.fetch_error = error

    def hands_over(self) -> None:
        """Note that partitions are given up, in the middle of a fetch and for as long as it may."""
        self.due = 0.0
