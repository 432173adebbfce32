"""`vectis catalog`: the list, the check with its exit codes, the export."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

from tests.core.cli_world import World

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = """
import attrs
from decimal import Decimal
from vectis.core import event_type, handles, hookimpl, on_event, upcasts

@event_type("parcel.sent", topic="acme.parcels", key="order_id")
@attrs.frozen
class Parcel:
    order_id: str
    costs: Decimal

@event_type("parcel.sent", topic="acme.parcels", key="order_id", version=2)
@attrs.frozen
class Parcel2:
    order_id: str
    costs: Decimal
    currency: str
{more}
@upcasts("parcel.sent", from_version=1)
def in_euros(payload):
    return dict(payload, currency="EUR")

@hookimpl
def vectis_register_events(catalogue):
    for what in (Parcel, Parcel2, in_euros):
        catalogue.register(what)

@handles("parcel.*")
def audit(event): ...

@on_event(Parcel2)
async def book(event: Parcel2): ...
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.install("acme", plugin="acme = acme", acme=PLUGIN.format(more=""))
    made.config('[plugins]\nenable = ["acme", "bus"]\n[consumer]\nmodules = ["shop"]\n')
    made.module(
        "shop",
        "from vectis.core import on_event\n"
        "@on_event('parcel.lost', topic='acme.losses')\n"
        "async def search(event_type, payload): ...\n",
    )
    return made


def change(world: World, more: str) -> None:
    (world.site / "acme.py").write_text(PLUGIN.format(more=more))


def test_it_lists_types_with_versions_classes_and_handlers(world: World) -> None:
    lines = world.vectis("catalog").out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["EVENT", "TYPE"],
        ["parcel.lost", "-"],
        ["parcel.sent", "2"],
        ["1", "acme.Parcel"],
    ]
    assert lines[1].split()[2:] == ["acme.losses", "-", "-", "-", "acme:audit,", "app:search"]
    assert lines[2].split()[2:] == [
        "acme.parcels",
        "order_id",
        "acme",
        "acme.Parcel2",
        "acme:audit,",
        "acme:book",
    ]


def test_json_tells_the_same(world: World) -> None:
    lost, sent = world.vectis("catalog", "--json").json
    assert (lost["type"], lost["versions"], lost["catalogued"]) == ("parcel.lost", [], False)
    assert sent["versions"] == [
        {"version": 1, "class": "acme.Parcel"},
        {"version": 2, "class": "acme.Parcel2"},
    ]
    assert sent["upcasters"] == [{"from_version": 1, "function": "acme:in_euros"}]
    assert (sent["plugin"], sent["key"], sent["topics"]) == ("acme", "order_id", ["acme.parcels"])
    assert [(h["handler"], h["takes"], h["class"]) for h in sent["handlers"]] == [
        ("acme:audit", "usual", None),
        ("acme:book", "class", "acme.Parcel2"),
    ]


def test_without_types_it_says_how_they_come_about(world: World) -> None:
    world.config('[plugins]\nenable = ["bus"]\n')
    assert "vectis_register_events" in world.vectis("catalog").out


def test_a_check_without_a_snapshot_says_how_to_store_one(world: World) -> None:
    answer = world.vectis("catalog", "check")
    assert answer.code == 2
    assert "there is no snapshot vectis.catalog.json" in answer.err
    assert "--write" in answer.err


def test_an_optional_field_passes_and_a_required_one_does_not(world: World) -> None:
    assert world.vectis("catalog", "check", "--write").out == (
        "vectis.catalog.json holds 1 type now\n"
    )
    stored = (world.here / "vectis.catalog.json").read_bytes()
    same = world.vectis("catalog", "check")
    assert (same.code, same.out) == (0, "1 type, all as vectis.catalog.json promises\n")

    change(world, "    weight: float | None = None\n")
    grown = world.vectis("catalog", "check")
    assert grown.code == 0
    assert "optional-field-added" in grown.out
    assert "parcel.sent version 2: weight" in grown.out

    change(world, "    weight: float\n")
    broken = world.vectis("catalog", "check", "--json")
    assert broken.code == 1
    assert broken.json["fits"] is False
    (found,) = broken.json["changes"]
    assert (found["rule"], found["where"], found["breaks"]) == (
        "required-field-added",
        "parcel.sent version 2: weight",
        True,
    )
    assert (world.here / "vectis.catalog.json").read_bytes() == stored

    accepted = world.vectis("catalog", "check", "--write")
    assert accepted.code == 0
    assert "required-field-added" in accepted.out
    assert world.vectis("catalog", "check").code == 0


def test_a_type_that_is_gone_fails_with_its_rule(world: World) -> None:
    world.vectis("catalog", "check", "--write", "--snapshot", "types.json")
    world.config('[plugins]\nenable = ["bus"]\n')
    answer = world.vectis("catalog", "check", "--snapshot", "types.json")
    assert answer.code == 1
    assert answer.out.startswith("type-removed")
    elsewhere = world.vectis("catalog", "check", "--snapshot", "types.json", "--plugin", "other")
    assert elsewhere.code == 0


def test_a_snapshot_that_cannot_be_read_is_said(world: World) -> None:
    (world.here / "vectis.catalog.json").write_text("{")
    answer = world.vectis("catalog", "check")
    assert answer.code == 2
    assert "vectis.catalog.json is not JSON" in answer.err
    assert world.vectis("catalog", "check", "--write").code == 0
    assert world.vectis("catalog", "check").code == 0


def test_a_missing_plugin_is_mentioned_beside_the_answer(world: World) -> None:
    (world.site / "acme.py").write_text("1 / 0")
    assert "acme (acme 1.0) is quarantined, so its types are" in world.vectis("catalog").err


def test_schemas_are_exported(world: World) -> None:
    answer = world.vectis("catalog", "export", "--format", "jsonschema")
    schema = {**answer.json, "$ref": "#/$defs/parcel.sent.v2"}
    Draft202012Validator(schema).validate({"order_id": "1", "costs": "1.50", "currency": "EUR"})


def test_the_application_is_exported(world: World) -> None:
    arguments = ("--format", "asyncapi", "--title", "Parcels", "--app-version", "3.1.4")
    document = json.loads(world.vectis("catalog", "export", *arguments).out)
    assert document["info"] == {"title": "Parcels", "version": "3.1.4"}
    assert "handle.parcel.lost.app_search" in document["operations"]


def test_an_export_needs_a_format(world: World) -> None:
    answer = world.vectis("catalog", "export")
    assert answer.code == 2
    assert "jsonschema" in answer.err
