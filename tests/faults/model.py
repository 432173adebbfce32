"""The slow and obvious checker: every promise as one definition over all steps.

It is the measure of `tests.faults.history`, and far too slow for anything but small histories.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.steps import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.steps import History, Step

__all__ = ["slow_check"]

_DONE = ("finished", "set aside")


def slow_check(history: History) -> set[Problem]:
    """Return what is wrong with a history."""
    problems = set(_in_the_log(history))
    for number, step in enumerate(history.steps):
        before = list(history.steps[:number])
        if step.what == "started":
            problems.update(_at_start(history, before, step))
        elif step.what == "committing":
            problems.update(_at_asking(history, before, step))
        elif step.what in ("committed", "assigned"):
            problems.update(_at_progress(before, step))
    return problems


def _in_the_log(history: History) -> Iterator[Problem]:
    log = [record.id for record in history.log]
    done = {step.id for step in history.steps if step.what in _DONE}
    published = {publication.id for publication in history.publications}
    for publication in history.publications:
        if publication.acknowledged and publication.id not in log:
            yield Problem("lost", publication.id)
        if log.count(publication.id) > publication.sends:
            yield Problem("duplicated", publication.id)
    for id in log:
        if id not in published:
            yield Problem("invented", id)
        if history.complete and id not in done:
            yield Problem("lost", id)


def _at_start(history: History, before: list[Step], step: Step) -> Iterator[Problem]:
    place = _place(step)
    if not _holds(before, step):
        yield Problem("unassigned", place)
    if step.offset < _resumed(before, step):
        yield Problem("redelivered", place)
    mine = [one for one in before if _same_assignment(one, step)]
    if any(one.what in _DONE and one.offset == step.offset for one in mine):
        yield Problem("duplicated", place)
    published = {publication.id: publication for publication in history.publications}
    if step.id not in published:
        yield Problem("invented", step.id)
    if step.key is None:
        return
    begun = [one for one in mine if one.what == "started" and one.key == step.key]
    if any(one.offset > step.offset for one in begun):
        yield Problem("swapped", place)
    if any(_runs(before, one) for one in before if one in begun):
        yield Problem("overlapped", place)
    log = {record.id for record in history.log}
    done = {one.id for one in before if one.what in _DONE}
    for other in history.publications:
        if (
            step.id in published
            and (other.topic, other.key) == (step.topic, step.key)
            and other.acknowledged
            and other.id in log
            and other.sequence < published[step.id].sequence
            and other.id not in done
        ):
            yield Problem("swapped", place)


def _at_asking(history: History, before: list[Step], step: Step) -> Iterator[Problem]:
    resumed = _resumed(before, step)
    offsets = [
        record.offset
        for record in history.log
        if (record.topic, record.partition) == (step.topic, step.partition)
    ]
    finished = {one.offset for one in before if one.what in _DONE and _same_assignment(one, step)}
    if any(resumed <= offset < step.offset and offset not in finished for offset in offsets):
        yield Problem("too early", _place(step))
    if step.offset > max([resumed, *(offset + 1 for offset in offsets)]):
        yield Problem("too early", _place(step))


def _at_progress(before: list[Step], step: Step) -> Iterator[Problem]:
    here = [one for one in before if (one.topic, one.partition) == (step.topic, step.partition)]
    if step.what == "assigned":
        stored = [one.offset for one in here if one.what in ("assigned", "committed")]
        if step.offset < max(stored, default=0):
            yield Problem("progress lost", _place(step))
        return
    mine = [one.offset for one in here if _same_assignment(one, step) and one.what == "committed"]
    if step.offset < max([_resumed(before, step), *mine]):
        yield Problem("progress lost", _place(step))
    asked = [
        number
        for number, one in enumerate(here)
        if one.what == "committing" and _same_assignment(one, step) and one.offset == step.offset
    ]
    if asked:
        takers = [one for one in here[: asked[-1]] if one.what == "assigned"]
        if takers and not _same_assignment(takers[-1], step):
            yield Problem("unfenced", _place(step))


def _holds(before: list[Step], step: Step) -> bool:
    holds = False
    for one in before:
        if one.what == "gone" and one.worker == step.worker:
            holds = False
        elif _same_assignment(one, step) and one.what in ("assigned", "revoked"):
            holds = one.what == "assigned"
    return holds


def _resumed(before: list[Step], step: Step) -> int:
    begun = [one for one in before if one.what == "assigned" and _same_assignment(one, step)]
    return begun[-1].offset if begun else 0


def _runs(before: list[Step], started: Step) -> bool:
    """Tell whether what was started last with these very words has not ended yet."""
    runs = False
    for one in before:
        if one == started:
            runs = True
        elif (one.what == "gone" and one.worker == started.worker) or (
            one.what in ("finished", "failed")
            and _same_assignment(one, started)
            and one.offset == started.offset
        ):
            runs = False
    return runs


def _same_assignment(one: Step, other: Step) -> bool:
    return (one.worker, one.topic, one.partition, one.generation) == (
        other.worker,
        other.topic,
        other.partition,
        other.generation,
    )


def _place(step: Step) -> str:
    return f"{step.topic}/{step.partition}@{step.offset}"
