"""The checker is checked: planted faults are found, and a slow, obvious model agrees with it."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.history import check
from tests.faults.model import slow_check
from tests.faults.steps import History, Kind, Problem, Publication, Record, Step, What

KEYS = ("a", "b", "a", "a", "b", "a")
LOG = [Record("orders", 0, offset, key, f"e{offset}") for offset, key in enumerate(KEYS)]
PUBLICATIONS = [Publication(record.id, "orders", record.key, record.offset) for record in LOG]


def step(what: What, offset: int = 0, worker: str = "w", generation: int = 1) -> Step:
    """A step in partition 0; of a delivery of the log when it is about one."""
    here = Step(what, 0.0, worker, generation, "orders", 0, offset)
    if what in ("started", "finished", "failed", "set aside") and offset < len(LOG):
        return attrs.evolve(here, key=LOG[offset].key, id=LOG[offset].id)
    return here


def handled(*offsets: int, worker: str = "w", generation: int = 1) -> list[Step]:
    both: tuple[What, What] = ("started", "finished")
    return [step(what, offset, worker, generation) for offset in offsets for what in both]


def commit(offset: int, worker: str = "w", generation: int = 1) -> list[Step]:
    return [
        step("committing", offset, worker, generation),
        step("committed", offset, worker, generation),
    ]


def found(
    *steps: Step,
    log: list[Record] = LOG,
    publications: list[Publication] = PUBLICATIONS,
    complete: bool = True,
) -> list[tuple[Kind, str]]:
    history = History(publications, log, list(steps), complete)
    problems = check(history).problems
    assert set(problems) == slow_check(history)
    return [(problem.kind, problem.subject) for problem in problems]


ASSIGNED = step("assigned")


def test_a_run_with_lanes_a_retry_a_kill_and_a_letter_has_no_problem() -> None:
    steps = [
        ASSIGNED,
        step("started", 0),
        step("started", 1),
        step("finished", 1),
        step("failed", 0),
        step("started", 0),
        step("finished", 0),
        *commit(2),
        *handled(2),
        step("started", 3),
        step("gone"),
        step("assigned", 2, "v"),
        *handled(2, worker="v"),  # was in flight
        step("started", 3, "v"),
        step("failed", 3, "v"),
        step("set aside", 3, "v"),
        *handled(4, 5, worker="v"),
        *commit(6, "v"),
        step("revoked", worker="v"),
    ]
    history = History(PUBLICATIONS, LOG, steps)
    findings = check(history)
    assert str(findings) == "no problem; 1 repeated, 0 across"
    assert slow_check(history) == set()


def test_an_acknowledged_event_that_is_not_in_the_log_is_lost() -> None:
    assert found(ASSIGNED, *handled(0, 1, 2, 3, 4), log=LOG[:5]) == [("lost", "e5")]


def test_an_event_of_unknown_fate_may_be_missing() -> None:
    unknown = [*PUBLICATIONS[:5], attrs.evolve(PUBLICATIONS[5], acknowledged=False)]
    assert found(ASSIGNED, *handled(0, 1, 2, 3, 4), log=LOG[:5], publications=unknown) == []


def test_a_record_that_nobody_handled_is_lost_even_if_it_was_committed_over() -> None:
    skipping = [ASSIGNED, *handled(0, 1, 2, 4), *commit(5), *handled(5)]
    assert found(*skipping) == [
        ("too early", "orders/0@5"),
        ("swapped", "orders/0@5"),
        ("lost", "e3"),
    ]


def test_as_long_as_a_run_is_not_complete_nothing_is_missing() -> None:
    assert found(ASSIGNED, *handled(0), complete=False) == []


def test_finished_and_begun_again_in_the_same_assignment_is_duplicated() -> None:
    again = [ASSIGNED, *handled(0, 1, 2, 3, 4, 5, 5)]
    assert found(*again) == [("duplicated", "orders/0@5")]


def test_a_record_that_is_in_the_log_more_often_than_it_was_sent_is_duplicated() -> None:
    twice = [*LOG, Record("orders", 0, 6, "a", "e5")]
    again = attrs.evolve(step("started", 6), key="a", id="e5")
    steps = [ASSIGNED, *handled(0, 1, 2, 3, 4, 5), again, attrs.evolve(again, what="finished")]
    assert found(*steps, log=twice) == [("duplicated", "e5")]
    sent = [*PUBLICATIONS[:5], attrs.evolve(PUBLICATIONS[5], sends=2)]
    assert found(*steps, log=twice, publications=sent) == []


def test_begun_again_after_it_was_committed_is_redelivered() -> None:
    steps = [ASSIGNED, *handled(0, 1, 2), *commit(3), step("gone"), step("assigned", 3, "v")]
    assert found(*steps, *handled(2, 3, 4, 5, worker="v")) == [("redelivered", "orders/0@2")]


def test_two_of_a_key_in_the_wrong_order_are_swapped() -> None:
    assert found(ASSIGNED, *handled(0, 1, 3, 2, 4, 5)) == [
        ("swapped", "orders/0@3"),  # too early
        ("swapped", "orders/0@2"),  # too late
    ]


def test_keys_may_overtake_each_other() -> None:
    assert found(ASSIGNED, *handled(1, 4, 0, 2, 3, 5), *commit(6)) == []


def test_two_handlers_of_one_key_at_once_overlap() -> None:
    steps = [ASSIGNED, *handled(0, 1), step("started", 2), step("started", 3)]
    ends = [step("finished", 2), step("finished", 3), *handled(4, 5)]
    assert ("overlapped", "orders/0@3") in found(*steps, *ends)


def test_an_overlap_with_the_assignment_before_is_counted_and_no_problem() -> None:
    steps = [ASSIGNED, step("started", 0), step("assigned", 0, "v"), *handled(0, worker="v")]
    rest = [step("finished", 0), *handled(1, 2, 3, 4, 5, worker="v")]
    history = History(PUBLICATIONS, LOG, [*steps, *rest])
    assert str(check(history)) == "no problem; 1 repeated, 1 across"
    assert slow_check(history) == set()


def test_an_offset_committed_before_what_lies_below_is_finished_is_too_early() -> None:
    steps = [ASSIGNED, *handled(0), step("started", 1), *commit(2), step("finished", 1)]
    assert found(*steps, *handled(2, 3, 4, 5)) == [("too early", "orders/0@2")]


def test_an_offset_behind_the_end_of_the_log_is_too_early() -> None:
    everything = handled(0, 1, 2, 3, 4, 5)
    assert found(ASSIGNED, *everything, *commit(7)) == [("too early", "orders/0@7")]


def test_holes_in_the_offsets_hold_no_commit_up() -> None:
    holes = [attrs.evolve(record, offset=record.offset * 10) for record in LOG]
    steps = [attrs.evolve(one, offset=one.offset * 10) for one in handled(0, 1, 2, 3, 4, 5)]
    assert found(ASSIGNED, *steps, *commit(51), log=holes) == []


def test_a_commit_of_a_member_that_had_lost_the_partition_is_unfenced() -> None:
    steps = [ASSIGNED, *handled(0), step("assigned", 0, "v"), *handled(0, 1, worker="v")]
    late = [*commit(1), *handled(2, 3, 4, 5, worker="v")]
    assert found(*steps, *late) == [("unfenced", "orders/0@1")]
    refused = [step("committing", 1), step("refused", 1), *handled(2, 3, 4, 5, worker="v")]
    assert found(*steps, *refused) == []


def test_a_commit_that_is_gone_is_lost_progress() -> None:
    steps = [ASSIGNED, *handled(0, 1, 2), *commit(3), step("gone"), step("assigned", 1, "v")]
    rest = handled(1, 2, 3, 4, 5, worker="v")
    assert found(*steps, *rest) == [("progress lost", "orders/0@1")]


def test_a_delivery_begun_without_holding_its_partition_is_unassigned() -> None:
    steps = [ASSIGNED, *handled(0, 1), step("revoked"), *handled(2), step("assigned", 0, "v")]
    assert found(*steps, *handled(2, 3, 4, 5, worker="v")) == [("unassigned", "orders/0@2")]


def test_what_nobody_published_is_invented() -> None:
    everything = handled(0, 1, 2, 3, 4, 5)
    assert ("invented", "e5") in found(ASSIGNED, *everything, publications=PUBLICATIONS[:5])


WORKERS, GENERATIONS = st.sampled_from(["w", "v"]), st.integers(1, 2)
OFTEN: list[What] = ["started", "finished", "started", "finished", "assigned", "committing"]
SELDOM: list[What] = ["revoked", "failed", "set aside", "committed", "refused", "gone"]
WHATS = st.sampled_from([*OFTEN, *SELDOM])


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Any steps at all in a small world, most of them faulty; an assignment begins only once."""
    size = draw(st.integers(1, 5))
    keys = draw(st.lists(st.sampled_from(["a", "b", None]), min_size=size, max_size=size))
    ids = draw(st.lists(st.sampled_from("012345"), min_size=size, max_size=size))
    log = [Record("t", 0, 2 * n, keys[n], ids[n]) for n in range(size)]
    publications = [
        Publication(id, "t", key, sequence, draw(st.booleans()), draw(st.integers(1, 2)))
        for sequence, (id, key) in enumerate(
            draw(
                st.lists(
                    st.tuples(st.sampled_from("012345"), st.sampled_from(["a", "b", None])),
                    unique_by=lambda pair: pair[0],
                    max_size=6,
                )
            )
        )
    ]
    steps: list[Step] = []
    begun: set[tuple[str, int]] = set()
    for _ in range(draw(st.integers(0, 25))):
        what, worker, generation = draw(WHATS), draw(WORKERS), draw(GENERATIONS)
        if what == "assigned" and (worker, generation) in begun:
            continue
        if what == "gone":
            steps.append(Step(what, 0.0, worker))
            continue
        begun.add((worker, generation))
        if what in ("assigned", "revoked", "committing", "committed", "refused"):
            offset = draw(st.integers(0, 2 * size))
            steps.append(Step(what, 0.0, worker, generation, "t", 0, offset))
        else:
            record = draw(st.sampled_from(log))
            where = (worker, generation, "t", 0, record.offset)
            steps.append(Step(what, 0.0, *where, record.key, record.id))
    return History(publications, log, steps, draw(st.booleans()))


@given(histories())
def test_the_slow_and_obvious_model_finds_the_same(history: History) -> None:
    assert set(check(history).problems) == slow_check(history)


@pytest.mark.parametrize("kind", Kind.__args__)  # type: ignore[attr-defined] # of a Literal
def test_each_kind_of_problem_is_shown_in_words(kind: Kind) -> None:
    assert str(Problem(kind, "orders/0@1", "why")) == f"{kind}: orders/0@1 why"
