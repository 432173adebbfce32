"""What arrives as JSON is read strictly, and what does not fit is named by its path."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import attrs
import pytest
from attrs.validators import ge

from vectis.core.exceptions import PayloadError, Reject, SubscriptionError
from vectis.core.jsontext import plain
from vectis.core.payloads import reader_of, structure


class Colour(enum.Enum):
    RED = "red"
    TWO = 2


@attrs.frozen
class Tree:
    name: str
    children: tuple[Tree, ...] = ()
    by_name: Mapping[str, Tree] = attrs.Factory(dict)


@attrs.frozen
class Everything:
    text: str = ""
    whole: int = 1
    number: float = 1.5
    flag: bool = True
    money: Decimal = Decimal("1.50")
    moment: datetime = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
    day: date | None = date(2026, 1, 31)
    hour: time = time(12, 30)
    id: UUID | None = attrs.Factory(lambda: UUID(int=1))
    colour: Colour = Colour.RED
    word: Literal["a", 1] = "a"
    either: int | str | Tree = 1
    items: Sequence[int] = (1, 2)
    numbers: list[float] = attrs.Factory(lambda: [0.5])
    pair: tuple[int, str] = (1, "a")
    table: dict[str, Decimal] = attrs.Factory(lambda: {"a": Decimal("0.1")})
    tree: Tree | None = Tree("a", (Tree("b"),), {"c": Tree("d")})
    anything: Any = attrs.Factory(lambda: {"x": [1]})


@attrs.frozen
class Positive:
    count: int = attrs.field(validator=ge(1))


@attrs.frozen
class Order:
    lines: list[Positive]


def test_what_was_written_is_read_as_it_was() -> None:
    assert structure(plain(Everything()), Everything) == Everything()


def test_what_is_missing_has_its_default_and_unknown_keys_are_ignored() -> None:
    assert structure({"new": 1, "tree": None}, Everything) == Everything(tree=None)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("text", 1, "must be a string, not a number"),
        ("whole", True, "must be a whole number, not a boolean"),
        ("whole", 1.0, "must be a whole number, not a number with a point"),
        ("whole", "1", "must be a whole number, not a string"),
        ("number", True, "must be a number, not a boolean"),
        ("flag", 1, "must be true or false, not a number"),
        ("money", 1.5, "must be a string with a decimal number, not a number with a point"),
        ("money", "NaN", "must be a string with a decimal number, not this string"),
        ("money", "1.5\n", "must be a string with a decimal number, not this string"),
        ("moment", "2026-01-31T12:30:00", "must be a string with an RFC 3339 time and offset"),
        ("moment", "2026-02-31T12:30:00Z", "must be a string with an RFC 3339 time and offset"),
        ("day", "2026-W05-1", "must be a string with a date, not this string"),
        ("day", "2026-02-31", "must be a string with a date, not this string"),
        ("hour", "noon", "must be a string with a time of day"),
        ("id", "{00000000-0000-0000-0000-000000000001}", "must be a string with a UUID"),
        ("colour", "blue", "must be one of 'red', 2"),
        ("colour", [], "must be one of 'red', 2, not an array"),
        ("word", True, "must be one of 'a', 1, not a boolean"),
        ("either", [], "must be of one of its types, not an array"),
        ("items", "12", "must be an array, not a string"),
        ("pair", [1], "must be an array of exactly 2, not this array"),
        ("table", [], "must be an object, not an array"),
        ("tree", "a", "must be an object, not a string"),
        ("either", {}, "must be of one of its types, not an object"),
    ],
)
def test_what_does_not_fit_is_named(key: str, value: Any, complaint: str) -> None:
    with pytest.raises(PayloadError) as refused:
        structure({key: value}, Everything)
    assert str(refused.value).startswith(f"payload.{key} {complaint}")


@pytest.mark.parametrize("key", ["whole", "money", "moment", "colour", "word", "tree", "items"])
def test_what_does_not_fit_is_never_quoted(key: str) -> None:
    with pytest.raises(PayloadError) as refused:
        structure({key: "4111 1111 1111 1111"}, Everything)
    assert "4111" not in str(refused.value)


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({"tree": {"name": "a", "children": [{"name": "b"}, {}]}}, "tree.children[1].name is miss"),
        ({"tree": {"name": "a", "by_name": {"x y": {"name": 3}}}}, 'tree.by_name["x y"].name must'),
        ({"items": [1, "b"]}, "items[1] must"),
        ({"pair": [1, 2]}, "pair[1] must"),
        ({"table": {"a": 1}}, "table.a must"),
    ],
)
def test_the_path_leads_inside(payload: dict[str, Any], path: str) -> None:
    with pytest.raises(PayloadError) as refused:
        structure(payload, Everything)
    assert str(refused.value).startswith(f"payload.{path}")


@pytest.mark.parametrize("payload", [None, [], "text", 7])
def test_a_payload_that_is_no_object_is_refused_whole(payload: Any) -> None:
    with pytest.raises(PayloadError, match=r"^payload must be an object, not"):
        structure(payload, Everything)


@attrs.frozen
class Card:
    kind: Literal["card"]
    number: str


@attrs.frozen
class Cash:
    kind: Literal["cash"]
    given: Decimal


@attrs.frozen
class Payment:
    by: Card | Cash | None
    amounts: list[int] | dict[str, int] = attrs.Factory(list)


def test_classes_of_a_union_are_told_apart_by_their_literals() -> None:
    by = {"kind": "cash", "given": "5", "number": "7"}
    assert structure({"by": by}, Payment).by == Cash("cash", Decimal(5))
    assert structure({"by": None, "amounts": {"a": 1}}, Payment) == Payment(None, {"a": 1})
    with pytest.raises(PayloadError, match=r"payload.by.given must be a string with a decimal"):
        structure({"by": {**by, "given": 5}}, Payment)
    with pytest.raises(PayloadError, match=r"payload.by must be of one of its types"):
        structure({"by": {**by, "kind": "cheque"}}, Payment)


@attrs.frozen
class Plus:
    of: Plus | Minus | int


@attrs.frozen
class Minus:
    of: Plus | Minus | int


def test_a_payload_with_endless_ways_to_be_read_is_given_up() -> None:
    payload: Any = "nothing"
    for _ in range(60):
        payload = {"of": payload}
    with pytest.raises(PayloadError, match="too many ways to read it; a Literal field"):
        structure(payload, Plus)
    for _ in range(3):
        many = [{"of": {"of": 1}}] * 20_000
        assert len(structure({"all": many}, attrs.make_class("Many", {"all": MANY})).all) == 20_000


MANY: Any = attrs.field(type=list[Plus | Minus])


def test_a_payload_nested_deeper_than_python_goes_is_refused() -> None:
    payload: Any = {"name": "a"}
    for _ in range(5_000):
        payload = {"name": "a", "children": [payload]}
    with pytest.raises(PayloadError, match="recursion"):
        structure(payload, Tree)


def test_a_validator_of_the_class_has_its_say_with_the_path() -> None:
    with pytest.raises(PayloadError) as refused:
        structure({"lines": [{"count": 1}, {"count": 0}]}, Order)
    message = str(refused.value)
    assert message.startswith("payload.lines[1].count is refused by Positive: 'count' must be >= 1")


def test_a_misfit_can_never_succeed() -> None:
    assert issubclass(PayloadError, Reject)


@attrs.frozen
class Unreadable:
    of: object


@attrs.frozen
class Unresolvable:
    of: Missing  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize("cls", [Unreadable, Unresolvable])
def test_a_class_that_cannot_be_read_says_so_before_anything_arrives(cls: type) -> None:
    with pytest.raises(SubscriptionError, match=f"cannot be read as {__name__}.{cls.__name__}"):
        reader_of(cls)
