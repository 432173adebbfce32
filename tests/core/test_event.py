from __future__ import annotations

import copy
import enum
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from vectis.core import Event


def test_an_event_is_what_happened_with_its_data() -> None:
    event = Event(type="order.created", data={"order_id": 7}, source="shop", user_id=3)
    assert (event.type, event.data, event.source, event.user_id) == (
        "order.created",
        {"order_id": 7},
        "shop",
        3,
    )


def test_an_event_without_data_has_an_empty_dict_of_its_own() -> None:
    first, second = Event("a"), Event("a")
    assert first.data == {}
    assert first.data is not second.data


def test_id_and_time_are_made_once_when_asked_for() -> None:
    event = Event("a")
    assert event.id == event.id != Event("a").id
    assert event.time is event.time
    assert datetime.now(UTC) - event.time < timedelta(minutes=1)


def test_a_first_event_is_its_own_correlation_and_has_no_cause() -> None:
    event = Event("a")
    assert (event.correlation_id, event.causation_id) == (event.id, None)


def test_an_event_follows_the_one_that_caused_it() -> None:
    first, second, third = Event("a"), Event("b"), Event("c")
    second.follow(first)
    third.follow(second)
    assert second.causation_id == first.id
    assert third.causation_id == second.id
    assert third.correlation_id == second.correlation_id == first.id


def test_correlation_that_was_given_stays() -> None:
    event = Event("b", correlation_id="mine", causation_id="cause")
    event.follow(Event("a"))
    assert (event.correlation_id, event.causation_id) == ("mine", "cause")


def test_an_event_does_not_follow_itself() -> None:
    event = Event("a")
    event.follow(event)
    assert event.causation_id is None


def test_an_event_cannot_be_changed_and_the_error_names_replace() -> None:
    event = Event("a")
    with pytest.raises(AttributeError, match=r"event\.replace\(source=\.\.\.\)"):
        event.source = "shop"
    with pytest.raises(AttributeError, match="cannot be changed"):
        del event.data


def test_replace_returns_the_same_event_with_other_values() -> None:
    event = Event("order.created", {"order_id": 7}, id="1")
    changed = event.replace(source="shop")
    assert (changed.id, changed.time, changed.data) == (event.id, event.time, event.data)
    assert (changed.source, event.source) == ("shop", None)


def test_a_copy_still_follows_the_event_it_is_emitted_from() -> None:
    event, cause = Event("b"), Event("a")
    for other in (
        event.replace(source="shop"),
        copy.copy(event),
        pickle.loads(pickle.dumps(event)),
    ):
        assert other.id == event.id
        other.follow(cause)
        assert other.causation_id == cause.id


def test_replace_refuses_a_name_that_an_event_does_not_have() -> None:
    with pytest.raises(TypeError, match="typ"):
        Event("a").replace(typ="b")


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'payload'"):
        _ = Event("a").payload


def test_an_empty_type_is_refused_with_an_example() -> None:
    with pytest.raises(ValueError, match=r"needs a type, such as 'order\.created'"):
        Event("")


@pytest.mark.parametrize(
    "type", ["order created", "order.*", "*", "ord*", ".", "order.", ".a", "a..b", " a", "a\n"]
)
def test_a_type_that_no_subscription_could_name_is_refused(type: str) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="no subscription could name this type"):
            Event(type)


def test_types_without_number_are_checked_one_by_one() -> None:
    for number in range(3000):
        assert Event(f"a.{number}").type == f"a.{number}"
    with pytest.raises(ValueError, match="no subscription"):
        Event("a b")


def test_what_other_producers_call_their_events_is_kept_also_in_copies() -> None:
    event = Event.received("Order Created", {}, id="7")
    for other in (event, event.replace(source="x"), copy.copy(event)):
        assert other.type == "Order Created"


@pytest.mark.parametrize("type", [None, 7, b"order.created", ["a"]])
def test_a_type_that_is_no_string_is_refused(type: Any) -> None:
    with pytest.raises(TypeError, match=f"must be a string, not {type.__class__.__name__}"):
        Event(type)


@pytest.mark.parametrize("data", [[1], "text", 7, (("a", 1),)])
def test_data_that_is_no_dict_is_refused_by_name(data: Any) -> None:
    with pytest.raises(
        TypeError, match=rf"Event\('a'\): data must be a dict.*{type(data).__name__}"
    ):
        Event("a", data)


def test_an_instance_in_place_of_data_is_refused_with_the_way_to_its_data() -> None:
    class OrderCreated: ...

    with pytest.raises(
        TypeError, match=r"not OrderCreated; .*catalogue\.event_of\(instance\)\.data"
    ):
        Event("order.created", OrderCreated())  # type: ignore[arg-type]


def test_a_member_of_an_enum_of_strings_is_a_type() -> None:
    class Types(enum.StrEnum):
        CREATED = "order.created"

    class Older(str, enum.Enum):  # noqa: UP042 - as code written before 3.11 has it
        CREATED = "order.created"

    for member in (Types.CREATED, Older.CREATED):
        event = Event(member)
        assert event.type == "order.created"
        assert type(event.type) is str


def test_the_repr_never_shows_the_data() -> None:
    assert "4111" not in repr(Event("a", {"card": "4111"}))


def test_a_received_event_carries_any_json_value() -> None:
    event = Event.received("a", [1, 2], id="7", source="elsewhere")
    assert event.data == cast("Any", [1, 2])
    assert (event.id, event.source) == ("7", "elsewhere")


def test_a_version_goes_along_with_a_copy_until_the_type_is_another() -> None:
    event = Event("order.created", version=2)
    assert (Event("order.created").version, event.version) == (None, 2)
    assert event.replace(source="shop").version == 2
    assert event.replace(type="order.paid").version is None
    assert event.replace(type="order.paid", version=3).version == 3
    assert pickle.loads(pickle.dumps(event)).version == copy.copy(event).version == 2
    with pytest.raises(ValueError, match=r"order\.created: version=0 is none"):
        Event("order.created", version=0)
