"""What waits, and how far may be committed: against a model that kills, forgets and scatters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from vectis.core.dead_letter import DeadLetter
from vectis.core.letters import Foreign, Settled, StoredLetter, read_record
from vectis.core.letters.shelf import Shelf
from vectis.core.letters.wire import settled
from vectis.core.message import Delivery, Message, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Mapping

PARTITIONS = [TopicPartition("t.dlq", number) for number in range(3)]
partitions = st.sampled_from(PARTITIONS)


class Topic:
    """A dead-letter topic: only appended to, with a clock that each record moves on."""

    def __init__(self) -> None:
        self.records: dict[TopicPartition, list[Delivery]] = {where: [] for where in PARTITIONS}
        self.clock = 1

    def append(self, where: TopicPartition, message: Message) -> Delivery:
        self.clock += 1
        log = self.records[where]
        log.append(
            Delivery(*where, len(log), message.key, message.value, message.headers, self.clock)
        )
        return log[-1]

    def letter(self, where: TopicPartition, group: str = "shop") -> str:
        letter = DeadLetter(
            delivery=Delivery("t", 0, self.clock, b"7"), group=group, error="no", attempts=1
        )
        return self.append(where, letter.message()).place

    def shelf(self, committed: Mapping[TopicPartition, int]) -> Shelf:
        return Shelf(
            "shop",
            committed,
            [read_record(one) for w in PARTITIONS for one in self.records[w][committed[w] :]],
        )


class Replays(RuleBasedStateMachine):
    """Letters come, replays settle some of them in any order, and lose their commits at times."""

    def __init__(self) -> None:
        super().__init__()
        self.topic = Topic()
        self.committed = dict.fromkeys(PARTITIONS, 0)
        self.waiting: set[str] = set()
        self.doubtful: set[str] = set()  # settled, but a part of the commit was lost

    @rule(where=partitions)
    def a_letter_comes(self, where: TopicPartition) -> None:
        self.waiting.add(self.topic.letter(where))

    @rule(where=partitions)
    def a_letter_of_another_group_comes(self, where: TopicPartition) -> None:
        self.topic.letter(where, group="billing")

    @rule(where=partitions)
    def a_foreign_record_comes(self, where: TopicPartition) -> None:
        self.waiting.add(self.topic.append(where, Message("t.dlq", None, b"?")).place)

    @rule(where=partitions, offset=st.integers(0, 40), about=partitions)
    def a_note_is_forged_for_what_is_not_there_yet(
        self, where: TopicPartition, offset: int, about: TopicPartition
    ) -> None:
        later = len(self.topic.records[about]) + 1 + offset
        record = Foreign(where=about, offset=later, timestamp=0, size=0, reason="")
        self.topic.append(where, settled(record, "shop", "purged", None))

    @rule(data=st.data(), lost=st.sets(partitions, max_size=2), killed=st.booleans())
    def a_replay(self, data: st.DataObject, lost: set[TopicPartition], killed: bool) -> None:
        shelf = self.topic.shelf(self.committed)
        chosen = [r for r in shelf.waiting if data.draw(st.booleans(), label=f"replay {r.id}")]
        for record in chosen:
            shelf.settle(record)
            self.waiting.discard(record.id)
            if not shelf.passed(record):  # the key decides where a note goes, or nothing does
                where = data.draw(partitions, label="note goes to")
                self.topic.append(where, settled(record, "shop", "replayed", b"7"))
            elif record.where in lost or (killed and record is chosen[-1]):
                self.doubtful.add(record.id)
            if killed and record is chosen[-1]:
                return  # before the commit
            if not self.commit(shelf, lost):
                return

    def commit(self, shelf: Shelf, lost: set[TopicPartition]) -> bool:
        """Commit what may be; False when a partition was lost to another member."""
        more = True
        while more:
            positions = shelf.positions
            for where, position in positions.items():
                assert position >= self.committed[where], "a commit goes back"
                if where not in lost:
                    self.committed[where] = position
            if self.committed != positions:
                return False
            more = shelf.stored(positions)
        return True

    @invariant()
    def nothing_is_lost_and_nothing_settled_comes_again(self) -> None:
        found = {record.id for record in self.topic.shelf(self.committed).waiting}
        assert self.waiting <= found, "a letter is lost"
        assert found <= self.waiting | self.doubtful, "a settled letter came again"

    def teardown(self) -> None:
        """Once everything is settled, everything can be committed."""
        for _ in range(2):  # the second time past the notes of the first
            shelf = self.topic.shelf(self.committed)
            for record in shelf.waiting:
                shelf.settle(record)
                if not shelf.passed(record):
                    self.topic.append(record.where, settled(record, "shop", "purged", None))
            assert self.commit(shelf, set())
        shelf = self.topic.shelf(self.committed)
        assert shelf.waiting == []
        assert shelf.positions == {where: len(log) for where, log in self.topic.records.items()}


Replays.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestReplays = Replays.TestCase


def test_letters_behind_one_that_waits_are_noted_and_passed_together_later() -> None:
    topic, (here, *_) = Topic(), PARTITIONS
    first, second = topic.letter(here), topic.letter(here)
    committed = dict.fromkeys(PARTITIONS, 0)
    shelf = topic.shelf(committed)
    last = shelf.waiting[1]
    shelf.settle(last)
    assert not shelf.passed(last)
    assert shelf.positions[here] == 0
    topic.append(here, settled(last, "shop", "replayed", b"7"))
    shelf = topic.shelf(committed)
    assert [record.id for record in shelf.waiting] == [first]
    shelf.settle(shelf.waiting[0])
    assert shelf.positions[here] == 3, "past both letters and the note"
    assert second not in {record.id for record in topic.shelf(shelf.positions).waiting}


def test_letters_of_other_groups_are_counted_and_hold_nothing_up() -> None:
    topic, (here, *_) = Topic(), PARTITIONS
    topic.letter(here, "billing")
    topic.letter(here, "billing")
    shelf = topic.shelf(dict.fromkeys(PARTITIONS, 0))
    assert shelf.waiting == []
    assert shelf.others == {"billing": 2}
    assert shelf.positions[here] == 2


def test_settled_letters_of_other_groups_are_not_counted() -> None:
    topic, (here, there, _) = Topic(), PARTITIONS
    start = dict.fromkeys(PARTITIONS, 0)
    for where in (here, here, there):
        topic.letter(where, "billing")
    topic.letter(here)
    theirs = Shelf("billing", start, [read_record(one) for one in topic.records[here]])
    topic.append(there, settled(theirs.waiting[1], "billing", "replayed", None))
    shelf = topic.shelf(start)
    assert shelf.others == {"billing": 2}
    assert [record.offset for record in shelf.waiting] == [2]
    shelf.passed_by("billing", {here: 1})
    assert shelf.others == {"billing": 1}
    shelf.passed_by("billing", {there: 1})
    shelf.passed_by("nobody", {here: 3})
    assert shelf.others == {}
    assert len(shelf.waiting) == 1


def test_a_note_of_another_group_settles_nothing() -> None:
    topic, (here, *_) = Topic(), PARTITIONS
    topic.letter(here)
    shelf = topic.shelf(dict.fromkeys(PARTITIONS, 0))
    topic.append(here, settled(shelf.waiting[0], "billing", "replayed", None))
    assert len(topic.shelf(dict.fromkeys(PARTITIONS, 0)).waiting) == 1


def test_records_are_what_they_are() -> None:
    topic, (here, *_) = Topic(), PARTITIONS
    topic.letter(here)
    topic.append(here, Message("t.dlq", None, b"?"))
    letter, foreign = topic.shelf(dict.fromkeys(PARTITIONS, 0)).waiting
    assert isinstance(letter, StoredLetter)
    assert isinstance(foreign, Foreign)
    topic.append(here, settled(foreign, "shop", "purged", None))
    assert isinstance(read_record(topic.records[here][-1]), Settled)
    assert topic.shelf(dict.fromkeys(PARTITIONS, 0)).waiting == [letter]
