"""The codec by itself; `test_codec_interop.py` holds it against the official CloudEvents SDK."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vectis.core._encode import now
from vectis.core.codec import Envelope, Received, decode, encode
from vectis.core.events import Event
from vectis.core.exceptions import DecodeError, EncodeError, PublishError
from vectis.core.message import Delivery, Headers, Message

CAP = 1_000_000
NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NEEDED: Headers = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"1"),
    ("ce_source", b"shop"),
    ("ce_type", b"order.created"),
)
STRUCTURED: Headers = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)


def write(event: Event, **changes: Any) -> Message:
    arguments: dict[str, Any] = {
        "topic": "vectis.orders",
        "key": "7",
        "source": "shop",
        "max_bytes": CAP,
    }
    return encode(event, **{**arguments, **changes})


def delivery(
    value: bytes | None = b"{}", headers: Headers = (), *, timestamp: int = 0, key: bytes = b"7"
) -> Delivery:
    return Delivery("vectis.orders", 2, 41, key, value, headers, timestamp)


def carried(message: Message) -> Delivery:
    return Delivery(message.topic, 0, 1, message.key, message.value, message.headers)


def read(value: bytes | None = b"{}", headers: Headers = (), *, timestamp: int = 0) -> Received:
    return decode(delivery(value, headers, timestamp=timestamp), max_bytes=CAP)


def cloud_event(**changes: Any) -> bytes:
    document = {"specversion": "1.0", "id": "1", "source": "shop", "type": "order.created"}
    return json.dumps({**document, **changes}).encode()


class TestEncoding:
    def test_an_event_becomes_a_binary_cloud_event(self) -> None:
        event = Event(
            "order.created",
            {"order_id": 7},
            "till",
            42,
            id="1",
            time=NOON,
            correlation_id="c",
            causation_id="0",
        )
        message = write(event, version=3, traceparent=TRACE)
        assert message.topic == "vectis.orders"
        assert message.key == b"7"
        assert message.value == b'{"order_id":7}'
        assert dict(message.headers) == {
            "ce_specversion": b"1.0",
            "ce_id": b"1",
            "ce_source": b"till",
            "ce_type": b"order.created",
            "ce_time": b"2026-01-31T12:00:00+00:00",
            "content-type": b"application/json",
            "ce_correlationid": b"c",
            "ce_causationid": b"0",
            "ce_userid": b"42",
            "ce_dataschema": b"urn:vectis:event:order.created:v3",
            "ce_traceparent": TRACE.encode(),
            "ce_partitionkey": b"7",
        }

    def test_what_is_not_known_is_left_out(self) -> None:
        names = {name for name, _ in write(Event("order.created"), key=None).headers}
        assert names == {
            "ce_specversion",
            "ce_id",
            "ce_source",
            "ce_type",
            "ce_time",
            "content-type",
            "ce_correlationid",
        }

    def test_the_source_given_stands_in_for_the_events(self) -> None:
        assert dict(write(Event("order.created")).headers)["ce_source"] == b"shop"

    def test_without_payload_it_is_a_tombstone(self) -> None:
        event = Event.received("order.created", None, id="1")
        assert write(event).value is None

    def test_a_key_that_is_no_text_goes_without_partitionkey(self) -> None:
        for key in (b"\xff\x00", b"", "a\nb"):
            message = write(Event("order.created"), key=key)
            assert message.key == (key.encode() if isinstance(key, str) else key)
            assert "ce_partitionkey" not in dict(message.headers)

    def test_any_user_id_is_written_as_text(self) -> None:
        user = UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")
        headers = dict(write(Event("order.created", user_id=user)).headers)
        assert headers["ce_userid"] == b"6f9619ff-8b86-d011-b42d-00c04fc964ff"

    @pytest.mark.parametrize(
        ("event", "changes", "message"),
        [
            (Event("a", {"b": {1}}), {}, r"payload\.b: set is not JSON"),
            (Event("a\x7fb"), {}, r"the event's type .* holds characters that CloudEvents forb"),
            (Event("a\ud800"), {}, "the event's type .* lone surrogates"),
            (Event("a", id=""), {}, "the event's id is empty"),
            (Event("a", source="\x00"), {}, "the event's source "),
            (Event("a", user_id="\x7f"), {}, "the event's user_id "),
            (Event("a"), {"source": ""}, "the event's source is empty"),
            (Event("a"), {"traceparent": "\r\n"}, "the event's traceparent "),
            (Event("a"), {"key": 7}, r"the key must be a str, bytes or None, not int: use key=str"),
            (Event("a"), {"key": "\ud800"}, "the key holds a lone surrogate"),
        ],
    )
    def test_what_cannot_be_written_is_named(
        self, event: Event, changes: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(EncodeError, match=message) as caught:
            write(event, **changes)
        assert str(caught.value).isprintable()

    def test_a_message_over_the_cap_was_not_sent(self) -> None:
        event = Event("order.created", {"note": "x" * 2000}, id="1", time=NOON)
        with pytest.raises(
            PublishError, match=r"2,\d{3} bytes, and \[hub\] max_message_bytes allows 1,000"
        ) as caught:
            write(event, max_bytes=1000)
        assert caught.value.fate == "not_sent"

    def test_the_cap_is_held_against_the_size_of_the_message(self) -> None:
        event = Event("order.created", {"note": "späti"}, id="1", time=NOON)
        size = write(event).size
        assert write(event, max_bytes=size).size == size
        decode(carried(write(event)), max_bytes=size)
        with pytest.raises(PublishError):
            write(event, max_bytes=size - 1)
        with pytest.raises(DecodeError, match=r"max_message_bytes allows .*; nothing was decoded"):
            decode(carried(write(event)), max_bytes=size - 1)


class TestRoundTrip:
    def test_everything_comes_back(self) -> None:
        event = Event(
            "order.created",
            {"order_id": 7, "lines": [None, 1.5]},
            "till",
            "anna",
            id="1",
            time=NOON,
            correlation_id="c",
            causation_id="0",
            version=3,
        )
        received = decode(carried(write(event, version=3, traceparent=TRACE)), max_bytes=CAP)
        assert {name: getattr(received.event, name) for name in Event.__slots__} == {
            name: getattr(event, name) for name in Event.__slots__
        }
        assert received.payload == event.data
        assert received.envelope == Envelope("binary", 3, TRACE, {"partitionkey": "7"})

    def test_a_tombstone_comes_back_as_payload_none(self) -> None:
        received = decode(
            carried(write(Event.received("order.created", None, id="1"))), max_bytes=CAP
        )
        assert received.payload is None
        assert received.event.type == "order.created"
        data: Any = received.event.data  # a dict by type, whatever came in a received event
        assert data is None

    @given(st.datetimes(timezones=st.timezones()))
    def test_the_time_stays_the_same_instant(self, moment: datetime) -> None:
        try:
            message = write(Event("order.created", time=moment))
        except EncodeError:  # within a day of year 1 or 9999, in an offset with seconds
            assert moment.year in (1, 9999)
            return
        received = decode(carried(message), max_bytes=CAP)
        assert received.event.time - moment.astimezone(UTC) == timedelta(0)


class TestBinary:
    def test_header_names_match_in_any_case(self) -> None:
        headers = tuple((name.upper(), value) for name, value in NEEDED)
        received = read(b"[1]", (*headers, ("Content-Type", b"Application/JSON")))
        assert (received.event.id, received.payload) == ("1", [1])

    @pytest.mark.parametrize(
        "content_type",
        [
            b"application/json",
            b"application/json; charset=utf-8",
            b'text/json;charset="UTF-8"; q=1',
            b"application/vnd.shop.order+json",
        ],
    )
    def test_every_spelling_of_json_is_read(self, content_type: bytes) -> None:
        received = read(b'{"a":1}', (*NEEDED, ("content-type", content_type)))
        assert received.payload == {"a": 1}

    def test_an_empty_value_is_payload_none(self) -> None:
        assert read(b"", NEEDED).payload is None
        assert read(None, NEEDED).payload is None

    def test_other_headers_are_left_alone(self) -> None:
        others = (("x", b"\xff"), ("x", b""), ("ce_", b"\xff"), ("ce_No-Name", b"\n"))
        assert read(b"{}", (*NEEDED, *others)).envelope.extensions == {}

    def test_foreign_attributes_are_kept_as_extensions(self) -> None:
        headers = (("ce_subject", b"7"), ("ce_dataschema", b"https://x.example/1"))
        received = read(b"{}", (*NEEDED, *headers, ("ce_tenant", "späti".encode())))
        assert received.envelope.version is None
        assert received.envelope.extensions == {
            "subject": "7",
            "dataschema": "https://x.example/1",
            "tenant": "späti",
        }

    @pytest.mark.parametrize(
        "schema",
        [
            b"urn:vectis:event:order.cancelled:v1",
            b"urn:vectis:event:order.created:v",
            b"urn:vectis:event:order.created:v-1",
            b"urn:vectis:event:order.created:v" + b"9" * 5000,
            "urn:vectis:event:order.created:v²".encode(),
        ],
    )
    def test_a_version_of_something_else_is_none(self, schema: bytes) -> None:
        assert read(b"{}", (*NEEDED, ("ce_dataschema", schema))).envelope.version is None

    def test_the_user_is_never_empty_text(self) -> None:
        assert read(b"{}", (*NEEDED, ("ce_userid", b""))).event.user_id is None

    @pytest.mark.parametrize("left_out", [name for name, _ in NEEDED])
    def test_a_missing_header_is_named(self, left_out: str) -> None:
        headers = tuple(header for header in NEEDED if header[0] != left_out)
        with pytest.raises(DecodeError, match=rf"missing or empty.*: header {left_out}$"):
            read(b"{}", headers)

    @pytest.mark.parametrize(
        ("extra", "message"),
        [
            (("ce_id", b"2"), "the header ce_id is there more than once"),
            (("CE_ID", b"2"), "the header ce_id is there more than once"),
            (("ce_tenant", b"\xff"), "the header ce_tenant is not UTF-8"),
            (("ce_tenant", None), "the header ce_tenant is not UTF-8"),
            (("ce_tenant", b"a\r\nb"), "ce_tenant holds characters that CloudEvents forbids"),
            (("content-type", b"application/avro"), "content-type application/avro is not read"),
            (("content-type", b"application/json; charset=latin-1"), "content-type .* not read"),
            (("content-type", b""), "content-type  is not read"),
            (("content-type", b"application/cloudevents-batch+json"), "content-type .* not read"),
            (("ce_time", b"yesterday"), "time 'yesterday' is not RFC 3339"),
        ],
    )
    def test_a_bad_header_is_named(self, extra: Any, message: str) -> None:
        with pytest.raises(DecodeError, match=rf"^vectis\.orders/2@41: {message}"):
            read(b"{}", (*NEEDED, extra))

    @pytest.mark.parametrize("version", [b"0.3", b"1.0.1", b"2.0"])
    def test_another_specversion_is_refused(self, version: bytes) -> None:
        with pytest.raises(DecodeError, match=r"specversion .* is not read here, only 1\.0"):
            read(b"{}", (("ce_specversion", version), *NEEDED[1:]))

    @pytest.mark.parametrize(
        "value", [b"\xff\xfe", b"{", b"NaN", rb'"\udc00"', b"[" * 100_000, b'{"a":' * 100_000]
    )
    def test_a_value_that_is_not_json_is_refused(self, value: bytes) -> None:
        with pytest.raises(DecodeError, match=r"^vectis\.orders/2@41: payload is not JSON: "):
            read(value, NEEDED)

    def test_an_oversized_delivery_is_not_decoded(self) -> None:
        for big in (delivery(b"[" * 5000), delivery(b"", (*NEEDED, ("x", b"x" * 5000)))):
            with pytest.raises(DecodeError, match=r"5,\d{3} bytes, .* nothing was decoded"):
                decode(big, max_bytes=5000)


class TestTime:
    @pytest.mark.parametrize(
        ("text", "time"),
        [
            ("2026-01-31T12:00:00Z", NOON),
            ("2026-01-31t12:00:00.000z", NOON),
            ("2026-01-31 13:00:00+01:00", NOON),
            ("2026-01-31T12:00:00.1234567Z", NOON.replace(microsecond=123456)),
            ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
            ("2026-01-31T12:00:00-00:00", NOON),
        ],
    )
    def test_rfc_3339_is_read(self, text: str, time: datetime) -> None:
        assert read(b"{}", (*NEEDED, ("ce_time", text.encode()))).event.time == time

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "2026-01-31",
            "20260131T120000Z",
            "2026-W05-6T12:00:00Z",
            "2026-01-31T12:00:00",
            "2026-01-31T12:00Z",
            "2026-02-30T12:00:00Z",
            "2026-01-31T25:00:00Z",
            "2026-01-31T12:00:00+99:00",
            "٢٠٢٦-01-31T12:00:00Z",
        ],
    )
    def test_anything_else_is_an_error(self, text: str) -> None:
        with pytest.raises(DecodeError, match="is not RFC 3339"):
            read(b"{}", (*NEEDED, ("ce_time", text.encode())))

    def test_without_a_time_it_is_the_deliverys_timestamp(self) -> None:
        timestamp = int(NOON.timestamp() * 1000) + 250
        assert read(b"{}", NEEDED, timestamp=timestamp).event.time == NOON.replace(
            microsecond=250_000
        )

    @pytest.mark.parametrize("timestamp", [-1, 2**63 - 1])
    def test_a_timestamp_out_of_range_is_none(self, timestamp: int) -> None:
        assert read(b"{}", NEEDED, timestamp=timestamp).event.time.year >= 2026

    def test_an_offset_is_kept(self) -> None:
        received = read(b"{}", (*NEEDED, ("ce_time", b"2026-01-31T13:00:00+01:00")))
        assert received.event.time.tzinfo == timezone(timedelta(hours=1))


class TestStructured:
    def test_a_structured_cloud_event_is_read(self) -> None:
        value = cloud_event(
            time="2026-01-31T12:00:00Z",
            datacontenttype="application/json",
            dataschema="urn:vectis:event:order.created:v2",
            data={"order_id": 7},
            correlationid="c",
            causationid="0",
            userid="anna",
            traceparent=TRACE,
            sampled=True,
            shard=12,
            subject=None,
        )
        received = read(value, STRUCTURED)
        event = received.event
        assert (event.type, event.source, event.id) == ("order.created", "shop", "1")
        assert (event.time, event.user_id) == (NOON, "anna")
        assert (event.correlation_id, event.causation_id) == ("c", "0")
        assert received.payload == {"order_id": 7}
        assert received.envelope == Envelope(
            "structured", 2, TRACE, {"sampled": "true", "shard": "12"}
        )

    def test_it_is_recognised_by_its_specversion_too(self) -> None:
        assert read(cloud_event(data=[1])).envelope.content_mode == "structured"
        assert read(cloud_event(data=[1])).payload == [1]

    def test_base64_data_is_read_as_json(self) -> None:
        value = cloud_event(data_base64=base64.b64encode(b'{"a":1}').decode())
        assert read(value, STRUCTURED).payload == {"a": 1}

    @pytest.mark.parametrize("nothing", [{}, {"data": None}, {"data_base64": ""}])
    def test_without_data_the_payload_is_none(self, nothing: dict[str, Any]) -> None:
        assert read(cloud_event(**nothing), STRUCTURED).payload is None

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"type": ""}, "missing or empty.*: attribute type$"),
            ({"id": None, "source": None}, "missing or empty.*: attribute id, attribute source$"),
            ({"type": 5}, "the attribute type is a JSON number"),
            ({"type": True}, "the attribute type is a JSON boolean"),
            ({"tenant": {}}, "the attribute tenant is a JSON object"),
            ({"tenant": 1.5}, "the attribute tenant is a JSON number"),
            ({"tenant": "a\nb"}, "the attribute tenant holds characters"),
            ({"specversion": "0.3"}, "specversion 0.3 is not read"),
            ({"time": "noon"}, "time 'noon' is not RFC 3339"),
            ({"data": 1, "data_base64": "MQ=="}, "both data and data_base64"),
            ({"data_base64": "?"}, "data_base64 is not base64"),
            ({"data_base64": 1}, "data_base64 is not base64"),
            ({"data_base64": "/w=="}, "data_base64 is not JSON: not UTF-8"),
            ({"data_base64": "MQ==", "datacontenttype": "image/png"}, "data_base64 of datacontent"),
        ],
    )
    def test_what_is_wrong_is_named(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(DecodeError, match=rf"^vectis\.orders/2@41: {message}"):
            read(cloud_event(**changes), STRUCTURED)

    def test_it_needs_a_value_that_is_an_object(self) -> None:
        with pytest.raises(DecodeError, match="no value"):
            read(None, STRUCTURED)
        with pytest.raises(DecodeError, match="a JSON array, not an object"):
            read(b"[]", STRUCTURED)


class TestPlain:
    def test_the_plain_form_is_read(self) -> None:
        received = read(b'{"event_type": "order.created", "payload": {"order_id": 7}}')
        assert received.envelope.content_mode == "plain"
        assert received.event.type == "order.created"
        assert received.payload == received.event.data == {"order_id": 7}

    def test_its_id_is_its_place_so_that_a_redelivery_is_the_same_event(self) -> None:
        value = b'{"event_type": "order.created", "payload": null}'
        first = delivery(value)
        again = delivery(value)
        again.attempt = 2
        assert decode(first, max_bytes=CAP).event.id == "vectis.orders/2@41"
        assert decode(again, max_bytes=CAP).event.id == "vectis.orders/2@41"

    @pytest.mark.parametrize("payload", ["null", "[1]", '"text"', "1.5", "false"])
    def test_any_json_value_is_a_payload(self, payload: str) -> None:
        value = b'{"event_type": "a", "payload": ' + payload.encode() + b"}"
        assert read(value).payload == json.loads(payload)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (None, "no value and no ce_. headers"),
            (b"", "the value is not JSON: it is empty"),
            (b"hello", "the value is not JSON: .*at byte 0 of 5"),
            (b"[1]", "the value is a JSON array, not an object"),
            (b"7", "the value is a JSON number, not an object"),
            (b"{}", "nor plain: event_type, payload missing"),
            (b'{"payload": {}}', "nor plain: event_type missing"),
            (b'{"event_type": "a"}', "nor plain: payload missing"),
            (b'{"event_type": "", "payload": 1}', "event_type must be a string that is not empty"),
            (b'{"event_type": 1, "payload": 1}', "event_type must be a string that is not empty"),
            (rb'{"event_type": "a\n", "payload": 1}', "event_type holds characters"),
        ],
    )
    def test_anything_else_says_what_is_missing(self, value: bytes | None, message: str) -> None:
        with pytest.raises(DecodeError, match=message):
            read(value)

    def test_another_content_type_is_named(self) -> None:
        with pytest.raises(DecodeError, match="content-type text/plain is not read here"):
            read(b"hello", (("content-type", b"text/plain"),))


def test_no_error_quotes_the_payload() -> None:
    secret = "hunter2"
    values = [
        f'{{"{secret}": {secret}}}',
        f'{{"event_type": "", "payload": "{secret}"}}',
        f'{{"event_type": 1, "{secret}": "{secret}"}}',
        f'["{secret}"]',
    ]
    for value in values:
        with pytest.raises(DecodeError) as caught:
            read(value.encode())
        assert secret not in str(caught.value)


NAMES = st.sampled_from(
    [
        *(name for name, _ in NEEDED),
        "content-type",
        "ce_time",
        "ce_dataschema",
        "ce_x",
        "CE_ID",
        "y",
    ]
)
TEXTS = st.sampled_from(
    [
        *(value for _, value in NEEDED),
        b"application/json",
        b"application/cloudevents+json",
        b"2026-01-31T12:00:00Z",
        b"2026-01-31T12:00:60+24:00",
        b"urn:vectis:event:order.created:v1",
        b"",
        b"\xff",
        b"\r\n",
    ]
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["specversion", "id", "source", "type", "data", "data_base64", "time", "event_type"]
            )
            | st.text(),
            inner,
        )
    ),
)
ENVELOPES = st.fixed_dictionaries(
    {},
    optional={
        "specversion": st.just("1.0") | JSON_VALUES,
        "id": st.just("1") | JSON_VALUES,
        "source": st.just("shop") | JSON_VALUES,
        "type": st.just("order.created") | JSON_VALUES,
        "time": st.just("2026-01-31T12:00:00Z") | JSON_VALUES,
        "datacontenttype": TEXTS.map(lambda raw: raw.decode(errors="replace")) | JSON_VALUES,
        "data": JSON_VALUES,
        "data_base64": st.binary().map(lambda raw: base64.b64encode(raw).decode()) | JSON_VALUES,
        "event_type": st.just("order.created") | JSON_VALUES,
        "payload": JSON_VALUES,
    },
)


@settings(max_examples=200)
@given(
    st.none() | st.binary() | (ENVELOPES | JSON_VALUES).map(lambda v: json.dumps(v).encode()),
    st.lists(
        st.tuples(NAMES | st.text(st.characters(codec=None)), TEXTS | st.binary()), max_size=8
    ).map(tuple)
    | st.sets(st.sampled_from(NEEDED)).map(tuple),
    st.integers(-(2**63), 2**63 - 1),
)
@example(b"[" * 100_000, NEEDED, 0)
@example(b'{"event_type":' * 100_000, (), 0)
def test_nothing_but_a_decode_error_comes_out(
    value: bytes | None, headers: Headers, timestamp: int
) -> None:
    message = ""
    try:
        received = read(value, headers, timestamp=timestamp)
    except DecodeError as error:
        message = str(error)
    else:
        # Whatever was read can be used and sent on.
        assert received.event.type
        assert received.event.time.tzinfo is not None
        assert received.event.correlation_id
        write(received.event)
    assert message.isprintable()
    assert len(message) < 500


@given(st.integers(0, 10**18))
@example(10**9 - 1)
@example(999_999)
def test_the_present_moment_is_written_as_datetime_writes_it(nanoseconds: int) -> None:
    with patch("vectis.core._encode.time_ns", lambda: nanoseconds):
        written = now().decode()
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)
    assert written == moment.isoformat(timespec="microseconds")
