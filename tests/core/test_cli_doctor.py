"""`vectis doctor`: what is wrong, where, and what to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.core.cli_world import World
from vectis.core.dead_letter import DeadLetter
from vectis.core.message import Delivery, Message
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from pathlib import Path

CONSUMES = (
    "from vectis.core import on_event\n@on_event('a.b')\ndef sync(event_type, payload): ...\n"
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def statuses(world: World, name: str, *arguments: str, **variables: str) -> dict[str, str]:
    """Return the messages of the checks of a name, with their status."""
    answer = world.vectis("doctor", "--json", *arguments, **variables)
    assert answer.code == (1 if answer.json["failed"] else 0)
    return {
        check["message"]: check["status"]
        for check in answer.json["checks"]
        if check["name"].startswith(name)
    }


def test_a_fresh_installation_is_fine_but_has_no_transport(world: World) -> None:
    answer = world.vectis("doctor")
    assert answer.code == 0
    assert "in-process bus" in answer.out
    assert "warn  transport: none is available" in answer.out
    assert "redpanda declined: no servers are configured" in answer.out
    assert "sqlite declined" in answer.out
    assert answer.out.splitlines()[-1].startswith("0 failed, 1 to look at")


def test_the_transport_that_was_chosen_is_named_with_the_reason(world: World) -> None:
    world.config('[sqlite]\npath = "events.db"\n')
    [message] = [text for text in statuses(world, "transport") if text.startswith("sqlite")]
    assert "the only one that offers" in message
    assert str(world.here / "events.db") in message
    world.config('[hub]\ntransport = "sqlite"\n[sqlite]\npath = "events.db"\n')
    assert any("chosen by vectis.toml:2" in text for text in statuses(world, "transport"))


def test_a_chosen_transport_that_declines_fails(world: World) -> None:
    world.config('[hub]\ntransport = "redpanda"\n')
    found = statuses(world, "transport")
    assert "fail" in found.values()
    assert any("no servers are configured" in text for text in found)


DECLINES = """
import attrs
from vectis.core import hookimpl

@attrs.frozen
class Settings:
    path: str = ""

@hookimpl
def vectis_settings():
    return Settings

@hookimpl
def vectis_emit(route):
    return None

@hookimpl
def vectis_unavailable():
    return 'folders is not installed: pip install "acme[folders]"'
"""


def test_a_configured_transport_that_declines_is_a_warning_with_the_remedy(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme=DECLINES)
    assert "ok    transport: acme declined: folders is not inst" in world.vectis("doctor").out
    world.config('[acme]\npath = "here"\n')
    answer = world.vectis("doctor")
    assert answer.code == 0
    assert (
        "warn  transport: acme is configured, and declined: folders is not installed\n"
        '      -> pip install "acme[folders]"\n'
    ) in answer.out
    assert "silently" not in answer.out
    assert "configure one" not in answer.out


def test_the_way_back_of_a_disabled_transport_is_what_disabled_it(world: World) -> None:
    world.config('[sqlite]\npath = "events.db"\n')
    for remedy, variables in {
        "unset VECTIS_SAFE_MODE": {"VECTIS_SAFE_MODE": "1"},
        "take sqlite out of VECTIS_PLUGINS_DISABLE": {"VECTIS_PLUGINS_DISABLE": "sqlite"},
        "put sqlite into VECTIS_PLUGINS_ENABLE": {"VECTIS_PLUGINS_ENABLE": "bus"},
    }.items():
        out = world.vectis("doctor", **variables).out
        assert f"-> {remedy}, or remove its" in out
        assert "publish returns None and does nothing\n      -> see why above\n" in out
    world.config('[sqlite]\npath = "events.db"\n[plugins]\ndisable = ["sqlite"]\n')
    assert "-> `vectis plugins enable sqlite`, or remove its" in world.vectis("doctor").out


def test_a_chosen_transport_in_quarantine_is_mended_where_it_is_wrong(world: World) -> None:
    world.config('[hub]\ntransport = "sqlite"\n[sqlite]\npth = "x"\n[consumer]\ngroup = "shop"\n')
    said, way = "sqlite, chosen by vectis.toml:2, is quarantined", "correct pth under [sqlite] at"
    answer = world.vectis("doctor")
    assert f"transport: {said}\n      -> {way} vectis.toml:4, or choose another one\n" in answer.out
    for command in (("publish", "t", "a.b"), ("tail", "t"), ("dlq", "list", "--topic", "t")):
        err = world.vectis(*command).err
        assert f"did you mean 'path'? What to do: {way} vectis.toml:4, or choose anoth" in err
        assert "configure one" not in err


def test_a_chosen_transport_that_safe_mode_hides_fails_with_the_way_back(world: World) -> None:
    world.config('[hub]\ntransport = "sqlite"\n[sqlite]\npath = "events.db"\n')
    answer = world.vectis("doctor", VECTIS_SAFE_MODE="1")
    assert answer.code == 1
    assert (
        "fail  transport: sqlite, chosen by vectis.toml:2, is disabled by VECTIS_SAFE_MODE: "
        "default plugins only\n      -> unset VECTIS_SAFE_MODE, or choose another one\n"
    ) in answer.out


def test_a_broken_plugin_fails_with_its_line_and_the_remedy(world: World) -> None:
    world.install("acme", version="2.0", plugin="acme = acme", acme="\n\nimport nothing_there\n")
    answer = world.vectis("doctor")
    assert answer.code == 1
    assert "fail  plugin acme (acme 2.0): quarantined" in answer.out
    assert "acme.py:3" in answer.out
    assert (
        "-> install what brings the module nothing_there, or `vectis plugins disable acme`\n"
        in answer.out
    )
    assert "is quarantined" not in answer.err


@pytest.mark.parametrize("where", ["plugin", "module", "transport"])
def test_an_error_may_have_a_text_of_any_length(world: World, where: str) -> None:
    page = "raise ValueError('<html>' + 'x' * 100_000)"
    if where == "plugin":
        world.install("acme", plugin="acme = acme", acme=page)
    elif where == "transport":
        broken = DECLINES[: DECLINES.index("return 'folders")] + page
        world.install("acme", plugin="acme = acme", acme=broken)
    else:
        world.config('[consumer]\nmodules = ["acme"]\n')
        world.module("acme", page)
    checks = world.vectis("doctor", "--json").json["checks"]
    messages = [check["message"] for check in checks if "ValueError: <html>xxx" in check["message"]]
    assert [len(message) < 700 for message in messages] == [True]


SETTINGS = """
import attrs
from vectis.core import hookimpl

@attrs.frozen
class Settings:
    address: str
    limit: int = 1

@hookimpl
def vectis_settings():
    return Settings
"""


@pytest.mark.parametrize(
    ("table", "variables", "remedy"),
    [
        ('address = "x"\nlimt = 3', {}, "correct limt under [acme] at vectis.toml:3"),
        ('address = "x"\nlimit = "3"', {}, "correct limit under [acme] at vectis.toml:3"),
        (
            'address = "x"',
            {"VECTIS_ACME_LIMIT": "many"},
            "correct VECTIS_ACME_LIMIT, or unset it",
        ),
        ("", {}, "set address under [acme] in vectis.toml, or VECTIS_ACME_ADDRESS"),
    ],
)
def test_the_remedy_of_a_wrong_setting_is_the_line_or_the_variable(
    world: World, table: str, variables: dict[str, str], remedy: str
) -> None:
    world.install("acme", plugin="acme = acme", acme=SETTINGS)
    world.config(f"[acme]\n{table}\n")
    for command in (["doctor"], ["plugins", "--load"]):
        assert remedy in world.vectis(*command, **variables).out
    [row] = [
        row
        for row in world.vectis("plugins", "--load", "--json", **variables).json
        if row["name"] == "acme"
    ]
    assert row["remedy"] == remedy


def test_a_plugin_says_itself_what_to_do(world: World) -> None:
    world.install(
        "acme",
        plugin="acme = acme",
        acme="""
from vectis.core import hookimpl
from vectis.core.exceptions import PluginError

@hookimpl
def vectis_register_handlers(hub):
    raise PluginError("there is no licence file", remedy="put one into /etc/acme")
""",
    )
    out = world.vectis("doctor").out
    assert "failed while it was put in place: there is no licence file" in out
    assert "-> put one into /etc/acme\n" in out


def test_start_up_hooks_are_said_not_to_be_called(world: World) -> None:
    world.install(
        "acme",
        plugin="acme = acme",
        acme="""
from vectis.core import hookimpl

@hookimpl
def vectis_startup():
    raise SystemExit("started")
""",
    )
    said = "vectis_startup of acme was not called: nothing is started here"
    assert statuses(world, "start-up") == {said: "ok"}


def test_a_plugin_whose_module_is_gone_is_installed_anew(world: World) -> None:
    world.install("acme", plugin="acme = acme_gone")
    assert "-> install acme anew, its module is gone, or `vect" in world.vectis("doctor").out


def test_a_tolerated_plugin_is_only_a_warning(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="1 / 0")
    world.config('[consumer]\ntolerate = ["acme"]\n')
    assert list(statuses(world, "plugin acme").values()) == ["warn"]


def test_a_disabled_plugin_is_fine_and_named(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="1 / 0")
    world.config('[plugins]\ndisable = ["acme"]\n')
    assert statuses(world, "plugin acme") == {
        "disabled by vectis.toml:2; it was not imported": "ok"
    }


def test_a_required_plugin_must_be_usable(world: World) -> None:
    world.config('[plugins]\nrequire = ["redpanda"]\n')
    [(message, status)] = statuses(world, "require").items()
    assert status == "fail"
    assert "no servers are configured" in message


def test_a_required_plugin_that_cannot_be_used_is_told_with_what_to_do(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="raise ValueError('no licence')")
    world.config('[plugins]\nrequire = ["acme"]\n')
    assert "no licence. What to do: mend it, install another" in world.vectis("handlers").err
    err = world.vectis("handlers", VECTIS_PLUGINS_DISABLE="acme").err
    assert "What to do: take acme out of VECTIS_PLUGINS_DISABLE" in err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("acme = lone:plugin", "interrupted while command 'acme' of lone 1.0 was imported"),
        ("", "interrupted while plugin lone (lone 1.0) was imported"),
    ],
)
def test_an_import_that_is_interrupted_ends_the_command_and_is_named(
    world: World, command: str, said: str
) -> None:
    world.install(
        "lone",
        plugin="lone = lone" * (not command),
        command=command,
        lone="raise KeyboardInterrupt",
    )
    answer = world.vectis("acme" if command else "doctor")
    assert (answer.code, answer.out, answer.err.strip()) == (130, "", said)


def test_a_module_whose_import_is_interrupted_is_named(world: World) -> None:
    world.module("shop", "raise KeyboardInterrupt")
    answer = world.vectis("doctor", "--module", "shop")
    assert answer.code == 130
    assert answer.err.strip() == "interrupted while module 'shop' was imported"


def test_handled_types_without_a_topic_fail_and_the_three_places_are_named(world: World) -> None:
    world.module("shop", CONSUMES)
    answer = world.vectis("doctor", "--module", "shop")
    assert answer.code == 1
    assert "no topic is known for a.b, which app:sync handles" in answer.out
    assert '@on_event("a.b", topic="...")' in answer.out
    assert '[topics] "..." = ["a.b"]' in answer.out
    assert "catalogue" in answer.out


def test_a_group_is_asked_for_only_where_something_is_consumed(world: World) -> None:
    assert statuses(world, "consumer group") == {}
    world.module("shop", CONSUMES)
    assert list(statuses(world, "consumer group", "--module", "shop").values()) == ["warn"]
    set_by = statuses(world, "consumer group", "--module", "shop", VECTIS_CONSUMER_GROUP="shop")
    assert set_by == {"shop (VECTIS_CONSUMER_GROUP)": "ok"}


def test_a_module_that_does_not_import_fails_and_the_rest_is_still_checked(world: World) -> None:
    world.module("shop", "1 / 0\n")
    world.config('[consumer]\nmodules = ["shop"]\n')
    [(message, status)] = statuses(world, "module shop").items()
    assert status == "fail"
    assert "shop.py:1" in message
    assert "ok" in statuses(world, "bus").values()


def test_without_a_bus_handlers_fail(world: World) -> None:
    world.module("shop", "from vectis.core import handles\n@handles('a.b')\ndef f(event): ...\n")
    world.config('[plugins]\ndisable = ["bus"]\n')
    assert list(statuses(world, "bus").values()) == ["warn"]
    [(message, status)] = statuses(world, "bus", "--module", "shop").items()
    assert (status, "app:f" in message) == ("fail", True)


def test_doubtful_settings_are_warnings(world: World) -> None:
    world.config('[buss]\nx = 1\n[handlers."app:nobody"]\npriority = 1\n')
    assert list(statuses(world, "config", VECTIS_BUS_BUGET_MS="1").values()).count("warn") == 2
    [message] = statuses(world, "handlers")
    assert message == (
        "vectis.toml:3: no handler is called 'app:nobody' in the modules that are imported here"
    )


def test_a_broken_config_is_the_first_thing_to_mend(world: World) -> None:
    world.config("[consumer]\nconcurency = 3\n")
    [(message, status)] = statuses(world, "config").items()
    assert status == "fail"
    assert "vectis.toml:2" in message
    need = ": the other checks need the config\n"
    out = world.vectis("doctor").out
    assert f"-> correct concurency under [consumer] at vectis.toml:2{need}" in out
    world.config("")
    for name, value, remedy in (
        ("VECTIS_CONSUMER_CONCURRENCY", "many", "correct VECTIS_CONSUMER_CONCURRENCY, or unset it"),
        ("VECTIS_SAFE_MODE", "perhaps", "correct VECTIS_SAFE_MODE, or unset it"),
        ("VECTIS_CONFIG", "missing.toml", "that first"),
    ):
        assert f"-> {remedy}{need}" in world.vectis("doctor", **{name: value}).out


def test_a_transport_that_does_not_say_why_is_guessed_from_its_settings(world: World) -> None:
    world.install(
        "acme",
        plugin="acme = acme",
        acme="""
import attrs
from vectis.core import hookimpl

@attrs.frozen
class Settings:
    address: str | None = None

@hookimpl
def vectis_settings():
    return Settings

@hookimpl
def vectis_emit(route): ...
""",
    )
    assert any("not set in [acme]: address" in text for text in statuses(world, "transport"))


def test_two_buses_are_one_failure_and_the_list_goes_on(world: World) -> None:
    world.install(
        "acme",
        plugin="acme = acme:Bus",
        acme="""
from vectis_bus import Bus as Real

class Bus(Real):
    def vectis_settings(self): ...
""",
    )
    world.module("shop", "from vectis.core import handles\n@handles('a.b')\ndef f(event): ...\n")
    [(message, status)] = statuses(world, "bus", "--module", "shop").items()
    assert status == "fail"
    assert "several plugins offer to be the bus" in message
    assert '[plugins] disable = ["' in message
    answer = world.vectis("doctor", "--module", "shop", "--json")
    failed = [check["name"] for check in answer.json["checks"] if check["status"] == "fail"]
    assert failed == ["bus"]
    assert "transport" in {check["name"] for check in answer.json["checks"]}


def test_a_transport_whose_settings_are_wrong_fails_since_publishing_raises(world: World) -> None:
    world.config('[sqlite]\npth = "events.db"\n')
    found = statuses(world, "transport")
    [failed] = [message for message, status in found.items() if status == "fail"]
    assert "plugin sqlite (vectis-sqlite" in failed
    assert "pth" in failed


def test_a_handler_whose_topic_no_worker_reads_is_named(world: World) -> None:
    world.module("shop", CONSUMES.replace("'a.b'", "'a.b', topic='elsewhere'"))
    world.config('[consumer]\ngroup = "shop"\ntopics = ["here"]\n')
    [(message, status)] = statuses(world, "topics", "--module", "shop").items()
    assert status == "warn"
    assert "app:sync handles a.b, which arrives on elsewhere" in message
    assert "vectis.toml:3" in message


def test_a_name_that_no_plugin_has_is_a_warning_with_the_nearest(world: World) -> None:
    world.config('[plugins]\ndisable = ["buss"]\n[consumer]\ntolerate = ["nobody-at-all"]\n')
    found = statuses(world, "config")
    wrong = "vectis.toml:2: [plugins] disable names 'buss', and no installed plugin is called so"
    assert found[f"{wrong}; did you mean 'bus'?"] == "warn"
    assert any("[consumer] tolerate names 'nobody-at-all'" in message for message in found)
    answer = world.vectis("plugins")
    assert (answer.code, "did you mean 'bus'?" in answer.err) == (0, True)
    hub = world.python("-c", "from vectis.core import Hub; Hub()")
    assert "did you mean 'bus'?" in hub.err


def test_a_plugin_that_does_nothing_is_a_warning_with_the_hooks_that_lack_the_mark(
    world: World,
) -> None:
    world.install("acme", plugin="acme = acme", acme="def vectis_after_emit(event): ...\n")
    world.install("idle", plugin="idle = idle", idle="")
    [(message, status)] = statuses(world, "plugin acme").items()
    assert status == "warn"
    assert "without @hookimpl, so never called: vectis_after_emit" in message
    [(message, status)] = statuses(world, "plugin idle").items()
    assert (status, "no hooks and no handlers" in message) == ("warn", True)


def test_safe_mode_is_something_to_look_at(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="raise SystemExit('imported')")
    answer = world.vectis("doctor", VECTIS_SAFE_MODE="1")
    assert answer.code == 0
    assert "safe mode: VECTIS_SAFE_MODE is set: only the default plugins are loaded" in answer.out
    assert "those of vectis-bus, vectis-redpanda" in answer.out
    assert "disabled by VECTIS_SAFE_MODE: default plugins only; it was not imported" in answer.out
    listing = world.vectis("plugins", VECTIS_SAFE_MODE="1")
    assert "Warning: VECTIS_SAFE_MODE is set" in listing.err
    rows = world.vectis("plugins", "--json").json
    assert {row["name"] for row in rows if row["default"]} == {"bus", "redpanda"}


WORKS = """
[sqlite]
path = "events.db"
partitions = 1
[topics]
"orders" = ["order.created"]
[consumer]
group = "shop"
"""


def letter(world: World, group: str, handler: str) -> None:
    """Set a delivery aside, as a worker does."""
    delivery = Delivery("orders", 0, 0, key=b"7", value=b"{}")
    written = DeadLetter(delivery=delivery, group=group, handler=handler, error="no", attempts=1)
    put(world, written.message())


def put(world: World, message: Message) -> None:
    async def main() -> None:
        transport = SqliteTransport(
            SqliteSettings(path=str(world.here / "events.db"), partitions=1)
        )
        await transport.carrier(message.topic).send(message)
        await transport.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("handler", "remedy"),
    [
        ("", "nobody can read them: `vectis dlq show` shows one, `vectis dlq purge` lets go"),
        ("app:sync", "`vectis dlq replay` gives them to their handlers\n"),
    ],
)
def test_letters_that_nobody_can_read_are_not_to_be_replayed(
    world: World, handler: str, remedy: str
) -> None:
    world.config(WORKS)
    world.module("shop", CONSUMES.replace("a.b", "order.created"))
    put(world, Message("orders", b"7", b"{}"))
    letter(world, "shop", handler)
    answer = world.vectis("doctor", "--module", "shop")
    assert remedy in answer.out
    assert ("dlq replay" in answer.out) is bool(handler)


@pytest.mark.parametrize(
    ("config", "handlers", "said"),
    [
        (
            "",
            ["app:gone"],
            "those of app:gone a replay leaves: there is no handler app:gone here",
        ),
        (
            '[handlers."app:sync"]\nenabled = false\n',
            ["app:sync"],
            "those of app:sync a replay leaves: handler app:sync is disabled (",
        ),
        (
            "",
            ["app:gone", "app:away"],
            "those of app:gone, app:away a replay leaves, since these handlers are not there: `",
        ),
    ],
)
def test_letters_of_a_handler_that_is_gone_are_not_to_be_replayed(
    world: World, config: str, handlers: list[str], said: str
) -> None:
    world.config(WORKS + config)
    world.module("shop", CONSUMES.replace("a.b", "order.created"))
    put(world, Message("orders", b"7", b"{}"))
    for handler in handlers:
        letter(world, "shop", handler)
    answer = world.vectis("doctor", "--module", "shop")
    assert f"-> `vectis dlq list` shows them and why; {said}" in answer.out
    assert "gives them" not in answer.out
    if not config:
        letter(world, "shop", "app:sync")
        answer = world.vectis("doctor", "--module", "shop")
        assert "gives them to those of their handlers that are there; those of app:" in answer.out


def test_an_event_loop_that_no_worker_could_start_on_fails(world: World) -> None:
    assert statuses(world, "event loop", VECTIS_CONSUMER_EVENT_LOOP="asyncio") == {}
    (world.here / "uvloop.py").write_text("raise ImportError('not on this machine')\n")
    found = statuses(
        world, "event loop", VECTIS_CONSUMER_EVENT_LOOP="uvloop", PYTHONPATH=str(world.here)
    )
    [(message, status)] = found.items()
    assert status == "fail"
    assert "not on this machine" in message
    assert "pip install uvloop" in message


def test_what_waits_for_the_group_is_counted_and_nothing_is_stored(world: World) -> None:
    world.config(WORKS)
    world.module("shop", CONSUMES.replace("a.b", "order.created"))
    nothing = {
        **statuses(world, "backlog", "--module", "shop"),
        **statuses(world, "dead letters", "--module", "shop"),
    }
    assert set(nothing.values()) == {"ok"}
    assert "shop has finished all that there is" in nothing
    assert any(message.startswith("none wait for shop on orders.dlq") for message in nothing)
    assert not list(world.here.glob("events.db*"))
    put(world, Message("orders", b"7", b"{}"))
    put(world, Message("orders", b"8", b"{}"))
    for group, handler in [("shop", "app:sync"), ("shop", "app:sync"), ("shop", ""), ("b", "b:x")]:
        letter(world, group, handler)
    before = (world.here / "events.db").read_bytes()
    answer = world.vectis("doctor", "--module", "shop")
    assert answer.code == 0  # to look at, and no failure: the worker works
    assert "ok    backlog: 2 deliveries wait for shop" in answer.out
    assert "-> `vectis consume` handles them" in answer.out
    assert (
        "warn  dead letters: 3 wait for shop: 2 of app:sync, 1 of no handler\n"
        "      -> `vectis dlq list` shows them and why, `vectis dlq replay` gives them to their "
        "handlers; those of no handler nobody can read: `vectis dlq show` shows one, "
        "`vectis dlq purge` lets go of them\n"
    ) in answer.out
    assert (world.here / "events.db").read_bytes() == before


def test_without_a_group_nobody_is_asked_what_waits(world: World) -> None:
    world.config(WORKS.replace('group = "shop"', ""))
    assert statuses(world, "dead letters") == statuses(world, "backlog") == {}


def test_a_transport_that_fails_is_not_read_as_well(world: World) -> None:
    world.config(WORKS)
    (world.here / "events.db").write_bytes(b"no database at all" * 100)
    assert "fail" in statuses(world, "transport").values()
    assert statuses(world, "dead letters") == statuses(world, "backlog") == {}


def test_letters_that_cannot_be_read_are_something_to_look_at(world: World) -> None:
    world.install(
        "acme",
        plugin="acme = acme",
        acme="""
from vectis.core import hookimpl
from vectis.core.exceptions import TransportError
from vectis.core.transport import Carrier

@hookimpl
def vectis_emit(route):
    return Carrier(send=None) if route.scope == "service" else None

@hookimpl
def vectis_consume(topics, group):
    raise TransportError("the reading room is closed")
""",
    )
    world.config(WORKS.replace('path = "events.db"\npartitions = 1', ""))
    [(message, status)] = statuses(world, "dead letters").items()
    assert status == "warn"
    assert "they could not be counted" in message
    assert "the reading room is closed" in message


def require(world: World, name: str, *wanted: str) -> None:
    metadata = world.site / f"{name}-1.0.dist-info" / "METADATA"
    requires = "".join(f"Requires-Dist: {one}\n" for one in wanted)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}\n")


def test_no_advice_takes_from_others_what_they_require(world: World) -> None:
    for name in ("lib", "acme", "near"):
        world.install(name, plugin="" if name == "lib" else f"{name} = {name}", **{name: ""})
    require(world, "near", "lib>=1")

    def advice() -> list[str]:
        checks = world.vectis("doctor", "--json").json["checks"]
        return [c["remedy"] for c in checks if (c["name"], c["status"]) == ("packages", "warn")]

    require(world, "acme", "lib<1")
    instead = "install a version of acme that fits, or `vectis plugins disable acme`"
    assert advice() == [f"near 1.0 requires lib>=1: {instead}"]
    require(world, "acme", "vectis-core>=0.3,<0.4")
    assert advice() == [f"vectis-core 0.1.0 is what all plugins run on: {instead}"]
    require(world, "acme", "lib>1")  # a newer one suits both
    assert advice() == ['pip install "lib>1,>=1"']
    world.config('[plugins]\ndisable = ["acme"]\n')
    assert advice() == []


def test_what_a_plugin_requires_and_is_not_there_is_named_with_the_command(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="")
    wanted = "attrs<20", "acme-nowhere>=2", 'acme-extra; extra == "more"', "click", "no sense !"
    require(world, "acme", *wanted)
    answer = world.vectis("doctor", "--json")
    checks = [check for check in answer.json["checks"] if check["name"] == "packages"]
    [listed] = [check["message"] for check in checks if check["status"] == "ok"]
    assert listed.startswith("vectis-core 0.1.0, ")
    assert ", aiokafka 0." in listed  # what a plugin can use beyond what it requires
    attrs, nowhere = [check for check in checks if check["status"] == "warn"]
    assert attrs["message"].startswith("acme 1.0 requires attrs<20, and ")
    assert attrs["remedy"] == (
        "vectis-core 0.1.0 requires attrs>=23.2: install a version of acme that fits, or "
        "`vectis plugins disable acme`"
    )
    assert nowhere["message"] == "acme 1.0 requires acme-nowhere>=2, and it is not installed"
