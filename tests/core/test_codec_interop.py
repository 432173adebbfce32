"""What the codec writes the official CloudEvents SDK reads the same, and the other way round."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings import kafka
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1 import kafka as old_kafka
from cloudevents.v1.http import CloudEvent as OldCloudEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from vectis.core.codec import decode, encode
from vectis.core.events import Event
from vectis.core.message import Delivery, Message

CAP = 10_000_000

# Texts as CloudEvents allows them: no control characters, no surrogates, no noncharacters.
TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn")), min_size=1)
TYPES = st.lists(TEXTS.filter(lambda text: not {*".*"} & {*text} and text.split() == [text])).map(
    lambda segments: ".".join(segments) or "order.created"
)
TIMES = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis takes naive bounds
PAYLOADS = st.dictionaries(
    st.text(),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.text()
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    ),
)
EVENTS = st.builds(
    Event,
    type=TYPES,
    data=PAYLOADS,
    source=TEXTS,
    user_id=st.none() | TEXTS,
    id=TEXTS,
    time=TIMES,
    correlation_id=TEXTS,
    causation_id=st.none() | TEXTS,
)
ATTRIBUTES = st.fixed_dictionaries(
    {"specversion": st.just("1.0"), "id": TEXTS, "source": TEXTS, "type": TEXTS, "time": TIMES},
    optional={
        "subject": TEXTS,
        "dataschema": TEXTS,
        "datacontenttype": st.just("application/json"),
        "correlationid": TEXTS,
        "causationid": TEXTS,
        "userid": TEXTS,
        "traceparent": TEXTS,
        "partitionkey": TEXTS,
        "tenant": TEXTS,
    },
)


def for_the_sdk(message: Message) -> kafka.KafkaMessage:
    value: Any = message.value  # the SDK's type knows no tombstone, its code does
    return kafka.KafkaMessage(dict(message.headers), message.key, value)


def from_the_sdk(message: kafka.KafkaMessage) -> Delivery:
    key = message.key.encode() if isinstance(message.key, str) else message.key
    return Delivery("vectis.orders", 0, 1, key, message.value, tuple(message.headers.items()))


@settings(max_examples=40)  # the SDK takes its time over each
@given(EVENTS, st.none() | TEXTS, st.none() | st.integers(1, 999), st.none() | TEXTS)
def test_what_we_write_the_sdk_reads(
    event: Event, key: str | None, version: int | None, traceparent: str | None
) -> None:
    message = encode(
        event,
        topic="vectis.orders",
        key=key,
        source="shop",
        max_bytes=CAP,
        version=version,
        traceparent=traceparent,
    )
    theirs = kafka.from_kafka_event(for_the_sdk(message))
    expected = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": event.time,
        "datacontenttype": "application/json",
        "correlationid": event.correlation_id,
        "causationid": event.causation_id,
        "userid": event.user_id,
        "dataschema": version and f"urn:vectis:event:{event.type}:v{version}",
        "traceparent": traceparent,
        "partitionkey": key,
    }
    assert theirs.get_attributes() == {k: v for k, v in expected.items() if v is not None}
    assert theirs.get_data() == event.data


def test_the_sdk_reads_our_tombstone() -> None:
    event = Event.received("order.created", None, id="1")
    message = encode(event, topic="vectis.orders", key="7", source="shop", max_bytes=CAP)
    theirs = kafka.from_kafka_event(for_the_sdk(message))
    assert (theirs.get_id(), theirs.get_data()) == ("1", None)


@pytest.mark.parametrize("mode", ["binary", "structured"])
@settings(max_examples=40)  # the SDK takes its time over each
@given(attributes=ATTRIBUTES, payload=st.none() | PAYLOADS)
def test_what_the_sdk_writes_we_read(
    mode: str, attributes: dict[str, Any], payload: dict[str, Any] | None
) -> None:
    theirs = CloudEvent(dict(attributes), payload)
    binary = mode == "binary"
    message = kafka.to_binary_event(theirs) if binary else kafka.to_structured_event(theirs)
    received = decode(from_the_sdk(message), max_bytes=CAP)
    event = received.event
    assert received.envelope.content_mode == mode
    assert received.payload == event.data == payload
    assert received.envelope.version is None
    read = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": event.time,
        "userid": event.user_id,
        "causationid": event.causation_id,
        "traceparent": received.envelope.traceparent,
        **received.envelope.extensions,
    }
    if "correlationid" in attributes:
        read["correlationid"] = event.correlation_id
    attributes.pop("datacontenttype", None)
    assert {k: v for k, v in read.items() if v is not None} == attributes


@settings(max_examples=40)  # the SDK takes its time over each
@given(payload=PAYLOADS)
def test_bytes_that_the_sdk_writes_as_base64_are_read_as_json(payload: dict[str, Any]) -> None:
    inner = encode(Event("a", payload), topic="t", key=None, source="s", max_bytes=CAP).value
    theirs = CloudEvent({"type": "a", "source": "s"}, inner)
    received = decode(from_the_sdk(kafka.to_structured_event(theirs)), max_bytes=CAP)
    assert received.payload == payload


@pytest.mark.parametrize(
    ("write", "attributes", "mode"),
    [
        (old_kafka.to_binary, {"datacontenttype": "application/json"}, "binary"),
        # Its structured mode names the content type of the data, or none, in place of its own.
        (old_kafka.to_structured, {"datacontenttype": "application/json"}, "structured"),
        (old_kafka.to_structured, {}, "structured"),
    ],
)
def test_what_the_sdks_first_generation_writes_we_read(
    write: Callable[[OldCloudEvent], old_kafka.KafkaMessage], attributes: dict[str, str], mode: str
) -> None:
    common = {"id": "1", "type": "order.created", "source": "shop", "tenant": "x"}
    message = write(OldCloudEvent({**common, **attributes}, {"order_id": 7}))
    value = message.value.encode() if isinstance(message.value, str) else message.value
    received = decode(
        Delivery("vectis.orders", 0, 1, None, value, tuple(message.headers.items())), max_bytes=CAP
    )
    assert received.envelope.content_mode == mode
    assert (received.event.id, received.event.type) == ("1", "order.created")
    assert received.payload == {"order_id": 7}
    assert received.envelope.extensions == {"tenant": "x"}
