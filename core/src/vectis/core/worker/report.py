"""What a worker did, in numbers and in one line."""

from __future__ import annotations

import attrs

__all__ = ["Report"]


@attrs.define
class Report:
    """Counts of one worker's run.

    Args:
        handled: Deliveries whose handlers all finished.
        skipped: Deliveries of a type that nobody handles, or whose handlers the config disabled.
        dead_lettered: Deliveries that were set aside.
        retried: Attempts that failed and were repeated.
        overlapping: Deliveries whose partition went to another member before they were finished or
            committed: cut off, though a plain handler still runs in its thread, or finished too
            late. The other member may have handled them at the same time.
        abandoned: Handlers cut off at the end, as `handler at topic/partition@offset`.
        uncommitted: Why the last commit failed; empty when it did not.
    """

    handled: int = 0
    skipped: int = 0
    dead_lettered: int = 0
    retried: int = 0
    overlapping: int = 0
    abandoned: list[str] = attrs.Factory(list)
    uncommitted: str = ""

    @property
    def clean(self) -> bool:
        """Whether everything that was begun was also finished and committed."""
        return not self.abandoned and not self.uncommitted

    def __str__(self) -> str:
        counts = (
            f"{self.handled} handled, {self.skipped} skipped, "
            f"{_counted(self.dead_lettered, 'dead letter', 'dead letters')}, "
            f"{_counted(self.retried, 'retry', 'retries')}"
        )
        if self.overlapping:
            counts += f", {self.overlapping} overlapping with another member"
        if self.uncommitted:
            counts += f"; progress not committed, it will come again: {self.uncommitted}"
        if self.abandoned:
            counts += f"; abandoned, it will come again: {', '.join(self.abandoned)}"
        return counts


def _counted(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
