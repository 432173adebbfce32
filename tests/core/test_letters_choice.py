"""Which letters are meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from vectis.core.dead_letter import DeadLetter
from vectis.core.letters import Foreign, StoredLetter, read_record
from vectis.core.letters.choice import Choice, moment
from vectis.core.message import Delivery

NOW = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
FOREIGN = read_record(Delivery("t.dlq", 0, 9))


def letter(*, offset: int = 5, handler: str = "acme:sync", at: datetime = NOW) -> StoredLetter:
    written = DeadLetter(
        delivery=Delivery("t", 1, 40), group="shop", handler=handler, error="no"
    ).message()
    timestamp = int(at.timestamp() * 1000)
    record = read_record(Delivery("t.dlq", 2, offset, None, None, written.headers, timestamp))
    assert isinstance(record, StoredLetter)
    return record


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        ("2h", NOW - timedelta(hours=2)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-01-31T13:30:00+01:00", NOW),
        ("2026-01-31T12:30:00Z", NOW),
    ],
)
def test_a_time_is_rfc_3339_or_how_long_ago(text: str, meant: datetime) -> None:
    assert moment(text, NOW) == meant


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2", "h", "-2h", "2h30m", "2026-01-31", "2026-01-31T12:30:00", "999999d"],
)
def test_what_is_neither_is_refused_with_examples(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"is no time: write RFC 3339, such as .*, or how long ago"
    ):
        moment(text, NOW)


def test_by_id_on_the_dead_letter_topic_or_where_it_was() -> None:
    assert Choice(ids=("t.dlq/2@5",))(letter())
    assert Choice(ids=("t/1@40", "x"))(letter())
    assert not Choice(ids=("t.dlq/2@5",))(letter(offset=6))
    assert Choice(ids=("t/1@40", "x", "t.dlq/2@6")).unknown([letter()]) == ["x", "t.dlq/2@6"]


def test_by_handler_with_or_without_its_plugin() -> None:
    assert Choice(handlers=("acme:sync",))(letter())
    assert Choice(handlers=("other", "sync"))(letter())
    assert not Choice(handlers=("acme",))(letter())
    assert not Choice(handlers=("",))(letter(handler="acme:sync"))


def test_by_time_from_and_before() -> None:
    hour = timedelta(hours=1)
    assert Choice(since=NOW)(letter())
    assert not Choice(since=NOW + hour)(letter())
    assert not Choice(until=NOW)(letter())
    assert Choice(since=NOW - hour, until=NOW + hour)(letter())


def test_everything_that_is_said_must_hold() -> None:
    choice = Choice(ids=("t/1@40",), handlers=("sync",), since=NOW)
    assert choice(letter())
    assert not attrs.evolve(choice, handlers=("other",))(letter())


def test_a_foreign_record_is_replayed_only_by_its_id() -> None:
    assert isinstance(FOREIGN, Foreign)
    assert Choice()(FOREIGN)
    assert not Choice().to_replay(FOREIGN)
    assert not Choice(handlers=("sync",))(FOREIGN)
    assert Choice(ids=("t.dlq/0@9",)).to_replay(FOREIGN)
