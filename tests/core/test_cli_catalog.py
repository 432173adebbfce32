"""`vectis catalog`: the list, the check with its exit codes, the export."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

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


def test_many_handlers_of_one_type_do_not_make_a_line_that_nobody_can_read(world: World) -> None:
    handler = '@handles("parcel.sent")\ndef handler_{0}(event): ...\n\n'
    change(world, "\n" + "".join(handler.format(number) for number in range(40)))
    answer = world.vectis("catalog")
    (row,) = [line for line in answer.out.splitlines() if line.startswith("parcel.sent ")]
    assert "acme:handler_4 and 37 more" in row
    assert len(row) < 200
    assert "All handlers of a type: `vectis explain EVENT_TYPE`" in answer.out
    assert "acme:handler_39" in world.vectis("explain", "parcel.sent").out


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
    elsewhere = world.vectis("catalog", "check", "--snapshot", "types.json", "--plugin", "bus")
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


SMALL = """
import attrs
from vectis.core import event_type, hookimpl

@event_type("{name}", topic="{topic}")
@attrs.frozen
class Small:
    id: str

@hookimpl
def vectis_register_events(catalogue):
    catalogue.register(Small)
"""
SHOP = """
import attrs
from vectis.core import event_type, on_event

@event_type("parcel.found", topic="acme.found")
@attrs.frozen
class Found:
    id: str

@on_event(Found)
async def tell(event: Found): ...
"""


@pytest.fixture
def three(world: World) -> World:
    """A snapshot with types of two plugins and of a module that only `--module` names."""
    source = SMALL.format(name="near.seen", topic="near")
    world.install("near", plugin="near = near", near=source)
    world.config('[plugins]\nenable = ["acme", "near", "bus"]\n')
    world.module("shop", SHOP)
    assert world.vectis("catalog", "check", "--write", "--module", "shop").code == 0
    assert list(stored(world)) == ["near.seen", "parcel.found", "parcel.sent"]
    return world


def stored(world: World) -> dict[str, Any]:
    types: dict[str, Any] = json.loads((world.here / "vectis.catalog.json").read_bytes())["types"]
    return types


def test_writing_the_types_of_one_plugin_keeps_those_of_the_others(three: World) -> None:
    before = stored(three)
    change(three, "    weight: float\n")
    (three.site / "near.py").write_text(SMALL.format(name="near.heard", topic="near"))
    answer = three.vectis("catalog", "check", "--write", "--plugin", "acme")
    assert answer.code == 0
    assert answer.out.splitlines()[-1] == (
        "vectis.catalog.json holds 1 type of acme now, and 2 of others as before"
    )
    after = stored(three)
    assert after.pop("parcel.sent") != before.pop("parcel.sent")
    assert after == before
    rest = three.vectis("catalog", "check", "--module", "shop")
    assert [text.split()[:2] for text in rest.out.splitlines()[:-1]] == [
        ["type-added", "near.heard"],
        ["type-removed", "near.seen"],
    ]


def test_a_type_that_moved_to_another_plugin_is_not_gone(three: World) -> None:
    (three.site / "acme.py").write_text(SMALL.format(name="near.seen", topic="near"))
    (three.site / "near.py").write_text("")
    answer = three.vectis("catalog", "check", "--plugin", "near")
    assert (answer.code, answer.out) == (0, "1 type, all as vectis.catalog.json promises\n")
    assert three.vectis("catalog", "check", "--write", "--plugin", "near").code == 0
    assert stored(three)["near.seen"]["plugin"] == "acme"


def test_a_snapshot_that_cannot_be_read_is_kept_when_others_are_in_it(three: World) -> None:
    (three.here / "vectis.catalog.json").write_text("{")
    answer = three.vectis("catalog", "check", "--write", "--plugin", "acme")
    assert answer.code == 2
    assert "write it anew without --plugin. Nothing was written" in answer.err
    assert (three.here / "vectis.catalog.json").read_text() == "{"


def test_a_plugin_that_nobody_knows_is_refused_with_the_nearest(three: World) -> None:
    before = stored(three)
    for more in ([], ["--write"]):
        answer = three.vectis("catalog", "check", "--plugin", "bus", "--plugin", "acne", *more)
        assert (answer.code, answer.out) == (2, "")
        assert "no installed plugin is called 'acne'; did you mean 'acme'?" in answer.err
    assert stored(three) == before
    own = three.vectis("catalog", "check", "--plugin", "app", "--module", "shop")
    assert (own.code, own.out) == (0, "1 type, all as vectis.catalog.json promises\n")


def test_types_of_a_plugin_that_is_gone_can_be_let_go(three: World) -> None:
    (three.site / "near-1.0.dist-info" / "entry_points.txt").write_text("")
    three.config('[plugins]\nenable = ["acme", "bus"]\n')
    assert three.vectis("catalog", "check", "--plugin", "near").out.startswith("type-removed")
    assert three.vectis("catalog", "check", "--write", "--plugin", "near").code == 0
    assert list(stored(three)) == ["parcel.found", "parcel.sent"]


def test_the_command_that_accepts_changes_says_what_was_given(three: World) -> None:
    change(three, "    weight: float\n")
    answer = three.vectis("catalog", "--module", "shop", "check", "--plugin", "acme")
    accepting = "vectis catalog check --module shop --plugin acme --write"
    assert answer.out.endswith(f"To accept them all: {accepting}\n")
    missing = three.vectis("catalog", "check", "--module", "shop", "--snapshot", "a b.json")
    assert "`vectis catalog check --snapshot 'a b.json' --module shop --write`" in missing.err
    assert three.vectis(*accepting.split()[1:]).code == 0
    assert three.vectis("catalog", "check", "--module", "shop").code == 0


@pytest.mark.parametrize("tolerated", ["", '[consumer]\ntolerate = ["near"]\n'])
def test_without_a_broken_plugin_nothing_is_checked_written_or_exported(
    three: World, tolerated: str
) -> None:
    three.config('[plugins]\nenable = ["acme", "near", "bus"]\n' + tolerated)
    before = stored(three)
    (three.site / "near.py").write_text("1 / 0")
    for command, nothing in (
        (("check",), "Nothing was checked"),
        (("check", "--write"), "Nothing was written"),
        (("check", "--write", "--plugin", "near"), "Nothing was written"),
        (("export", "--format", "asyncapi"), "Nothing was exported"),
    ):
        answer = three.vectis("catalog", *command)
        assert (answer.code, answer.out) == (2, "")
        assert "a plugin is quarantined, so what it brings would be missing\n" in answer.err
        assert "  near (near 1.0): " in answer.err
        assert "`vectis plugins disable near`" in answer.err
        assert answer.err.endswith(f"{nothing}\n")
    assert stored(three) == before
    assert three.vectis("catalog", "check", "--plugin", "acme").code == 0


def test_what_safe_mode_hides_is_not_taken_for_gone(three: World) -> None:
    before = stored(three)
    three.config('[plugins]\nenable = ["acme", "near", "bus"]\ndisable = ["near"]\n')
    for command in (("check",), ("check", "--write"), ("export", "--format", "jsonschema")):
        answer = three.vectis("catalog", *command, VECTIS_SAFE_MODE="1")
        assert (answer.code, answer.out) == (2, "")
        assert "VECTIS_SAFE_MODE hides acme (acme 1.0), so what it brings would" in answer.err
        assert "-> unset VECTIS_SAFE_MODE" in answer.err
    assert stored(three) == before


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
