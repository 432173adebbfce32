from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectis.core.message import TopicPartition
from vectis.core.partition import fair_share, partition_of


@pytest.mark.parametrize(
    "form", ["{}", "order-{:08d}", "{:x}", "ключ-{}"], ids=["number", "padded", "hex", "unicode"]
)
def test_ten_thousand_keys_spread_evenly_over_eight_partitions(form: str) -> None:
    counts = Counter(partition_of(form.format(n).encode(), 8) for n in range(10_000))
    assert len(counts) == 8
    assert min(counts.values()) > 1_100
    assert max(counts.values()) < 1_400


def test_a_key_keeps_its_partition_for_ever() -> None:
    assert [partition_of(key, 8) for key in (b"", b"1", b"order-7", b"\x00\xff")] == [0, 7, 2, 2]


names = st.sampled_from("abcdef")


@given(
    partitions=st.integers(1, 40),
    members=st.lists(names, min_size=1, unique=True),
    data=st.data(),
)
def test_members_that_give_up_and_take_come_to_an_even_share_and_stay_there(
    partitions: int, members: list[str], data: st.DataObject
) -> None:
    everyone = dict.fromkeys(members, ("t",))
    owners: dict[TopicPartition, str | None] = {
        TopicPartition("t", number): data.draw(st.none() | names) for number in range(partitions)
    }
    # Those that left hold nothing: their partitions are freed before anybody shares.
    owners = {tp: owner if owner in everyone else None for tp, owner in owners.items()}
    before = Counter(owner for owner in owners.values() if owner)
    moves = 0
    for _ in range(3 * len(members)):
        member = data.draw(st.sampled_from(members))
        moves += step(owners, everyone, member)
    for _ in range(3):
        for member in members:
            moves += step(owners, everyone, member)

    counts = Counter(owners.values())
    assert None not in counts
    assert max(counts.values()) - min(counts[member] for member in members) <= 1
    # Nothing moves that need not: what was held moves only from those that had too much.
    even = partitions // len(members)
    assert moves <= sum(max(0, before[member] - even) for member in members)
    assert all(step(owners, everyone, member) == 0 for member in members)


def step(
    owners: dict[TopicPartition, str | None], members: dict[str, tuple[str]], member: str
) -> int:
    """One member gives up what is another's and takes what is free and its own."""
    share = fair_share(owners, members)
    given_up = [tp for tp, owner in owners.items() if owner == member and share[tp] != member]
    for tp in given_up:
        owners[tp] = None
    for tp, wanted in fair_share(owners, members).items():
        if wanted == member and owners[tp] is None:
            owners[tp] = member
    return len(given_up)


def test_a_member_is_given_only_topics_that_it_reads() -> None:
    owners = {TopicPartition("x", 0): None, TopicPartition("y", 0): None}
    assert fair_share(owners, {1: {"x", "y"}, 2: {"y"}}) == {
        TopicPartition("x", 0): 1,
        TopicPartition("y", 0): 2,
    }


def test_a_topic_that_nobody_reads_any_more_goes_to_nobody() -> None:
    assert fair_share({TopicPartition("x", 0): 1}, {2: {"y"}}) == {}


def test_without_members_nothing_is_shared() -> None:
    nobody: dict[str, set[str]] = {}
    assert fair_share({TopicPartition("x", 0): None}, nobody) == {}


def test_a_second_member_gets_half_of_each_topic() -> None:
    owners = {TopicPartition(topic, number): "first" for topic in "ab" for number in range(8)}
    share = fair_share(owners, {"first": {"a", "b"}, "second": {"a", "b"}})
    for topic in "ab":
        readers = [share[TopicPartition(topic, number)] for number in range(8)]
        assert (readers.count("first"), readers.count("second")) == (4, 4)
