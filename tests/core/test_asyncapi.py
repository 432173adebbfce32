"""The exported documents hold against the official AsyncAPI schema, and against real messages."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.exceptions import ValidationError

import vectis_commerce
from vectis.core import Event, Hub, event_type, hookimpl, upcasts
from vectis.core.asyncapi import asyncapi, json_schemas
from vectis.core.catalogue import event_of
from vectis.core.codec import encode
from vectis.core.dead_letter import DeadLetter
from vectis.core.message import Delivery
from vectis_bus import Bus
from vectis_commerce.events import OrderCreated, OrderLine

if TYPE_CHECKING:
    from vectis.core.catalogue import Catalogue

OFFICIAL = Path(__file__).parents[1] / "data/asyncapi/3.0.0.json"


@pytest.fixture(scope="module")
def official() -> Any:
    return Draft7Validator(json.loads(OFFICIAL.read_text(encoding="utf-8")))


@event_type("parcel.sent", topic="acme.parcels", version=1)
@attrs.frozen
class OldParcel:
    order_id: str


@event_type("parcel.sent", topic="acme.parcels", version=2, key="order_id", forward=True)
@attrs.frozen
class Parcel:
    order_id: str
    size: tuple[int, int]


@upcasts("parcel.sent", from_version=1)
def with_size(payload: dict[str, Any]) -> dict[str, Any]:
    return {**payload, "size": [0, 0]}


async def typed(event: Parcel) -> None: ...
async def old(event: OldParcel) -> None: ...
async def pair(event_type: str, payload: dict[str, Any]) -> None: ...
async def many(batch: list[Delivery]) -> None: ...
def on_bus(event: Event) -> None: ...


def hub() -> Hub:
    def registers(catalogue: Catalogue) -> None:
        for what in (OldParcel, Parcel, with_size):
            catalogue.register(what)

    made = Hub(
        {
            "hub": {"source": "shop"},
            "consumer": {"max_attempts": 7, "on_exhausted": "block"},
            "topics": {"acme.returns": ["parcel.returned", "parcel/lost"]},
        },
        plugins={
            "acme": SimpleNamespace(vectis_register_events=hookimpl(registers)),
            "bus": Bus(),
            "commerce": vectis_commerce,
        },
        discover=False,
    )
    made.on_event("parcel.sent", typed)
    made.on_event("parcel.sent", typed)
    made.on_event("parcel.sent", old)
    made.on_event("parcel.sent", pair, topic="acme.more")
    made.on_event("parcel.returned", many, batch=10)
    made.subscribe("parcel.*", on_bus, priority=20)
    return made


def test_the_document_is_valid(official: Any) -> None:
    official.validate(asyncapi(hub()))
    official.validate(asyncapi(Hub({}, discover=False), title="empty", version="2.1.0"))


def test_the_validator_is_one(official: Any) -> None:
    document = asyncapi(hub())
    document["operations"]["publish.parcel.sent"]["action"] = "throw"
    with pytest.raises(ValidationError):
        official.validate(document)


def test_every_reference_leads_somewhere() -> None:
    document = asyncapi(hub())

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                found = document
                for step in value["$ref"].removeprefix("#/").split("/"):
                    found = found[step]
            for member in value.values():
                look(member)
        elif isinstance(value, list):
            for member in value:
                look(member)

    look(document)


def test_what_plugins_publish_is_sent() -> None:
    document = asyncapi(hub())
    assert document["info"] == {"title": "shop", "version": "1.0.0"}
    operation = document["operations"]["publish.parcel.sent"]
    assert operation["action"] == "send"
    assert operation["messages"] == [{"$ref": "#/channels/acme.parcels/messages/parcel.sent.v2"}]
    assert (operation["x-vectis-plugin"], operation["x-vectis-forward"]) == ("acme", True)
    sent = {name for name, one in document["operations"].items() if one["action"] == "send"}
    assert {"publish.order.created", "publish.account.approved"} <= sent
    assert "publish.order.pre_create" not in sent
    assert document["channels"]["acme.parcels"]["address"] == "acme.parcels"


def test_a_handler_is_received_with_the_versions_it_takes_and_its_failure_policy() -> None:
    operations = asyncapi(hub())["operations"]

    def messages(name: str) -> list[str]:
        return [one["$ref"].rpartition("/")[2] for one in operations[name]["messages"]]

    assert messages("handle.parcel.sent.app_typed") == ["parcel.sent.v1", "parcel.sent.v2"]
    assert messages("handle.parcel.sent.app_typed.2") == ["parcel.sent.v1", "parcel.sent.v2"]
    assert messages("handle.parcel.sent.app_old") == ["parcel.sent.v1"]
    assert messages("handle.parcel.sent.app_pair") == ["parcel.sent.v1", "parcel.sent.v2"]
    assert messages("handle.parcel.returned.app_many") == ["parcel.returned"]
    operation = operations["handle.parcel.returned.app_many"]
    assert operation["action"] == "receive"
    assert operation["channel"] == {"$ref": "#/channels/acme.returns"}
    assert (operation["x-vectis-takes"], operation["x-vectis-batch"]) == ("delivery", 10)
    assert operation["x-vectis-failure-policy"] == {
        "order": "key",
        "max_attempts": 7,
        "retry_initial_seconds": 0.1,
        "retry_max_seconds": 30.0,
        "on_exhausted": "block",
        "dead_letter_topic": "acme.returns.dlq",
        "dead_letters_per_minute": 600,
    }


def test_dead_letters_have_a_channel_of_their_own() -> None:
    document = asyncapi(hub())
    assert document["channels"]["acme.returns.dlq"]["address"] == "acme.returns.dlq"
    assert document["operations"]["set-aside.acme.returns"]["action"] == "send"
    assert "vectis.orders.dlq" not in document["channels"]  # nobody here reads vectis.orders
    letter = DeadLetter(delivery=Delivery("t", 0, 1), group="g", error="e").message()
    headers = {name: text.decode() for name, text in letter.headers}
    Draft7Validator(document["components"]["messages"]["dead-letter"]["headers"]).validate(headers)


def test_who_handles_inside_the_process_is_told_beside_it() -> None:
    (handler,) = asyncapi(hub())["x-vectis-bus"]
    assert (handler["handler"], handler["pattern"], handler["priority"]) == (
        "app:on_bus",
        "parcel.*",
        20,
    )


ORDER = OrderCreated(
    "4711",
    "900",
    "330",
    datetime(2026, 1, 31, 12, 30, tzinfo=UTC),
    Decimal("5.00"),
    [OrderLine("milk", 2, Decimal("5.00"))],
)


@pytest.mark.parametrize("instance", [ORDER, Parcel("4711", (3, 4))])
def test_what_is_really_published_fits_both_documents(instance: Any) -> None:
    made = hub()
    event = event_of(instance)
    known = made.catalogue.find(event.type)
    assert known is not None
    message = encode(
        event, topic="t", key="k", source="s", max_bytes=100_000, version=known.version
    )
    payload = json.loads(message.value or b"")
    id = f"{event.type}.v{known.version}"

    document = asyncapi(made)
    reference = document["components"]["messages"][id]["payload"]
    Draft7Validator({**document, **reference}).validate(payload)
    headers = {name: text.decode() for name, text in message.headers}
    Draft7Validator(document["components"]["messages"][id]["headers"]).validate(headers)

    bundle = json_schemas(made)
    Draft202012Validator.check_schema(bundle)
    validator = Draft202012Validator({**bundle, "$ref": f"#/$defs/{id}"})
    validator.validate(payload)
    with pytest.raises(ValidationError):
        validator.validate({**payload, "order_id": 7})


def test_the_bundle_has_every_version_and_what_they_refer_to() -> None:
    names = set(json_schemas(hub())["$defs"])
    assert {"parcel.sent.v1", "parcel.sent.v2", "order.pre_create.v1", "OrderLine"} <= names
    assert "parcel.returned" not in names
