"""`vectis publish`: one event from the shell, and plain words when it did not go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.core.cli_world import World

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def stored(world: World) -> World:
    world.config('[sqlite]\npath = "events.db"\n')
    return world


def test_the_receipt_names_place_transport_and_event(stored: World) -> None:
    answer = stored.vectis(
        "publish", "vectis.orders", "order.created", '{"order_id": 7}', "--event-id", "e-1"
    )
    assert (answer.code, answer.err) == (0, "")
    assert "order.created to vectis.orders/" in answer.out
    assert "by sqlite" in answer.out
    assert "e-1" in answer.out


def test_a_key_keeps_the_partition_and_offsets_grow(stored: World) -> None:
    receipts = [
        stored.vectis("publish", "t", "a.b", "{}", "--key", "7", "--json").json for _ in range(2)
    ]
    assert receipts[0]["published"] is True
    assert [receipt["offset"] for receipt in receipts] == [0, 1]
    assert receipts[0]["partition"] == receipts[1]["partition"]
    assert receipts[0]["event_id"] != receipts[1]["event_id"]


def test_the_payload_comes_from_argument_stdin_or_file(stored: World) -> None:
    (stored.here / "payload.json").write_text('{"order_id": 7}')
    for payload in (["@payload.json"], ["-"], []):
        assert stored.feed(b'{"order_id": 7}', "publish", "t", "a.b", *payload).code == 0


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ("{order_id: 7}", "PAYLOAD is JSON"),
        ("[1, 2]", "must be a JSON object, not list"),
        ("@missing.json", "missing.json cannot be read: No such file"),
        ("[" * 100_000, "PAYLOAD is JSON"),
        ("-", "stdin"),
    ],
)
def test_a_payload_that_is_none_is_a_wrong_command(stored: World, payload: str, said: str) -> None:
    answer = stored.vectis("publish", "t", "a.b", payload)
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert not (stored.here / "events.db").exists()


def test_without_a_transport_a_person_is_told_so(world: World) -> None:
    answer = world.vectis("publish", "t", "a.b", "{}")
    assert answer.code == 1
    assert "nothing was published to t: no transport is available" in answer.err
    world.install("acme", plugin="acme = acme", acme="1 / 0")
    assert "plugin acme (acme 1.0) is quarantined" in world.vectis("publish", "t", "a.b").err
    assert "vectis doctor" in answer.err


def test_a_configured_transport_that_safe_mode_hides_is_named(stored: World) -> None:
    publishing = stored.vectis("publish", "t", "a.b", "{}", VECTIS_SAFE_MODE="1")
    stored.module(
        "shop",
        "from vectis.core import on_event\n@on_event('a.b', topic='t')\ndef take(t, p): ...\n",
    )
    consuming = stored.vectis("consume", "shop", VECTIS_CONSUMER_GROUP="g", VECTIS_SAFE_MODE="1")
    assert (publishing.code, consuming.code) == (1, 2)
    for answer in (publishing, consuming):
        assert (
            "sqlite (vectis-sqlite 0.1.0) is configured, and hidden by VECTIS_SAFE_" in answer.err
        )
        assert "Unset VECTIS_SAFE_MODE" in answer.err
        assert "onfigure one" not in answer.err
    stored.config('[sqlite]\npath = "events.db"\n\n[plugins]\ndisable = ["sqlite"]\n')
    answer = stored.vectis("publish", "t", "a.b", "{}", VECTIS_SAFE_MODE="1")
    assert "Configure one" in answer.err  # to unset the variable would not be enough


def test_a_failure_tells_its_fate_to_people_and_programs(world: World) -> None:
    world.install(
        "acme",
        plugin="acme = acme",
        acme="""
from vectis.core import hookimpl
from vectis.core.exceptions import PublishError
from vectis.core.transport import Carrier

async def send(message):
    raise PublishError("the broker said no", fate="rejected")

@hookimpl
def vectis_emit(route):
    return Carrier(send=send) if route.scope == "service" else None
""",
    )
    answer = world.vectis("publish", "t", "a.b", "{}", "--json")
    assert answer.code == 1
    assert answer.json == {"published": False, "fate": "rejected", "error": "the broker said no"}
    assert "the broker said no [fate: rejected]" in answer.err


def test_what_works_without_broken_plugins_names_them_a_line_each(world: World) -> None:
    world.config('[sqlite]\npath = "events.db"\n[consumer]\ngroup = "shop"\n')
    world.install("acme", plugin="acme = acme", acme="1 / 0")
    commands = (
        ("publish", "orders", "order.created"),
        ("dlq", "list", "--topic", "orders"),
        ("tail", "orders", "--from-beginning", "--limit", "1"),
    )
    for command in commands:
        answer = world.vectis(*command)
        assert answer.code == 0
        assert answer.err.startswith(
            "Warning: a plugin is quarantined\n"
            "  acme (acme 1.0): cannot be imported from 'acme': ZeroDivisionError: division by "
            "zero\n"
            "  -> mend it, install another version of acme, or `vectis plugins disable acme`\n"
        )
        assert answer.err.count("acme (acme 1.0)") == 1
    world.install("b", plugin="b = b", b="raise ValueError('one\\ntwo')")
    for command in commands:
        assert world.vectis(*command).err.startswith(
            "Warning: 2 plugins are quarantined\n"
            "  acme (acme 1.0): cannot be imported from 'acme': ZeroDivisionError: division by "
            "zero\n"
            "  b (b 1.0): cannot be imported from 'b': ValueError: one two\n"
            "  -> `vectis doctor` says what to do about each\n"
        )
