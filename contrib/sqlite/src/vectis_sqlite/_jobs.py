"""What waits for the writer, and how whoever asked gets the answer."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from vectis_sqlite._faults import Fault
from vectis_sqlite._records import Row, Topics

if TYPE_CHECKING:
    import asyncio

    from vectis.core.message import Receipt

__all__ = ["Answer", "Job", "Work", "answers_of", "resolve"]

T = TypeVar("T")
Work = Callable[[sqlite3.Connection, Topics], T]
"""Something to do within a transaction; what it returns is the answer, once it is committed."""


class Job:
    """Rows to append, or work to do, and who waits for the answer.

    Args:
        future: Gets the answer.
        rows: What to append; their receipts are the answer.
        work: What to do instead.
        single: There is one row, and one receipt is wanted instead of a list.
    """

    # By hand, since one is made for every message that is published alone.
    __slots__ = ("future", "rows", "single", "work")

    def __init__(
        self,
        future: asyncio.Future[Any] | Future[Any],
        rows: Sequence[Row] = (),
        work: Work[Any] | None = None,
        single: bool = False,
    ) -> None:
        self.future = future
        self.rows = rows
        self.work = work
        self.single = single

    def failure(self, error: BaseException) -> BaseException:
        """Return the error as this job's owner should see it."""
        if not isinstance(error, Fault):
            return error
        return error.for_caller() if self.work else error.for_publisher()


def answers_of(
    jobs: Sequence[Job],
    receipts: Sequence[Receipt],
    connection: sqlite3.Connection,
    topics: Topics,
) -> list[Any]:
    """Return each job's answer, doing its work where it is work.

    Args:
        jobs: The jobs of one transaction.
        receipts: Those of all their rows, in order.
        connection: In the transaction.
        topics: The file's topics.
    """
    answers: list[Any] = []
    at = 0
    for job in jobs:
        if job.work is not None:
            answers.append(job.work(connection, topics))
        elif job.single:
            answers.append(receipts[at])
            at += 1
        else:
            answers.append(receipts[at : at + len(job.rows)])
            at += len(job.rows)
    return answers


Answer = tuple[Job, Any, BaseException | None]


def resolve(answers: Sequence[Answer]) -> None:
    """Answer everybody, with one wake-up for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Answer]] = defaultdict(list)
    for answer in answers:
        future = answer[0].future
        if isinstance(future, Future):
            _settle([answer])
        else:
            by_loop[future.get_loop()].append(answer)
    for loop, theirs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, theirs)
        except RuntimeError:  # the loop has closed meanwhile: nobody waits there any more
            continue


def _settle(answers: Sequence[Answer]) -> None:
    for job, answer, error in answers:
        if job.future.done():  # cancelled meanwhile
            continue
        if error is None:
            job.future.set_result(answer)
        else:
            job.future.set_exception(error)
