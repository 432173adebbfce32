"""What may change in an event type, and what others do not expect; each change by its rule."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Any, Literal

import attrs
import pytest

from vectis.core import Catalogue, Hub, event_type, upcasts
from vectis.core.compatibility import checked, compare, snapshot_of
from vectis.core.entries import entries
from vectis.core.exceptions import ConfigError
from vectis.core.jsontext import from_json, to_json


class Status(enum.Enum):
    OPEN = "open"
    PAID = "paid"


class MoreStatus(enum.Enum):
    OPEN = "open"
    PAID = "paid"
    LOST = "lost"


@attrs.frozen
class Line:
    sku: str
    count: int = 1


@attrs.frozen
class WiderLine:
    sku: str
    count: int = 1
    note: str | None = None


@attrs.frozen
class NarrowerLine:
    sku: str


@attrs.frozen
class Tree:
    children: tuple[Tree, ...] = ()


FIELDS: dict[str, Any] = {"order_id": str, "total": Decimal, "lines": tuple[Line, ...]}


def snapshot(
    *,
    changed: dict[str, Any] | None = None,
    optional: dict[str, Any] | None = None,
    without: str = "",
    versions: tuple[int, ...] = (1,),
    upcasters: tuple[int, ...] = (),
    **said: Any,
) -> dict[str, Any]:
    """Return the snapshot of a type with these fields, as it comes out of a file."""
    needed = {k: t for k, t in {**FIELDS, **(changed or {})}.items() if k != without}
    fields = {name: attrs.field(type=kind) for name, kind in needed.items()}
    fields |= {
        name: attrs.field(type=kind, default=None) for name, kind in (optional or {}).items()
    }
    hub = Hub({}, discover=False)
    for version in versions:
        cls = attrs.make_class("Order", fields)
        hub.catalogue.register(event_type("order.created", version=version, **said)(cls))
    for version in upcasters:

        @upcasts("order.created", from_version=version)
        def newer(payload: dict[str, Any]) -> dict[str, Any]:
            return payload

        hub.catalogue.register(newer)
    found = from_json(to_json(snapshot_of(entries(hub))))
    assert isinstance(found, dict)
    return checked(found, "file")


EMPTY = {**snapshot(), "types": {}}


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [(change.rule, change.where, change.breaks) for change in compare(before, after)]


V1 = "order.created version 1"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (snapshot(), snapshot(), []),
        (EMPTY, snapshot(), [("type-added", "order.created", False)]),
        (snapshot(), EMPTY, [("type-removed", "order.created", True)]),
        (
            snapshot(),
            snapshot(optional={"note": str}),
            [("optional-field-added", f"{V1}: note", False)],
        ),
        (
            snapshot(),
            snapshot(changed={"note": str}),
            [("required-field-added", f"{V1}: note", True)],
        ),
        (snapshot(), snapshot(without="total"), [("field-removed", f"{V1}: total", True)]),
        (snapshot(), snapshot(changed={"total": str}), [("field-retyped", f"{V1}: total", True)]),
        (
            snapshot(),
            snapshot(changed={"total": Decimal | None}),
            [("field-retyped", f"{V1}: total", True)],
        ),
        (
            snapshot(optional={"note": str}),
            snapshot(changed={"note": str}),
            [("field-made-required", f"{V1}: note", True)],
        ),
        (
            snapshot(changed={"note": str}),
            snapshot(optional={"note": str}),
            [("field-made-optional", f"{V1}: note", False)],
        ),
        (
            snapshot(),
            snapshot(changed={"lines": tuple[WiderLine, ...]}),
            [("optional-field-added", f"{V1}: lines[].note", False)],
        ),
        (
            snapshot(),
            snapshot(changed={"lines": list[NarrowerLine]}),
            [("field-removed", f"{V1}: lines[].count", True)],
        ),
        (
            snapshot(changed={"of": dict[str, Line]}),
            snapshot(changed={"of": dict[str, NarrowerLine]}),
            [("field-removed", f"{V1}: of[*].count", True)],
        ),
        (
            snapshot(changed={"of": Line | None}),
            snapshot(changed={"of": NarrowerLine | None}),
            [("field-removed", f"{V1}: of.count", True)],
        ),
        (
            snapshot(changed={"of": tuple[int, str]}),
            snapshot(changed={"of": tuple[int, float]}),
            [("field-retyped", f"{V1}: of", True)],
        ),
        (
            snapshot(changed={"of": Status}),
            snapshot(changed={"of": MoreStatus}),
            [("field-retyped", f"{V1}: of", True)],
        ),
        (
            snapshot(changed={"of": Literal["a"]}),
            snapshot(changed={"of": str}),
            [("field-retyped", f"{V1}: of", True)],
        ),
        (snapshot(changed={"of": Tree}), snapshot(changed={"of": Tree}), []),
        (snapshot(topic="a"), snapshot(topic="b"), [("topic-changed", "order.created", True)]),
        (snapshot(), snapshot(topic="b"), []),
        (snapshot(key="order_id"), snapshot(), [("key-changed", "order.created", True)]),
        (
            snapshot(),
            snapshot(versions=(1, 2), upcasters=(1,)),
            [("version-added", "order.created version 2", False)],
        ),
        (
            snapshot(),
            snapshot(versions=(1, 2)),
            [
                ("upcaster-missing", V1, True),
                ("version-added", "order.created version 2", False),
            ],
        ),
        (snapshot(versions=(1, 2)), snapshot(versions=(1, 2)), []),
        (
            snapshot(versions=(1, 2), upcasters=(1,)),
            snapshot(versions=(1, 2)),
            [("upcaster-missing", V1, True)],
        ),
        (
            snapshot(versions=(1, 2)),
            snapshot(versions=(2,), upcasters=(1,)),
            [("version-retired", V1, False)],
        ),
        (snapshot(versions=(1, 2)), snapshot(versions=(2,)), [("version-removed", V1, True)]),
        (
            snapshot(versions=(1, 2)),
            snapshot(),
            [("version-removed", "order.created version 2", True)],
        ),
    ],
)
def test_a_change_is_named_by_its_rule_and_place(
    before: dict[str, Any], after: dict[str, Any], expected: list[Any]
) -> None:
    assert changes(before, after) == expected


def test_words_about_a_field_and_its_default_may_change() -> None:
    before, after = snapshot(optional={"note": str}), snapshot(optional={"note": str})
    note = after["types"]["order.created"]["versions"]["1"]["properties"]["note"]
    note |= {"default": "none", "description": "What somebody wrote."}
    assert changes(before, after) == []


def test_a_retyped_field_is_told_as_it_was_and_is() -> None:
    (change,) = compare(snapshot(), snapshot(changed={"total": float | None}))
    assert change.message == (
        "was string (decimal) and is number or null: keep its type, or make a new version"
    )


@pytest.mark.parametrize("found", [None, [], {}, {"vectis_catalog": 1}, {"types": []}])
def test_what_is_no_snapshot_is_refused(found: object) -> None:
    with pytest.raises(ConfigError, match=r"file is no snapshot .* --write"):
        checked(found, "file")


def test_a_snapshot_of_a_newer_release_is_not_guessed_at() -> None:
    with pytest.raises(ConfigError, match=r"format 2, and this release reads 1"):
        checked({**snapshot(), "vectis_catalog": 2}, "file")


def test_types_without_a_class_are_not_in_a_snapshot() -> None:
    hub = Hub({"topics": {"t": ["order.paid"]}}, discover=False)
    assert snapshot_of(entries(hub))["types"] == {}
    assert len(Catalogue()) == 0
