"""`vectis dlq`: what an operator sees and types."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from tests.core.cli_world import VECTIS, Answer, World
from vectis.core.cli import main
from vectis.core.dead_letter import DeadLetter, Round
from vectis.core.message import Delivery, Message
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
[plugins]
enable = ["sqlite"]

[sqlite]
path = "events.db"
partitions = 1
lease = 0.5

[topics]
"orders" = ["order.created"]

[consumer]
group = "shop"
modules = ["shop"]
max_attempts = 1
"""

HANDLERS = """
from vectis.core.events.consumer import on_event

@on_event("order.created")
def sync(event_type, payload):
    if payload["n"] == 13:
        raise ValueError("unlucky")
    print("synced", payload["n"])
"""


class Here(World):
    """A world whose commands run in this process, which is ten times as fast.

    For those that call no handlers: what is registered for one would be there in the next.
    """

    def __init__(
        self, folder: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        super().__init__(folder)
        self._patch = patch
        self._capsys = capsys

    def vectis(self, *arguments: str, **variables: str) -> Answer:
        with self._patch.context() as patch:
            patch.chdir(self.here)
            for name in [name for name in os.environ if name.startswith("VECTIS_")]:
                patch.delenv(name)
            for name, value in variables.items():
                patch.setenv(name, value)
            patch.setattr(sys, "path", [*sys.path])
            code = main(arguments)
        written = self._capsys.readouterr()
        return Answer(code, written.out, written.err)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.config(CONFIG)
    world.module("shop", HANDLERS)
    return world


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> World:
    world = Here(tmp_path, monkeypatch, capsys)
    world.config(CONFIG.replace('modules = ["shop"]\n', ""))
    return world


def a_letter(n: int = 1, **changes: Any) -> DeadLetter:
    value = b'{"event_type": "order.created", "payload": {"n": %d}}' % n
    letter = DeadLetter(
        delivery=Delivery("orders", 0, n, b"7", value, (("trace", b"\xff"),)),
        group="shop",
        handler="app:sync",
        plugin="app",
        error="TimeoutError: ERP \x1b[2J away",
        attempts=5,
    )
    return attrs.evolve(letter, **changes)


def put(world: World, *written: DeadLetter | Message) -> None:
    async def main() -> None:
        path = str(world.here / "events.db")
        transport = SqliteTransport(SqliteSettings(path=path, partitions=1))
        for one in written:
            message = one.message() if isinstance(one, DeadLetter) else one
            await transport.carrier(message.topic).send(message)
        await transport.close()

    asyncio.run(main())


def waiting(world: World) -> list[str]:
    return [one["id"] for one in world.vectis("dlq", "list", "--json").json["waiting"]]


def test_without_any_letters_it_says_so(here: World) -> None:
    for command in (["list"], ["replay"], ["replay", "--dry-run"], ["purge", "--yes"]):
        answer = here.vectis("dlq", *command)
        assert answer.code == 0
        assert "wait for group shop on orders.dlq" in answer.out
    assert here.vectis("dlq", "list", "--json").json == {
        "group": "shop",
        "topics": ["orders.dlq"],
        "waiting": [],
        "other_groups": {},
    }


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        ("snyc", "'snyc', here or in the letters; did you mean 'sync'?"),
        ("app:snyc", "'app:snyc', here or in the letters; did you mean 'app:sync'?"),
        ("invoice", "'invoice', here or in the letters; those that letters wait for: app:sync"),
    ],
)
def test_a_handler_that_nobody_has_is_hinted_at(here: World, handler: str, said: str) -> None:
    put(here, a_letter(1))
    for command in (["list", "--json"], ["replay", "--dry-run"], ["replay"], ["purge", "--yes"]):
        answer = here.vectis("dlq", *command, "--handler", handler)
        assert (answer.code, f"no handler is called {said}" in answer.err) == (0, True)
    assert here.vectis("dlq", "list", "--handler", "sync").err == ""


def test_a_handler_of_the_application_without_letters_needs_no_hint(world: World) -> None:
    put(world, a_letter(1, handler="app:other"))
    assert world.vectis("dlq", "list", "--handler", "sync").err == ""


def test_a_group_without_letters_is_hinted_at(here: World) -> None:
    put(here, a_letter(1, group="shop"), a_letter(2, group="billing"))
    for command in (["list"], ["replay", "--dry-run"], ["replay"], ["purge", "--yes"]):
        answer = here.vectis("dlq", *command, "--group", "shpo")
        assert "no letters wait for group 'shpo'; did you mean 'shop'?" in answer.err
        answer = here.vectis("dlq", *command, "--group", "erp")
        assert "group 'erp'; groups that have letters there: billing, shop" in answer.err
    answer = here.vectis("dlq", "show", "orders.dlq/0@0", "--group", "shpo")
    assert (answer.code, "did you mean 'shop'?" in answer.err) == (2, True)


def test_the_list_tells_what_waits_and_why(here: World) -> None:
    put(
        here,
        a_letter(1),
        Message("orders.dlq", b"7", b"?"),
        a_letter(2, handler="", plugin="", attempts=0, error="orders/0@2: not JSON"),
        a_letter(3, group="billing"),
    )
    answer = here.vectis("dlq", "list")
    assert (answer.code, answer.err) == (0, "")
    rows = [line.split("  ") for line in answer.out.splitlines()[1:4]]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert [row[0] for row in cells] == [f"orders.dlq/0@{n}" for n in range(3)]
    assert cells[0][2:] == ["app:sync", "5", "orders/0@1", "TimeoutError: ERP ?[2J away"]
    assert cells[1][2] == "foreign"
    assert "not set aside by a worker" in cells[1][-1]
    assert cells[2][2:] == ["undecodable", "0", "orders/0@2", "not JSON"]
    assert "3 wait for group shop: 1 app:sync, 1 foreign, 1 undecodable" in answer.out
    assert "letters that wait for other groups, left alone: 1 of billing" in answer.out
    assert "\x1b" not in answer.out
    few = here.vectis("dlq", "list", "--limit", "1").out
    assert "and 2 more: --limit 0 shows all of them" in few
    assert "orders.dlq/0@2" not in few
    listed = here.vectis("dlq", "list", "--handler", "sync", "--since", "1h", "--json").json
    (letter,) = listed["waiting"]
    assert letter.pop("set_aside").startswith("20")
    assert letter == {
        "id": "orders.dlq/0@0",
        "size": 59,
        "handler": "app:sync",
        "plugin": "app",
        "error": "TimeoutError: ERP ?[2J away",
        "attempts": 5,
        "replays": 0,
        "topic": "orders",
        "partition": 0,
        "offset": 1,
        "key": "7",
    }
    assert here.vectis("dlq", "list", "--until", "1h", "--json").json["waiting"] == []
    billing = here.vectis("dlq", "list", "--group", "billing", "--json").json
    assert [one["id"] for one in billing["waiting"]] == ["orders.dlq/0@1", "orders.dlq/0@3"]


def test_one_letter_is_shown_whole_or_its_bytes_alone(here: World) -> None:
    history = (Round(timestamp=1769862600123, error="KeyError: 'id'", attempts=3),)
    put(here, a_letter(1, replays=1, history=history))
    text = here.vectis("dlq", "show", "orders/0@1").out
    for said in (
        "orders.dlq/0@0",
        "app:sync",
        "TimeoutError: ERP ?[2J away",
        "5, replayed 1 time since",
        "2026-01-31T12:30:00.123Z  3 attempts: KeyError: 'id'",
        "trace  \\xff",
        "order.created",
        '{"n":1}',
    ):
        assert said in text
    shown = here.vectis("dlq", "show", "orders.dlq/0@0", "--json").json
    assert shown["headers"] == [["trace", "\\xff"]]
    assert shown["payload"] == {"n": 1}
    assert shown["history"] == [
        {"set_aside": "2026-01-31T12:30:00.123Z", "error": "KeyError: 'id'", "attempts": 3}
    ]
    raw = here.vectis("dlq", "show", "orders.dlq/0@0", "--raw").out
    assert raw == '{"event_type": "order.created", "payload": {"n": 1}}'


def test_what_cannot_be_decoded_and_what_is_foreign_are_shown_too(here: World) -> None:
    broken = a_letter().delivery
    put(
        here,
        a_letter(delivery=attrs.evolve(broken, value=b"\xff{", key=None, headers=())),
        a_letter(delivery=attrs.evolve(broken, offset=2, value=None)),
        Message("orders.dlq", None, b"\x1b[31m?"),
    )
    text = here.vectis("dlq", "show", "orders.dlq/0@0").out
    assert "2 bytes: " in text
    assert "\\xff{" in text
    assert "none, a tombstone" in here.vectis("dlq", "show", "orders.dlq/0@1").out
    foreign = here.vectis("dlq", "show", "orders.dlq/0@2")
    assert "foreign    not set aside by a worker" in foreign.out
    assert "\x1b" not in foreign.out
    shown = here.vectis("dlq", "show", "orders.dlq/0@0", "--json").json
    assert shown["value_base64"] == "/3s="
    assert "not JSON" in shown["undecodable"]


def test_a_dry_run_changes_nothing_and_says_what_would_happen(world: World) -> None:
    put(world, a_letter(1), a_letter(2, handler="app:gone"))
    answer = world.vectis("dlq", "replay", "--dry-run")
    assert answer.code == 1, "one would stay"
    assert "would replay  orders.dlq/0@0  app:sync" in answer.out
    assert "would stay    orders.dlq/0@1  there is no handler app:gone here" in answer.out
    assert "1 letter would be replayed, 1 would stay" in answer.out
    assert world.vectis("dlq", "purge", "--dry-run").code == 0
    plan = world.vectis("dlq", "replay", "orders.dlq/0@0", "--dry-run", "--json")
    assert plan.code == 0
    assert plan.json == {"group": "shop", "replay": {"orders.dlq/0@0": ["app:sync"]}, "stays": {}}
    assert waiting(world) == ["orders.dlq/0@0", "orders.dlq/0@1"]


def test_a_replay_tells_what_became_of_each_letter(world: World) -> None:
    put(world, a_letter(13), a_letter(1), a_letter(2, handler="app:gone"))
    answer = world.vectis("dlq", "replay")
    assert answer.code == 1
    assert "failed again  orders.dlq/0@0  ValueError: unlucky" in answer.out
    assert "synced 1\n" in answer.out
    assert "replayed      orders.dlq/0@1  app:sync" in answer.out
    assert "stays         orders.dlq/0@2  there is no handler app:gone here" in answer.out
    assert "1 replayed, 1 failed again, 1 left waiting" in answer.out
    assert "replaying 3 letters of group shop, at most 10 a second" in answer.err
    assert "handler app:sync failed at orders/0@13" in answer.err
    left = ["orders.dlq/0@2", "orders.dlq/0@3"]
    assert sorted(waiting(world))[:1] == left[:1]
    world.module("shop", HANDLERS.replace("== 13", "== 14").replace("sync(", "gone("))
    world.config(CONFIG)
    answer = world.vectis("dlq", "replay", "--handler", "gone", "--rate", "0", "--json")
    assert answer.code == 0
    assert answer.json == {
        "group": "shop",
        "letters": {"orders.dlq/0@2": {"became": "replayed", "why": "app:gone"}},
        "counts": {"replayed": 1, "failed_again": 0, "stays": 0, "unfinished": 0, "gone": 0},
        "left": 0,
        "gave_up": None,
    }
    assert "synced 2" in answer.err, "what handlers print is no part of the JSON"


FORKS = """
import os, signal, time, warnings
from vectis.core.events.consumer import on_event

@on_event("order.created")
async def sync(event_type, payload):
    warnings.simplefilter("ignore")
    begun, begins = os.pipe()
    child = os.fork()
    if not child:
        try:  # all of it: the signal may come as soon as the parent knows
            os.write(begins, b".")
            while True:
                time.sleep(0.01)
        finally:
            os._exit(3)
    os.read(begun, 1)
    os.kill(child, signal.{signal})
    print(payload["n"], "ended by", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize(("signal", "code"), [("SIGTERM", -15), ("SIGINT", 3)])
def test_a_process_that_a_handler_forks_hears_its_own_signals(
    world: World, signal: str, code: int
) -> None:
    world.module("shop", FORKS.format(signal=signal))
    put(world, a_letter(1), a_letter(2))
    answer = world.vectis("dlq", "replay", "--rate", "0")
    assert f"1 ended by {code}\n" in answer.out
    assert f"2 ended by {code}\n" in answer.out, "the replay goes on"
    assert (answer.code, waiting(world)) == (0, [])


def test_it_gives_up_when_letters_go_on_failing(world: World) -> None:
    put(world, *(a_letter(13) for _ in range(4)))
    answer = world.vectis("dlq", "replay", "--max-failures", "2", "--rate", "0")
    assert answer.code == 1
    assert "0 replayed, 2 failed again, 2 not begun" in answer.out
    assert "it gave up because 2 letters in a row failed again: mend the handler" in answer.out
    assert len(waiting(world)) == 4


def test_purge_asks_on_a_terminal_and_wants_yes_elsewhere(here: World) -> None:
    put(here, a_letter(1), a_letter(2))
    answer = here.vectis("dlq", "purge")
    assert answer.code == 2
    assert "2 letters would be given up: say --yes" in answer.err
    assert on_a_terminal(here, b"n\n", "dlq", "purge") == 0
    assert len(waiting(here)) == 2
    assert on_a_terminal(here, b"y\n", "dlq", "purge", "orders/0@1") == 0
    assert waiting(here) == ["orders.dlq/0@1"]
    answer = here.vectis("dlq", "purge", "--yes")
    assert (answer.code, answer.out) == (0, "purged 1 letter of group shop\n")
    assert waiting(here) == []


def test_of_other_groups_those_are_counted_that_wait(here: World) -> None:
    put(here, a_letter(1), a_letter(2), a_letter(3))

    def others() -> dict[str, int]:
        counts: dict[str, int] = here.vectis("dlq", "list", "--group", "billing", "--json").json[
            "other_groups"
        ]
        return counts

    assert others() == {"shop": 3}
    assert here.vectis("dlq", "purge", "orders.dlq/0@1", "--yes").code == 0  # a note settles it
    assert others() == {"shop": 2}
    assert here.vectis("dlq", "purge", "--yes").code == 0
    assert others() == {}


def on_a_terminal(world: World, typed: bytes, *arguments: str) -> int:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [VECTIS, *arguments],
        cwd=world.here,
        env=world.environment(TERM="dumb"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        os.write(ours, typed)
        try:
            while os.read(ours, 65_536):
                pass
        except OSError:  # how Linux tells that the other end was closed
            pass
        code = process.wait(60)
    os.close(ours)
    return code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "orders.dlq/0@99"], "no letter waits for group shop as orders.dlq/0@99"),
        (["replay", "orders.dlq/0@0", "nope"], "no letter waits for group shop as nope"),
        (["purge", "nope", "--yes"], "no letter waits for group shop as nope"),
        (["list", "--since", "yesterday"], "'yesterday' is no time: write RFC 3339"),
        (["replay", "--module", "missing"], "module 'missing' cannot be imported"),
        (["replay", "--rate", "-1"], "--rate"),
    ],
)
def test_what_is_wrong_is_exit_code_2(here: World, arguments: list[str], said: str) -> None:
    put(here, a_letter(1))
    answer = here.vectis("dlq", *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_a_list_goes_on_without_a_module_that_does_not_import(here: World) -> None:
    put(here, a_letter(1))
    answer = here.vectis("dlq", "list", "--module", "missing", "--json")
    assert answer.code == 1
    assert "orders.dlq/0@0" in answer.out
    assert "Warning: module 'missing' cannot be imported" in answer.err
    assert "letters from topics that it alone names are not shown" in answer.err


def test_without_group_topics_or_transport_it_says_what_to_set(here: World) -> None:
    here.config("")
    answer = here.vectis("dlq", "list")
    assert (answer.code, "Say --group shop" in answer.err) == (2, True)
    lonely = here.vectis("dlq", "list", "--topic", "orders", VECTIS_CONSUMER_GROUP="shop")
    assert lonely.code == 2
    assert "no transport offers to consume orders.dlq" in lonely.err
    nowhere = here.vectis("dlq", "list", "--group", "shop", VECTIS_PLUGINS_ENABLE="sqlite")
    assert nowhere.code == 2
    assert "no topic is known: say --topic" in nowhere.err


def test_json_of_a_list_is_one_value(here: World) -> None:
    put(here, a_letter(1, delivery=attrs.evolve(a_letter().delivery, key=b"\xff")))
    (letter,) = json.loads(here.vectis("dlq", "list", "--topic", "orders.dlq", "--json").out)[
        "waiting"
    ]
    assert (letter["key"], letter["key_base64"]) == (None, "/w==")
