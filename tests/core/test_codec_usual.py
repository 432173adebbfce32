"""The quick way through binary mode reads what the careful way reads, or leaves it alone."""

import copy
import pickle

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vectis.core._decode import read_closely
from vectis.core._usual import read_usual
from vectis.core.codec import Received, decode, encode, read_headers
from vectis.core.events import Event
from vectis.core.exceptions import DecodeError
from vectis.core.message import Delivery, Headers

CAP = 10_000
SLOTS = tuple(name for name in Event.__slots__ if name != "time")
NEEDED: Headers = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"1"),
    ("ce_source", b"shop"),
    ("ce_type", b"order.created"),
    ("ce_time", b"2026-01-31T12:00:00Z"),
)


def delivery(headers: Headers, value: bytes | None = b"{}") -> Delivery:
    return Delivery("vectis.orders", 0, 41, b"7", value, headers, timestamp=1_700_000_000_000)


def content(received: Received) -> object:
    event = received.event
    said = (received.type, received.payload, received.envelope)
    return said, event.time, event.time.utcoffset(), [getattr(event, name) for name in SLOTS]


NAMES = st.sampled_from(
    [
        *(name for name, _ in NEEDED),
        *("content-type", "Content-Type", "ce_datacontenttype", "CE_ID", "ce_data", "ce_", "x", ""),
        *("ce_dataschema", "ce_correlationid", "ce_causationid", "ce_userid", "ce_traceparent"),
        *("ce_partitionkey", "ce_subject", "ce_tenant", "CE_TENANT", "traceparent", "ce_\u212a"),
    ]
)
TEXTS = st.sampled_from(
    [
        *(text for _, text in NEEDED),
        *(b"application/json", b"application/json; charset=utf-8", b"application/avro"),
        *(b"2026-01-31T12:00:00.123456+00:00", b"2026-02-31T12:00:00Z", b"2026-W05-6T12:00:00Z"),
        *(b"2026-01-31t12:00:00,5z", b"2016-12-31T23:59:60Z", b"2026-01-31T12:00:00+01:00"),
        *(b"urn:vectis:event:order.created:v3", b"urn:vectis:event:other:v3", b"https://x/1"),
        *("späti".encode(), b"", b"\xff", b"\r\n", b"\x7f", "\u202e".encode()),
    ]
)


@settings(max_examples=400)
@given(
    st.lists(st.tuples(NAMES, TEXTS | st.binary(max_size=9)), max_size=6),
    st.booleans(),
    st.sampled_from([None, b"", b"{}", b'[1,"a"]', b"{", b"[" * 300 + b"]" * 300]),
    st.integers(0, 400),
)
@example([], True, b"{}", CAP)
@example([], True, b"[" * 255 + b"]" * 255, CAP)  # the shortest that is too deep
@example([("ce_id", b"2")], True, b"{}", CAP)
@example([("CE_ID", b"2")], True, b"{}", CAP)
@example([("ce_datacontenttype", b"application/avro")], True, b"{}", CAP)
@example([("ce_tenant", b"\xc3"), ("ce_userid", b"\xa4")], True, b"{}", CAP)
def test_it_never_reads_anything_else_than_the_careful_way(
    more: list[tuple[str, bytes]], usable: bool, value: bytes | None, cap: int
) -> None:
    given = delivery((*NEEDED, *more) if usable else tuple(more), value)
    quick = read_usual(given, cap)
    if quick is not None:
        assert content(quick) == content(read_closely(given, cap))


def test_it_reads_what_we_write() -> None:
    event = Event("order.created", {"n": 1}, "till", "anna", correlation_id="c", causation_id="0")
    for version, trace, key in ((None, None, None), (3, "00-0af7-b7ad-01", "7")):
        message = encode(
            event,
            topic="t",
            key=key,
            source="s",
            max_bytes=CAP,
            version=version,
            traceparent=trace,
        )
        carried = delivery(message.headers, message.value)
        quick = read_usual(carried, CAP)
        assert quick is not None
        assert content(quick) == content(read_closely(carried, CAP))


@pytest.mark.parametrize(
    "more",
    [
        (),
        (("content-type", b"application/json; charset=utf-8"),),
        (("ce_dataschema", b"https://schemas.example/1"), ("ce_tenant", b"acme")),
        (("traceparent", b"00-0af7-b7ad-01"),),
    ],
)
def test_it_reads_what_any_tidy_producer_writes(more: Headers) -> None:
    assert read_usual(delivery((*NEEDED, *more)), CAP) is not None
    assert read_usual(delivery((*more, *reversed(NEEDED[:-1]))), CAP) is not None


def test_what_is_very_long_or_much_is_not_remembered() -> None:
    for headers in (
        (*NEEDED, ("ce_dataschema", b"x" * 5000)),
        (*NEEDED, ("ce_" + "x" * 5000, b"")),
        (*NEEDED, *((f"x{number}", b"") for number in range(100))),
    ):
        assert read_usual(delivery(headers), CAP) is None
        read_closely(delivery(headers), CAP)


def test_producers_with_as_many_headers_but_other_names_take_turns() -> None:
    other = (*NEEDED[:-1], ("ce_correlationid", b"2"))
    for headers in (NEEDED, other, NEEDED, other[::-1]):
        quick = read_usual(delivery(headers), CAP)
        assert quick is not None
        assert content(quick) == content(read_closely(delivery(headers), CAP))


def test_what_was_remembered_of_one_message_is_not_believed_of_the_next() -> None:
    assert read_usual(delivery(NEEDED), CAP) is not None
    wrong = (("ce_specversion", b"2.0"), *NEEDED[1:])
    for _ in range(2):
        assert read_usual(delivery(wrong), CAP) is None
    with pytest.raises(DecodeError, match=r"2\.0"):
        read_closely(delivery(wrong), CAP)


def outcome(given: Delivery, cap: int = CAP) -> object:
    try:
        return content(decode(given, max_bytes=cap))
    except DecodeError as error:
        return str(error)


@settings(max_examples=300)
@given(
    st.lists(
        st.lists(st.tuples(NAMES, st.none() | TEXTS | st.binary(max_size=9)), max_size=6),
        min_size=1,
        max_size=3,
    ),
    st.booleans(),
    st.integers(0, 400),
)
@example([[("ce_userid", None)], [("ce_userid", b"anna")]], True, CAP)
@example([[], []], False, CAP)
def test_headers_read_when_received_are_those_that_came_and_say_the_same(
    several: list[list[tuple[str, bytes | None]]], usable: bool, cap: int
) -> None:
    for more in several * 2:  # the second time the names are known
        received = [*NEEDED, *more] if usable else more
        as_bytes = tuple((name, b"" if text is None else text) for name, text in received)
        unread = delivery(as_bytes)
        read = attrs.evolve(unread, headers=read_headers(received))
        assert read.headers == as_bytes
        assert (read, eval(repr(read))) == (unread, unread)
        match read:
            case Delivery(_, _, _, _, _, headers):
                assert headers == as_bytes
        assert outcome(read, cap) == outcome(unread, cap)


def test_what_a_thousand_messages_say_alike_is_kept_once() -> None:
    def received(number: int) -> Headers:
        event = Event("order.created", {}, user_id=f"customer {number}")
        headers = encode(event, topic="t", key="7", source="s", max_bytes=CAP).headers
        # Names and bytes of their own, as they come from a socket.
        fresh = [(name.encode().decode(), bytes(bytearray(text))) for name, text in headers]
        return attrs.evolve(delivery(()), headers=read_headers(fresh)).headers

    decode(delivery(received(0)), max_bytes=CAP)  # from now on such names are known
    pairs = [*zip(received(1), received(2), strict=True)]
    assert all(one[0] is other[0] for one, other in pairs), "names"
    alike = {one[0] for one, other in pairs if one is other}
    assert alike == {"ce_specversion", "ce_source", "ce_type", "content-type"}


def test_a_delivery_with_other_headers_is_not_read_by_those_it_had() -> None:
    decode(delivery(NEEDED), max_bytes=CAP)
    before = attrs.evolve(delivery(()), headers=read_headers(NEEDED))
    assert before._headers != NEEDED, "it is kept as it was read"
    other = tuple((name, b"2" if name == "ce_id" else text) for name, text in NEEDED)
    assert decode(before, max_bytes=CAP).event.id == "1"
    assert decode(attrs.evolve(before, headers=other), max_bytes=CAP).event.id == "2"


def test_a_delivery_whose_headers_were_read_goes_to_another_process() -> None:
    decode(delivery(NEEDED), max_bytes=CAP)
    sent = attrs.evolve(delivery(()), headers=read_headers(NEEDED), attempt=3)
    assert sent._headers != NEEDED, "it is kept as it was read"
    arrived = pickle.loads(pickle.dumps(sent))
    assert arrived == sent == copy.copy(sent)
    assert decode(arrived, max_bytes=CAP).event.id == "1"
