"""The JSON Schemas of event classes describe what is really written and read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NewType

import attrs
import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from tests.core.test_payloads import Everything, Order, Tree, Unreadable, Unresolvable
from vectis.core.exceptions import PayloadError, SubscriptionError
from vectis.core.jsontext import plain
from vectis.core.payloads import structure
from vectis.core.schemas import Schemas, schema_of

if TYPE_CHECKING:
    from vectis.core.schemas import Schema

Sku = NewType("Sku", str)


@dataclass
class Plain:
    sku: Sku
    count: int = 1


@attrs.frozen
class Documented:
    """What it is,
    in the first paragraph.

    Args:
        plain: A field.
    """

    plain: Plain
    others: list[Plain] = attrs.Factory(list)
    made: str = attrs.field(init=False, default="here")


def validator(cls: type) -> Any:
    schema = schema_of(cls)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize(
    "instance",
    [Everything(), Tree("a", (Tree("b"),)), Documented(Plain(Sku("x")), [Plain(Sku("y"), 2)])],
)
def test_what_is_published_fits_the_schema(instance: Any) -> None:
    validator(type(instance)).validate(plain(instance))


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": 1},
        {"whole": True},
        {"whole": "1"},
        {"whole": 1.5},
        {"number": True},
        {"flag": 1},
        {"money": 1.5},
        {"money": "NaN"},
        {"money": "1,5"},
        {"hour": "noon"},
        {"colour": "blue"},
        {"word": True},
        {"either": []},
        {"items": "12"},
        {"items": [1, "b"]},
        {"pair": [1]},
        {"pair": [1, "a", 2]},
        {"pair": [1, 2]},
        {"table": {"a": 1}},
        {"tree": {"children": []}},
        {"tree": {"name": "a", "children": [{"name": 3}]}},
        {"day": 3},
    ],
)
def test_what_a_class_refuses_its_schema_refuses_too(wrong: dict[str, Any]) -> None:
    with pytest.raises(PayloadError):
        structure(wrong, Everything)
    with pytest.raises(ValidationError):
        validator(Everything).validate(wrong)


@pytest.mark.parametrize(
    "right",
    [{}, {"unknown": 1}, {"day": None}, {"tree": None}, {"number": 1}, {"either": {"name": "a"}}],
)
def test_what_a_class_takes_its_schema_takes_too(right: dict[str, Any]) -> None:
    structure(right, Everything)
    validator(Everything).validate(right)


def test_a_schema_tells_what_is_needed_the_defaults_and_what_it_is_about() -> None:
    schema = schema_of(Documented)
    assert schema["title"] == "Documented"
    assert schema["description"] == "What it is, in the first paragraph."
    assert schema["required"] == ["plain"]
    assert schema["properties"]["plain"] == {"$ref": "#/$defs/Plain"}
    assert schema["properties"]["made"] == {"type": "string", "default": "here"}
    assert "default" not in schema["properties"]["others"]
    assert schema["$defs"]["Plain"]["required"] == ["sku"]
    assert "description" not in schema_of(Order)


def test_two_classes_of_one_name_are_two_schemas() -> None:
    one = attrs.make_class("Line", {"a": attrs.field(type=int)})
    other = attrs.make_class("Line", {"b": attrs.field(type=str)})
    both = attrs.make_class(
        "Both", {"one": attrs.field(type=one), "other": attrs.field(type=other)}
    )
    found = schema_of(both)["$defs"]
    assert sorted(list(schema["properties"]) for schema in found.values()) == [["a"], ["b"]]


def test_draft_07_says_the_same_in_its_own_words() -> None:
    schemas = Schemas("#/components/schemas/", draft_07=True)
    pair: Schema = schemas.body(Everything)["properties"]["pair"]
    assert pair["items"] == [{"type": "integer"}, {"type": "string"}]
    assert pair["additionalItems"] is False


@pytest.mark.parametrize(
    ("cls", "complaint"),
    [(Unreadable, "Unreadable.of: object is no type"), (Unresolvable, "cannot be resolved")],
)
def test_a_class_that_json_cannot_hold_is_named(cls: type, complaint: str) -> None:
    with pytest.raises(SubscriptionError, match=complaint):
        schema_of(cls)
