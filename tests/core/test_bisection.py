"""Culprits are found in few runs, and nothing is said that no run has shown."""

from __future__ import annotations

from math import ceil, log2
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from vectis.core.bisection import find

if TYPE_CHECKING:
    from collections.abc import Collection

NAMES = [f"plugin-{number:03}" for number in range(300)]

counts = st.integers(min_value=1, max_value=300)


@given(counts, st.data())
def test_one_culprit_takes_log2_runs_and_two_that_make_sure(
    count: int, data: st.DataObject
) -> None:
    suspects = NAMES[:count]
    culprit = data.draw(st.sampled_from(suspects))
    runs: list[Collection[str]] = []

    def fails(present: Collection[str]) -> bool:
        runs.append(present)
        return culprit in present

    found = find(suspects, fails)
    assert (found.names, found.others_fail) == ((culprit,), False)
    assert len(runs) <= ceil(log2(count)) + 2
    assert len({frozenset(run) for run in runs}) == len(runs)


@given(counts, st.data())
def test_those_that_break_it_only_together_are_all_named(count: int, data: st.DataObject) -> None:
    suspects = NAMES[:count]
    needed = data.draw(st.sets(st.sampled_from(suspects), min_size=1, max_size=4))
    found = find(suspects, lambda present: needed <= {*present})
    assert (set(found.names), found.others_fail) == (needed, False)


def test_two_that_each_break_it_are_told_apart_from_two_together() -> None:
    found = find(NAMES[:20], lambda present: bool({NAMES[3], NAMES[11]} & {*present}))
    assert (found.names, found.others_fail) == ((NAMES[3],), True)


@given(st.lists(st.sampled_from(NAMES[:6]), unique=True, min_size=1), st.data())
def test_whatever_the_test_does_what_is_said_was_seen(
    suspects: list[str], data: st.DataObject
) -> None:
    answers: dict[frozenset[str], bool] = {frozenset(suspects): True, frozenset(): False}

    def fails(present: Collection[str]) -> bool:
        return answers.setdefault(frozenset(present), data.draw(st.booleans()))

    found = find(suspects, fails)
    names = frozenset(found.names)
    assert answers[names]
    rest = frozenset(suspects) - names
    assert found.others_fail == (bool(rest) and answers[rest])
