"""Whatever the strategies make crosses the wire and comes back as it was, and fits its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import vectis_commerce
from tests.core.test_payloads import Everything, Order, Unreadable
from tests.core.test_schemas import Documented
from vectis.core import Hub
from vectis.core.codec import decode, encode
from vectis.core.jsontext import from_json, to_json
from vectis.core.message import Delivery
from vectis.core.payloads import structure
from vectis.core.schemas import schema_of
from vectis.core.testing.strategies import events, instances, payloads
from vectis_commerce.events import InventoryReserved, OrderStatusChanged

if TYPE_CHECKING:
    from vectis.core import Event

EVERYTHING = Draft202012Validator(schema_of(Everything))


@settings(max_examples=50)
@given(instances(Everything))
def test_what_any_class_holds_arrives_as_it_was_and_fits_its_schema(made: Everything) -> None:
    received = from_json(to_json(made))
    assert structure(received, Everything) == made
    EVERYTHING.validate(received)


@given(instances(Documented))
def test_dataclasses_and_fields_that_nobody_gives_are_made_too(made: Documented) -> None:
    assert made.made == "here"


@given(instances(Order))
def test_what_validators_refuse_is_not_made(made: Order) -> None:
    assert all(line.count >= 1 for line in made.lines)


@given(payloads(OrderStatusChanged, status=st.sampled_from(["paid", "packed"])))
def test_a_field_may_have_a_strategy_of_its_own(payload: dict[str, Any]) -> None:
    assert payload["status"] in ("paid", "packed")
    assert isinstance(payload["changed_at"], str)


CATALOGUE = Hub({}, plugins={"commerce": vectis_commerce}, discover=False).catalogue


@given(events(CATALOGUE))
def test_events_of_a_catalogue_are_what_a_consumer_gets(event: Event) -> None:
    message = encode(event, topic="t", key=None, source="s", max_bytes=1_000_000)
    delivery = Delivery("t", 0, 0, message.key, message.value, message.headers)
    received = decode(delivery, max_bytes=1_000_000)
    known = CATALOGUE.find(received.type)
    assert known is not None
    assert isinstance(structure(received.payload, known.cls), known.cls)
    assert received.payload == event.data


@given(events(CATALOGUE, "inventory.reserved"))
def test_types_may_be_chosen(event: Event) -> None:
    assert event.data.keys() == attrs.fields_dict(InventoryReserved).keys()


def test_what_cannot_be_made_is_said() -> None:
    with pytest.raises(TypeError, match="object is no type that JSON can hold"):
        instances(Unreadable)
    with pytest.raises(TypeError, match="Order has no field line"):
        instances(Order, line=st.none())
    with pytest.raises(TypeError, match="int is no attrs class"):
        instances(int)
    with pytest.raises(KeyError):
        events(CATALOGUE, "parcel.sent")
