"""Records of a dead-letter topic: read back as they were written, and nothing believed unseen."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vectis.core.dead_letter import HISTORY, DeadLetter, Round, is_name
from vectis.core.letters import Foreign, Settled, StoredLetter, read_record
from vectis.core.letters.wire import settled
from vectis.core.message import Delivery, Headers, Message, TopicPartition

OURS = [
    "group",
    "handler",
    "plugin",
    "error",
    "attempts",
    "topic",
    "partition",
    "offset",
    "timestamp",
    "replays",
    "history",
    "settled",
]
names = st.sampled_from([f"vectis_dlq_{name}" for name in OURS]) | st.text(max_size=8)
values = st.binary(max_size=12) | st.sampled_from([b"shop", b"7", b"replayed", b"[]", b"t"])
some_headers = st.lists(st.tuples(names, values), max_size=14).map(tuple)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=9)
counts = st.integers(0, 10**12)
rounds = st.builds(Round, timestamp=counts, error=texts, attempts=counts)


def stored(message: Message, *, offset: int = 5, timestamp: int = 1769862600123) -> Delivery:
    """A message as it lies in the dead-letter topic."""
    return Delivery(
        message.topic, 2, offset, message.key, message.value, message.headers, timestamp
    )


def a_letter(**changes: object) -> DeadLetter:
    letter = DeadLetter(
        delivery=Delivery("t", 1, 40, b"7", b"{}", (("trace", b"1"),), 1769862600000),
        group="shop",
        handler="acme:sync",
        plugin="acme",
        error="ValueError: no",
        attempts=5,
    )
    return attrs.evolve(letter, **changes)  # type: ignore[arg-type]


def with_headers(*changed: tuple[str, bytes | None], behind: Headers = ()) -> Delivery:
    """A letter some of whose headers were changed (or taken away), or have others behind them."""
    changes = dict(changed)
    message = a_letter().message()
    headers = [(name, changes.get(name, value)) for name, value in message.headers]
    kept = tuple((name, value) for name, value in headers if value is not None)
    return stored(attrs.evolve(message, headers=(*kept, *behind)))


@given(
    headers=some_headers,
    key=st.none() | st.binary(max_size=5),
    value=st.none() | st.binary(max_size=20),
    handler=st.just("") | texts,
    place=st.tuples(counts, counts, counts),
    history=st.lists(rounds, max_size=HISTORY),
    error=texts,
)
@example(
    headers=a_letter(group="forged").message().headers,
    key=b"7",
    value=None,
    handler="",
    place=(0, 0, 0),
    history=[],
    error="no",
)
def test_a_letter_is_read_back_whatever_the_delivery_carried(
    headers: Headers,
    key: bytes | None,
    value: bytes | None,
    handler: str,
    place: tuple[int, int, int],
    history: list[Round],
    error: str,
) -> None:
    partition, offset, timestamp = place
    letter = DeadLetter(
        delivery=Delivery("t", partition, offset, key, value, headers, timestamp),
        group="shop",
        handler=handler,
        plugin=handler,
        error=error,
        attempts=offset,
        replays=len(history),
        history=tuple(history),
    )
    record = read_record(stored(letter.message()))
    assert isinstance(record, StoredLetter)
    assert record.letter == letter
    assert (record.id, record.origin) == ("t.dlq/2@5", f"t/{partition}@{offset}")


@given(headers=some_headers, key=st.none() | st.binary(), value=st.none() | st.binary(max_size=3))
def test_no_record_makes_reading_fail(
    headers: Headers, key: bytes | None, value: bytes | None
) -> None:
    record = read_record(Delivery("t.dlq", 0, 0, key, value, headers))
    assert isinstance(record, StoredLetter | Settled | Foreign)


@pytest.mark.parametrize(
    ("delivery", "reason"),
    [
        (Delivery("t.dlq", 2, 5), "no header vectis_dlq_group"),
        (with_headers(("vectis_dlq_offset", None)), "no header vectis_dlq_offset"),
        (with_headers(("vectis_dlq_offset", b"-1")), "vectis_dlq_offset is no number"),
        (with_headers(("vectis_dlq_offset", "٣".encode())), "vectis_dlq_offset is no number"),
        (with_headers(("vectis_dlq_attempts", b"9" * 5000)), "vectis_dlq_attempts is no number"),
        (with_headers(("vectis_dlq_group", b"")), "vectis_dlq_group is no name"),
        (with_headers(("vectis_dlq_group", b"a\nb")), "vectis_dlq_group is no name"),
        (with_headers(("vectis_dlq_handler", b"\xff")), "vectis_dlq_handler is no name"),
        (with_headers(("vectis_dlq_plugin", b"p" * 501)), "vectis_dlq_plugin is no name"),
        (with_headers(("vectis_dlq_topic", b"other")), "it was set aside from other"),
        (with_headers(behind=(("extra", b""),)), "a header extra among those of a worker"),
        (with_headers(behind=(("vectis_dlq_error", b""),)), "is there more than once"),
        (with_headers(behind=(("vectis_dlq_settled", b"replayed"),)), "more than such a note"),
    ],
)
def test_what_is_damaged_or_foreign_says_why(delivery: Delivery, reason: str) -> None:
    record = read_record(delivery)
    assert isinstance(record, Foreign)
    assert reason in record.reason
    assert record.id == "t.dlq/2@5"


@pytest.mark.parametrize(
    "history",
    [
        b"not JSON",
        b"{}",
        b"[" * 5000,
        b'[{"timestamp": 1, "error": "no"}]',
        b'[{"timestamp": -1, "error": "no", "attempts": 1}]',
        b'[{"timestamp": true, "error": "no", "attempts": 1}]',
        b'[{"timestamp": 1, "error": 7, "attempts": 1}]',
        b"[" + b'{"timestamp": 1, "error": "no", "attempts": 1},' * 10 + b"1]",
        b'["' + b"x" * 40_000 + b'"]',
    ],
)
def test_a_forged_history_tells_nothing_and_the_letter_is_one_all_the_same(history: bytes) -> None:
    block = (("vectis_dlq_replays", b"1"), ("vectis_dlq_history", history))
    record = read_record(with_headers(behind=block))
    assert isinstance(record, StoredLetter)
    assert record.letter.history == ()
    assert record.letter.replays == 1


def test_only_the_last_rounds_are_kept() -> None:
    history = tuple(Round(timestamp=n, error="no", attempts=1) for n in range(30))
    record = read_record(stored(a_letter(replays=30, history=history).message()))
    assert isinstance(record, StoredLetter)
    assert [one.timestamp for one in record.letter.history] == [*range(20, 30)]
    assert record.letter.replays == 30


def test_a_note_says_which_letter_is_settled_and_how() -> None:
    letter = read_record(stored(a_letter().message()))
    assert isinstance(letter, StoredLetter)
    message = settled(letter, "shop", "replayed", b"7")
    assert (message.topic, message.key, message.value) == ("t.dlq", b"7", b"")
    note = read_record(stored(message, offset=9))
    assert note == Settled(
        where=TopicPartition("t.dlq", 2),
        offset=9,
        timestamp=1769862600123,
        group="shop",
        how="replayed",
        letter=TopicPartition("t.dlq", 2),
        letter_offset=5,
    )


def test_a_note_with_anything_else_in_it_is_none() -> None:
    letter = read_record(stored(a_letter().message()))
    assert isinstance(letter, StoredLetter)
    message = settled(letter, "shop", "purged", None)
    for changed in (
        attrs.evolve(message, value=b"{}"),
        attrs.evolve(message, headers=(("trace", b"1"), *message.headers)),
        attrs.evolve(message, headers=message.headers[:-1]),
        attrs.evolve(
            message,
            headers=tuple((n, v.replace(b"purged", b"eaten")) for n, v in message.headers),
        ),
    ):
        assert isinstance(read_record(stored(changed)), Foreign)


def test_a_delivery_that_pretends_to_be_a_note_is_a_letter_when_it_was_set_aside() -> None:
    letter = read_record(stored(a_letter().message()))
    assert isinstance(letter, StoredLetter)
    forged = settled(letter, "shop", "purged", b"7").headers
    again = a_letter(delivery=Delivery("t", 0, 1, b"7", b"", forged))
    record = read_record(stored(again.message()))
    assert isinstance(record, StoredLetter)
    assert record.letter.delivery.headers == forged


def test_letters_of_earlier_releases_have_no_time_of_the_delivery() -> None:
    record = read_record(with_headers(("vectis_dlq_timestamp", None)))
    assert isinstance(record, StoredLetter)
    assert record.letter.delivery.timestamp == record.timestamp


@pytest.mark.parametrize("timestamp", [0, -1, -(2**63), 2**63 - 1])
def test_whatever_time_a_broker_has_of_a_delivery_its_letter_can_be_read(timestamp: int) -> None:
    delivery = Delivery("t", 1, 40, b"7", b"{}", (), timestamp)
    record = read_record(stored(a_letter(delivery=delivery).message()))
    assert isinstance(record, StoredLetter)
    assert record.letter.delivery == delivery


@pytest.mark.parametrize("value", [b"", b"-", b"1-", b"+1", b"1.5", b"9" * 20])
def test_a_time_that_is_none_is_damage(value: bytes) -> None:
    record = read_record(with_headers(("vectis_dlq_timestamp", value)))
    assert isinstance(record, Foreign)
    assert record.reason == "damaged: the header vectis_dlq_timestamp is no number"


@given(st.text(max_size=8) | st.integers(1, 600).map(lambda count: "x" * count))
@example("two\nlines")
@example("no-break\u00a0space")
@example("\ud800")
@example("x" * 500)
@example("\u00fc" * 251)
def test_a_letter_that_is_written_with_a_name_can_be_read_and_one_with_none_cannot(
    name: str,
) -> None:
    if is_name(name):
        record = read_record(stored(a_letter(group=name, handler=name).message()))
        assert isinstance(record, StoredLetter)
        assert (record.letter.group, record.letter.handler) == (name, name)
    else:
        value = name.encode(errors="surrogatepass")
        assert isinstance(read_record(with_headers(("vectis_dlq_group", value))), Foreign)
