"""What a run leaves behind, as data: publications, the log, the steps of workers, and findings.

What they have to fulfil is in `tests.faults.history`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Findings", "History", "Kind", "Problem", "Publication", "Record", "Step", "What"]

_SHOWN = 20

Kind = Literal[
    "lost",
    "duplicated",
    "redelivered",
    "swapped",
    "overlapped",
    "too early",
    "unfenced",
    "progress lost",
    "unassigned",
    "invented",
]

What = Literal[
    "assigned",  # offset: what was committed then
    "revoked",
    "started",
    "finished",
    "failed",
    "set aside",
    "committing",  # offset: the next one wanted
    "committed",
    "refused",
    "letter refused",
    "gone",  # the worker's process has ended; only at and worker count
]


@attrs.frozen
class Publication:
    """One event that somebody tried to publish.

    Args:
        id: The event's id.
        topic: Where to.
        key: Its key.
        sequence: Its place among the publications of its key; they grow in the order of the calls.
        acknowledged: Whether a receipt came. Without one its fate is unknown.
        sends: How often it was sent.
    """

    id: str
    topic: str
    key: str | None
    sequence: int
    acknowledged: bool = True
    sends: int = 1


@attrs.frozen
class Record:
    """One record that is in the log at the end."""

    topic: str
    partition: int
    offset: int
    key: str | None
    id: str


@attrs.frozen
class Step:
    """One thing that happened in a worker.

    Args:
        what: What happened.
        at: When, in seconds on the clock that all processes of the machine share.
        worker: The process.
        generation: Numbers the assignments of the partition to this worker.
        topic: With partition and offset: where.
        partition: The partition's number.
        offset: The delivery's, or the committed one.
        key: The delivery's key.
        id: The delivery's event id.
    """

    what: What
    at: float
    worker: str
    generation: int = 0
    topic: str = ""
    partition: int = 0
    offset: int = 0
    key: str | None = None
    id: str = ""


@attrs.frozen
class History:
    """Everything that is known of a run.

    Args:
        publications: What was to be published, each event once.
        log: What the transport holds at the end.
        steps: What the workers did, in the order of time.
        complete: Whether everything should be handled by now.
    """

    publications: Sequence[Publication]
    log: Sequence[Record]
    steps: Sequence[Step]
    complete: bool = True


@attrs.frozen
class Problem:
    """One broken promise.

    Args:
        kind: Which.
        subject: The event's id, or the delivery's place.
        text: What happened, in words.
    """

    kind: Kind
    subject: str
    text: str = attrs.field(eq=False, default="")

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject} {self.text}"


@attrs.frozen
class Findings:
    """What the checker found.

    Args:
        problems: The broken promises, none when all is well.
        repeated: Deliveries that were finished again by a later assignment, which is allowed: they
            were in flight when the one before ended.
        across: Starts of a key while another assignment still had one of it running, which is
            allowed: a paused process, a handler that cannot be cancelled.
    """

    problems: tuple[Problem, ...]
    repeated: int
    across: int

    def __str__(self) -> str:
        kinds = Counter(problem.kind for problem in self.problems)
        counts = ", ".join(f"{times} {kind}" for kind, times in kinds.items()) or "no problem"
        shown = "".join(f"\n  {problem}" for problem in self.problems[:_SHOWN])
        return f"{counts}; {self.repeated} repeated, {self.across} across{shown}"
