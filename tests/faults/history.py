"""The history checker: what was published, handled and committed, held against what was promised.

Pure: it reads no file and no clock. A scenario hands it a `History` and gets every broken promise
by kind. It knows nothing of how a worker works inside; one handler a delivery is what it expects.

Promises, and the kind of problem when one is broken:

lost            what was acknowledged is in the log, and what is in the log was handled or set aside
duplicated      a delivery that was finished is not begun again in the same assignment, and the log
                has an event no more often than it was sent
redelivered     an assignment begins nothing below the offset that was committed when it began
swapped         a delivery of a key begins only after all before it in its key were finished
overlapped      two deliveries of a key do not run at once within one assignment
too early       an offset is committed only when everything below it is finished or set aside
unfenced        a member that lost a partition can commit nothing for it any more
progress lost   what was committed stays committed
unassigned      nothing is begun for a partition that the worker does not hold
invented        nothing is handled that nobody published
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from tests.faults.steps import Findings, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.faults.steps import History, Kind, Publication, Step, What

__all__ = ["check"]


def check(history: History) -> Findings:
    """Hold a history against every promise.

    Example:
        >>> from tests.faults.history import check
        >>> from tests.faults.steps import History, Publication
        >>> findings = check(History([Publication("7", "vectis.orders", "k", 1)], [], []))
        >>> print(findings.problems[0])
        lost: 7 was acknowledged and is not in the log
    """
    return _Checker(history).run()


Where = tuple[str, int]
Assignment = tuple[str, str, int, int]  # worker, topic, partition, generation
_Running = tuple[Assignment, int]  # with the offset


class _Held:
    """One assignment of one partition to one worker.

    Args:
        resumed: What was committed when it began.
        offsets: Those of the partition's log, ascending.
    """

    def __init__(self, resumed: int, offsets: Sequence[int]) -> None:
        self.resumed = resumed
        self.end = offsets[-1] + 1 if offsets else 0
        self.ended = False
        self.committed = resumed
        self.done: set[int] = set()
        self.running: defaultdict[str, set[int]] = defaultdict(set)
        self.furthest: dict[str, int] = {}
        self._open = iter([offset for offset in offsets if offset >= resumed])
        self._first_open = next(self._open, None)

    def first_open(self) -> int | None:
        """Return the lowest offset of the log that this assignment has not finished."""
        while self._first_open is not None and self._first_open in self.done:
            self._first_open = next(self._open, None)
        return self._first_open


class _Key:
    """The acknowledged publications of one key, and how far they are done."""

    def __init__(self) -> None:
        self.publications: list[Publication] = []
        self._next = 0

    def first_open(self, done: set[str]) -> Publication | None:
        """Return the first one that nobody has finished yet."""
        while self._next < len(self.publications) and self.publications[self._next].id in done:
            self._next += 1
        return self.publications[self._next] if self._next < len(self.publications) else None


class _Checker:
    """One pass over the steps, in the order of time."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._problems: dict[Problem, None] = {}  # in the order they were found, each once
        self._published = {publication.id: publication for publication in history.publications}
        self._times = Counter(record.id for record in history.log)
        self._offsets: defaultdict[Where, list[int]] = defaultdict(list)
        for record in sorted(history.log, key=lambda record: record.offset):
            self._offsets[record.topic, record.partition].append(record.offset)
        self._keys: defaultdict[tuple[str, str], _Key] = defaultdict(_Key)
        for publication in sorted(history.publications, key=lambda p: p.sequence):
            # One that is not in the log is reported as lost, once, and not with all that follow.
            there = publication.acknowledged and self._times[publication.id] > 0
            if there and publication.key is not None:
                self._keys[publication.topic, publication.key].publications.append(publication)
        self._held: dict[Assignment, _Held] = {}
        self._holder: dict[Where, Assignment] = {}
        self._stored: defaultdict[Where, int] = defaultdict(int)
        self._asked: dict[tuple[Assignment, int], Assignment] = {}
        self._done: set[str] = set()
        self._finished: Counter[tuple[Where, int]] = Counter()
        self._running: defaultdict[tuple[Where, str], set[_Running]] = defaultdict(set)
        self._across = 0

    def run(self) -> Findings:
        """Go through the steps, then compare the log with what was handled."""
        heed: dict[What, Callable[[Step], None]] = {
            "assigned": self._assign,
            "revoked": self._revoke,
            "gone": self._end_worker,
            "started": self._start,
            "failed": self._stop,
            "finished": self._finish,
            "set aside": self._settle,
            "committing": self._ask,
            "committed": self._commit,
        }
        for step in self._history.steps:
            if step.what in heed:
                heed[step.what](step)
        self._compare_log()
        repeated = sum(times - 1 for times in self._finished.values())
        return Findings(tuple(self._problems), repeated, self._across)

    def _report(self, kind: Kind, subject: str, text: str) -> None:
        self._problems.setdefault(Problem(kind, subject, text))

    # ------------------------------------------------------------ assignments

    def _assign(self, step: Step) -> None:
        where, who = _where(step), _who(step)
        if step.offset < self._stored[where]:
            before = self._stored[where]
            self._report("progress lost", _place(step), f"{before} had been committed before")
        self._stored[where] = max(self._stored[where], step.offset)
        self._held[who] = _Held(step.offset, self._offsets[where])
        self._holder[where] = who

    def _revoke(self, step: Step) -> None:
        self._of(step).ended = True

    def _end_worker(self, step: Step) -> None:
        for who, held in self._held.items():
            if who[0] == step.worker:
                held.ended = True
                held.running.clear()
        for running in self._running.values():
            running -= {item for item in running if item[0][0] == step.worker}

    def _of(self, step: Step) -> _Held:
        who = _who(step)
        if who not in self._held:
            self._held[who] = _Held(0, self._offsets[_where(step)])
            self._held[who].ended = True
        return self._held[who]

    # ------------------------------------------------------------ deliveries

    def _start(self, step: Step) -> None:
        held, place = self._of(step), _place(step)
        if held.ended:
            self._report("unassigned", place, f"begun by {step.worker}, which does not hold it")
        if step.offset < held.resumed:
            self._report("redelivered", place, f"although {held.resumed} was committed")
        if step.offset in held.done:
            self._report("duplicated", place, f"begun again by {step.worker}, which finished it")
        if step.id not in self._published:
            self._report("invented", step.id, f"at {place} was never published")
        if step.key is not None:
            self._start_in_key(step, step.key, held)

    def _start_in_key(self, step: Step, key: str, held: _Held) -> None:
        place, who = _place(step), _who(step)
        if held.running[key]:
            self._report("overlapped", place, f"begun while {held.running[key]} of its key ran")
        if step.offset < held.furthest.get(key, -1):
            self._report("swapped", place, f"begun after {held.furthest[key]} of its key")
        mine = self._published.get(step.id)
        first = self._keys[step.topic, key].first_open(self._done)
        if first is not None and mine is not None and first.sequence < mine.sequence:
            self._report("swapped", place, f"({step.id}) begun before {first.id} of its key ended")
        held.furthest[key] = max(held.furthest.get(key, -1), step.offset)
        held.running[key].add(step.offset)
        running = self._running[_where(step), key]
        self._across += any(other != who for other, _ in running)
        running.add((who, step.offset))

    def _stop(self, step: Step) -> None:
        if step.key is not None:
            self._of(step).running[step.key].discard(step.offset)
            self._running[_where(step), step.key].discard((_who(step), step.offset))

    def _finish(self, step: Step) -> None:
        self._stop(step)
        self._settle(step)

    def _settle(self, step: Step) -> None:
        self._of(step).done.add(step.offset)
        self._done.add(step.id)
        self._finished[_where(step), step.offset] += 1

    # ------------------------------------------------------------ commits

    def _ask(self, step: Step) -> None:
        held, who = self._of(step), _who(step)
        first, end = held.first_open(), held.end
        if first is not None and first < step.offset:
            self._report("too early", _place(step), f"committed while {first} was not finished")
        elif step.offset > max(end, held.resumed):
            self._report("too early", _place(step), f"committed, and the log ends at {end}")
        # Who has it now; if that is not who asks, storing it would be a fault.
        self._asked[who, step.offset] = self._holder.get(_where(step), who)

    def _commit(self, step: Step) -> None:
        held, who, where = self._of(step), _who(step), _where(step)
        holder = self._asked.get((who, step.offset), who)
        if holder != who:
            self._report("unfenced", _place(step), f"{holder[0]} had taken it from {step.worker}")
        if step.offset < held.committed:
            self._report("progress lost", _place(step), f"after {held.committed} was committed")
        held.committed = max(held.committed, step.offset)
        self._stored[where] = max(self._stored[where], step.offset)

    # ------------------------------------------------------------ the end

    def _compare_log(self) -> None:
        for publication in self._history.publications:
            times = self._times[publication.id]
            if publication.acknowledged and not times:
                self._report("lost", publication.id, "was acknowledged and is not in the log")
            if times > publication.sends:
                text = f"is in the log {times} times and was sent {publication.sends} times"
                self._report("duplicated", publication.id, text)
        for record in self._history.log:
            if record.id not in self._published:
                self._report("invented", record.id, "is in the log and was never published")
            if self._history.complete and record.id not in self._done:
                self._report("lost", record.id, "is in the log and was never handled")


def _where(step: Step) -> Where:
    return step.topic, step.partition


def _who(step: Step) -> Assignment:
    return step.worker, step.topic, step.partition, step.generation


def _place(step: Step) -> str:
    return f"{step.topic}/{step.partition}@{step.offset}"
