"""What waits for the writer, and how whoever asked gets the answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from vectis_sqlite._faults import Fault
from vectis_sqlite._headers import Connection
from vectis_sqlite._records import Row, Topics

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from vectis.core.message import Receipt

__all__ = ["Job", "Single", "Work", "answers_of", "gathered", "resolve"]

T = TypeVar("T")
Work = Callable[[Connection, Topics], T]
"""Something to do within a transaction; what it returns is the answer, once it is committed."""

# A plain tuple: there is one for every message that is published alone.
Single = tuple[Row, "asyncio.Future[Receipt]", float]
"""A row, the future that gets its receipt, and until when, in the seconds of `time.monotonic`."""

_size = itemgetter(-1)  # of a row


class Job:
    """Rows to append, or work to do, and who waits for the answer.

    Args:
        futures: Who does: one for all of it, or one for each row. All of one event loop, or of none
            when they are futures of `concurrent`.
        rows: What to append; their receipts are the answer.
        work: What to do instead.
        each: There is a future for each row, and each gets its own receipt.
        due: With `each`, until when; the earliest first.
    """

    __slots__ = ("due", "each", "futures", "rows", "work")

    def __init__(
        self,
        futures: Sequence[asyncio.Future[Any] | Future[Any]],
        rows: Sequence[Row] = (),
        work: Work[Any] | None = None,
        *,
        each: bool = False,
        due: Sequence[float] = (),
    ) -> None:
        self.futures = futures
        self.rows = rows
        self.work = work
        self.each = each
        self.due = due

    @property
    def size(self) -> int:
        """What the rows take, in bytes."""
        return sum(map(_size, self.rows))

    def failures(self, error: BaseException) -> list[BaseException]:
        """Return the error as those who wait should see it, one for each."""
        if not isinstance(error, Fault):
            return [error] * len(self.futures)
        told = error.for_caller if self.work else error.for_publisher
        return [told() for _ in self.futures]

    def parts(self) -> Iterator[Job]:
        """Yield what may fail by itself."""
        if not self.each:
            yield self
            return
        for row, future, due in zip(self.rows, self.futures, self.due, strict=True):
            yield Job([future], [row], each=True, due=[due])


def gathered(taken: Iterable[Job | Single]) -> Iterator[Job]:
    """Yield jobs; of messages that were published alone, one after another, there is one job."""
    for loop, group in groupby(taken, _loop):
        if loop is None:
            yield from group  # type: ignore[misc]  # jobs already
        else:
            rows, futures, due = zip(*group, strict=True)
            yield Job(futures, rows, each=True, due=due)


def _loop(one: Job | Single) -> asyncio.AbstractEventLoop | None:
    return one[1].get_loop() if one.__class__ is tuple else None


def answers_of(
    jobs: Sequence[Job],
    receipts: Sequence[Receipt],
    connection: Connection,
    topics: Topics,
) -> list[Sequence[Any]]:
    """Return what the futures of each job get, doing its work where it is work.

    Args:
        jobs: The jobs of one transaction.
        receipts: Those of all their rows, in order.
        connection: In the transaction.
        topics: The file's topics.
    """
    answers: list[Sequence[Any]] = []
    at = 0
    for job in jobs:
        if job.work is not None:
            answers.append([job.work(connection, topics)])
        else:
            theirs = receipts[at : at + len(job.rows)]
            answers.append(theirs if job.each else [theirs])
            at += len(job.rows)
    return answers


def resolve(jobs: Sequence[Job], answers: Sequence[Sequence[Any]], *, failed: bool = False) -> None:
    """Answer everybody, with one wake-up for each event loop.

    Args:
        jobs: Who asked.
        answers: What the futures of each get; exceptions when they `failed`.
        failed: Whether they did.
    """
    by_loop: dict[Any, list[tuple[Any, Any]]] = defaultdict(list)
    for job, theirs in zip(jobs, answers, strict=True):
        first = job.futures[0]
        if isinstance(first, Future):
            _settle([(job.futures, theirs)], failed)
        else:
            by_loop[first.get_loop()].append((job.futures, theirs))
    for loop, all_theirs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, all_theirs, failed)
        except RuntimeError:  # the loop has closed meanwhile: nobody waits there any more
            continue


def _settle(answers: Sequence[tuple[Sequence[Any], Sequence[Any]]], failed: bool) -> None:
    for futures, theirs in answers:
        for future, answer in zip(futures, theirs, strict=True):
            if future.done():  # cancelled meanwhile, or late
                continue
            try:
                if failed:
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
            except InvalidStateError:  # cancelled in this very moment, in another thread
                continue
