"""What waits for the writer, and how whoever asked gets the answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from vectis_sqlite._faults import Fault
from vectis_sqlite._headers import Connection
from vectis_sqlite._records import Row, Topics

if TYPE_CHECKING:
    import asyncio

    from vectis.core.message import Receipt

__all__ = ["Job", "Work", "answers_of", "resolve"]

T = TypeVar("T")
Work = Callable[[Connection, Topics], T]
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
    connection: Connection,
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
        if job.single:
            answers.append(receipts[at])
            at += 1
        elif job.work is not None:
            answers.append(job.work(connection, topics))
        else:
            answers.append(receipts[at : at + len(job.rows)])
            at += len(job.rows)
    return answers


def resolve(jobs: Sequence[Job], answers: Sequence[Any], *, failed: bool = False) -> None:
    """Answer everybody, with one wake-up for each event loop.

    Args:
        jobs: Who asked.
        answers: What each gets; an exception each when they `failed`.
        failed: Whether they did.
    """
    by_loop: dict[Any, list[tuple[Any, Any]]] = defaultdict(list)
    for job, answer in zip(jobs, answers, strict=True):
        future = job.future
        if isinstance(future, Future):
            _settle([(future, answer)], failed)
        else:
            by_loop[future.get_loop()].append((future, answer))
    for loop, theirs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, theirs, failed)
        except RuntimeError:  # the loop has closed meanwhile: nobody waits there any more
            continue


def _settle(answers: Sequence[tuple[Any, Any]], failed: bool) -> None:
    for future, answer in answers:
        if future.done():  # cancelled meanwhile
            continue
        with suppress(InvalidStateError):  # cancelled in this very moment, in another thread
            if failed:
                future.set_exception(answer)
            else:
                future.set_result(answer)
