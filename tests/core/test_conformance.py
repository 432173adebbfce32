"""Conformance: each rule broken by a plugin of its own, and one plugin that breaks none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

import pytest

from tests.core.cli_world import World
from vectis.core.conformance import check_plugin
from vectis.core.exceptions import PluginError
from vectis.core.testing.conformance import PluginConformance

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.conftest import Install

GOOD = '''
"""A plugin that holds every rule."""
import asyncio
import threading
import attrs
from vectis.core import event_type, handles, hookimpl, on_event

@attrs.frozen
class Settings:
    """The table `[acme]`.

    Args:
        path: The file.
        rate: How many a second.
    """

    path: str = "x"
    rate: int = 1

@event_type("acme.happened", topic="acme.events")
@attrs.frozen
class Happened:
    number: int

class Plugin:
    @hookimpl
    def vectis_settings(self):
        return Settings

    @hookimpl
    def vectis_register_events(self, catalogue):
        catalogue.register(Happened)

    @hookimpl
    async def vectis_startup(self):
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.end.wait)
        self.thread.start()
        self.file = open(__file__)
        self.task = asyncio.create_task(asyncio.Event().wait())

    @hookimpl
    async def vectis_shutdown(self):
        self.end.set()
        self.thread.join()
        self.file.close()
        self.task.cancel()

    @handles("acme.*")
    async def on_the_bus(self, event):
        pass

    @on_event("acme.happened")
    async def in_the_worker(self, event_type, payload):
        await asyncio.sleep(0.3)
'''


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the processes of a check the cost of coverage: they end where it never saves."""
    for name in [name for name in os.environ if name.startswith("COVERAGE")]:
        monkeypatch.delenv(name)


def faults(name: str = "acme", rule: str = "", **options: object) -> list[str]:
    found = check_plugin(name, **options)  # type: ignore[arg-type]
    return [str(one) for one in found if one.fault and rule in ("", one.rule)]


def test_a_plugin_that_holds_every_rule(install: Install) -> None:
    install("acme", GOOD, entry="acme:Plugin")
    assert check_plugin("acme", call=True) == ()


def test_handlers_are_called_only_when_asked_for(install: Install) -> None:
    install("acme", GOOD, entry="acme:Plugin")
    found = check_plugin("acme")
    assert [one.fault for one in found] == [False, False]
    assert all("was not called" in one.text for one in found)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("print('hello')", "it writes 'hello' when imported"),
        ("import os; os.write(2, b'deep down')", "it writes 'deep down' when imported"),
        (
            "from threading import *\nThread(target=Event().wait, name='eager').start()",
            "it starts the thread 'eager' when imported",
        ),
        (
            "open('trace.log', 'w').close()",
            "it writes to the file trace.log when imported, at acme",
        ),
        ("import os; os.mkdir('x')", "it changes the file system (os.mkdir of x) when imported"),
        ("kept = open(__file__)", "it leaves open files or sockets ("),
        ("import os; os.environ['ACME'] = '1'", "it changes environment variables (ACME)"),
        ("import os; os.chdir('/')", "it changes the working directory"),
        ("import logging; logging.basicConfig()", "it changes the root logger"),
        (
            "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
            "it changes signal handlers",
        ),
        ("import subprocess\nsubprocess.run(['true'])", "it starts a process (subprocess.Popen)"),
        (
            "import socket\nwith socket.socket() as s:\n    s.connect_ex(('127.0.0.1', 9))",
            "it uses the network (socket.connect) when imported, at acme.py:3",
        ),
    ],
)
def test_what_an_import_does_is_named_with_what_to_do(
    install: Install, source: str, said: str
) -> None:
    install("acme", source)
    (fault,) = [one for one in faults(rule="import") if said in one]
    assert "vectis_startup" in fault or "getLogger" in fault


def test_an_import_may_read(install: Install) -> None:
    install("acme", "from pathlib import Path\ntext = Path(__file__).read_text()")
    assert faults() == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'. Mend the import"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import os; os._exit(7)", "ended its process with exit code 7"),
        (
            "from vectis.core import hookimpl\n@hookimpl\ndef vectis_startup(hubb): ...",
            "offers no argument 'hubb'",
        ),
        ("def vectis_startup(hub): ...", "vectis_startup is called by nobody. Write @hookimpl"),
        ("vectis_requires = ('nobody',)", "it is quarantined"),
    ],
)
def test_what_does_not_load_is_named(install: Install, source: str, said: str) -> None:
    install("acme", source)
    assert [one for one in faults() if said in one]


def test_an_import_that_does_not_end_is_ended(install: Install) -> None:
    install("acme", "import threading; threading.Event().wait()")
    (fault,) = faults(timeout=2.0)
    assert "did not end within 2 s" in fault


@pytest.mark.parametrize(
    ("source", "question"),
    [
        (
            "from vectis.core import hookimpl\n@hookimpl\ndef vectis_befor_emit(event): ...",
            "did you mean vectis_before_emit? Until then it is quarantined",
        ),
        ("vectis_requires = ('buss',)", "did you mean 'bus'? Mend that, and check again"),
    ],
)
def test_a_finding_that_ends_in_a_question_has_one_mark(
    install: Install, source: str, question: str
) -> None:
    install("acme", source)
    assert question in faults(rule="hooks")[0]


def test_a_key_without_words_and_words_without_a_key_are_named(install: Install) -> None:
    install("acme", GOOD.replace("rate: How many", "rat: How many"), entry="acme:Plugin")
    assert [one.partition(".")[0] for one in faults()] == [
        "settings: the docstring of Settings does not tell the key 'rate'",
        "settings: the docstring of Settings tells 'rat', which is no key",
    ]


def test_one_for_another_core_is_told_so_as_doctor_does_and_is_not_imported(
    install: Install, tmp_path: Path
) -> None:
    mark = tmp_path / "imported"
    install("acme", f"open({str(mark)!r}, 'w').close()\n1 / 0", requires="vectis-core>=77")
    (fault,) = faults()
    assert fault.startswith("hooks: it is quarantined: it is made for another version of the core")
    assert "is installed. Install a version of acme that is made for vectis-core" in fault
    assert [one.rule for one in check_plugin("acme") if not one.fault] == [
        *("import", "settings", "handlers", "shutdown")
    ]
    assert not mark.exists()


def test_a_setting_that_it_needs_can_be_given(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("acme", GOOD.replace('path: str = "x"', "path: str"), entry="acme:Plugin")
    assert "it is quarantined" in faults()[0]
    assert "quarantined: the config of the check: [acme] path is missing" in faults()[0]
    assert "or in the variable VECTIS_ACME_PATH. A check reads no config file" in faults()[0]
    assert faults(config={"acme": {"path": "y"}}) == []
    monkeypatch.setenv("VECTIS_ACME_PATH", "y")
    assert faults() == []


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ("self.end.set()\n        self.thread.join()", "by vectis_shutdown, thread: Thread-"),
        ("self.file.close()", "open file or socket: /"),
        ("self.task.cancel()", "by vectis_shutdown, task: Event.wait"),
    ],
)
def test_what_is_left_behind_is_named(install: Install, kept: str, said: str) -> None:
    source = GOOD.replace(kept, "pass")
    install("acme", source, entry="acme:Plugin")
    assert [one for one in faults(rule="shutdown") if said in one]


def test_a_shutdown_that_fails_is_named(install: Install) -> None:
    install(
        "acme", GOOD.replace("self.thread.join()", "self.thread.join(); 1 / 0"), entry="acme:Plugin"
    )
    assert any("vectis_shutdown" in one and "ZeroDivisionError" in one for one in faults())


def test_handlers_beyond_the_budget_are_named(install: Install) -> None:
    slow = GOOD.replace("        pass\n", "        import time; time.sleep(0.03)\n")
    slow = slow.replace("await asyncio.sleep(0.3)", "import time; time.sleep(0.03)")
    install("acme", slow, entry="acme:Plugin")
    bus, worker = faults(call=True, budget=0.02)
    assert "Plugin.on_the_bus" in bus
    assert "the emitter waits" in bus
    assert "Plugin.in_the_worker" in worker
    assert "blocks the event loop of the worker" in worker


SHOP = """
import attrs
from vectis.core import event_type, hookimpl

@event_type("shop.opened", topic="shop.events", version=2)
@attrs.frozen
class Opened:
    number: int

@event_type("shop.closed", topic="shop.events")
@attrs.frozen
class Closed:
    number: int

@hookimpl
def vectis_register_events(catalogue):
    catalogue.register(Opened)
    catalogue.register(Closed)
"""
SLOW = "import time; time.sleep(0.03)"


def handler(pattern: str, does: str = SLOW) -> str:
    return f"from vectis.core import handles\n@handles('{pattern}')\ndef note(event): {does}"


def test_a_type_that_another_plugin_registers_is_called_too(install: Install) -> None:
    install("shop", SHOP)
    install("acme", handler("shop.opened"))
    (fault,) = faults(call=True, budget=0.02)
    assert "acme:note on shop.opened takes 3" in fault
    assert check_plugin("acme", call=True) == ()


def test_a_handler_is_not_blamed_for_the_time_of_another(install: Install) -> None:
    install("shop", SHOP)
    fast = "\n@handles('shop.opened', priority={})\ndef {}(event): pass"
    install("acme", handler("shop.opened") + fast.format(1, "early") + fast.format(99, "late"))
    (fault,) = faults(call=True, budget=0.02)
    assert "acme:note on shop.opened takes 3" in fault
    assert check_plugin("acme", call=True) == ()


OWN_BUS = """
from time import perf_counter
from vectis.core import hookimpl
from vectis.core.outcome import Outcome
from vectis.core.transport import Carrier

@hookimpl
def vectis_emit(route, hub):
    if route.scope != "process":
        return None
    plan = tuple(one for one in hub.subscriptions if one.pattern == route.name)

    async def send(event, outcome=None):
        outcome = outcome or Outcome()
        outcome.event, outcome.plan, outcome.started = event, plan, perf_counter()
        for one in plan:
            one.handler(event)
        outcome.ended = perf_counter()
        return outcome

    return Carrier(send=send, plan=lambda: plan)

"""


def test_a_bus_that_times_no_handlers_puts_no_time_down_to_one_of_several(
    install: Install,
) -> None:
    install("shop", SHOP)
    alone = f"\n@handles('shop.closed')\ndef alone(event): {SLOW}"
    fast = "\n@handles('shop.opened')\ndef fast(event): pass"
    install("acme", OWN_BUS + handler("shop.opened") + fast + alone)
    slow, *unknown = check_plugin("acme", call=True, budget=0.02)
    assert "acme:alone on shop.closed takes 3" in slow.text
    assert [one.fault for one in unknown] == [False, False]
    assert all("other handlers ran in them, so its time is not known" in o.text for o in unknown)


def test_a_pattern_is_called_with_every_type_that_it_matches(install: Install) -> None:
    install("shop", SHOP)
    install("acme", handler("shop.*", "import time; time.sleep(0.03 * (event.type[5] == 'o'))"))
    (fault,) = faults(call=True, budget=0.02)
    assert "acme:note on shop.* takes 3" in fault
    assert "ms with shop.opened, and the emitter waits" in fault


def test_a_pattern_whose_handler_fails_for_one_type_is_timed_with_the_others(
    install: Install,
) -> None:
    install("shop", SHOP)
    install("acme", handler("shop.*", "event.type == 'shop.closed' or event.data['lost']"))
    (found,) = check_plugin("acme", call=True)
    assert not found.fault
    assert "passed for none of the made-up events of shop.opened, so" in found.text


def test_a_worker_handler_of_a_type_with_the_topic_of_another_plugin(install: Install) -> None:
    install("shop", SHOP)
    source = (
        "from vectis.core import on_event\n@on_event('shop.opened')\n"
        f"async def note(event_type, payload): {SLOW}"
    )
    install("acme", source)
    (fault,) = faults(call=True, budget=0.02)
    assert "acme:note on shop.opened blocks the event loop of the worker" in fault
    assert check_plugin("acme", call=True) == ()


def test_a_plugin_that_the_config_disables_is_called_with_the_types_of_others(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("shop", SHOP)
    install("acme", handler("shop.opened"))
    monkeypatch.setenv("VECTIS_PLUGINS_DISABLE", "acme")
    (fault,) = faults(call=True, budget=0.02)
    assert "acme:note on shop.opened takes 3" in fault


def test_a_worker_handler_without_any_topic_is_named_and_keeps_no_other_from_being_called(
    install: Install,
) -> None:
    install("shop", SHOP)
    source = (
        "from vectis.core import on_event\n@on_event('nobody.knows')\n"
        "async def lost(event_type, payload): ...\n@on_event('shop.opened')\n"
        f"async def note(event_type, payload): {SLOW}"
    )
    install("acme", source)
    slow, without_topic, without_class = check_plugin("acme", call=True, budget=0.02)
    assert "acme:lost on nobody.knows was not called: no plugin" in without_class.text
    assert without_topic.text == (
        "no topic is known here for acme:lost on nobody.knows, and no worker starts without"
    )
    assert slow.fault
    assert "acme:note on shop.opened blocks the event loop" in slow.text


def test_a_class_that_a_handler_takes_needs_no_catalogue(install: Install) -> None:
    install("shop", SHOP.replace("catalogue.register", "str"))
    source = (
        "from shop import Opened\nfrom vectis.core import handles\n"
        f"@handles(Opened)\ndef note(event: Opened): {SLOW}"
    )
    install("acme", source)
    (fault,) = faults(call=True, budget=0.02)
    assert "acme:note on shop.opened takes 3" in fault


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "class of shop.opened, so its time is not known"),
        (
            SHOP.replace("attrs.frozen", "attrs.frosen"),
            "class of shop.opened; not asked: shop (in quarantine), so its",
        ),
        (
            "import os; os._exit(7)",
            "loading them ended its process with exit code 7, and printed nothing, so its",
        ),
        (
            SHOP.replace("number: int", "number: object = attrs.field(validator=1 / 0)"),
            "; not asked: shop (in quarantine)",
        ),
    ],
    ids=["none", "broken", "an exit", "broken later"],
)
def test_what_could_not_be_called_is_no_fault_and_told_with_its_cause(
    install: Install, source: str | None, said: str
) -> None:
    if source is not None:
        install("shop", source)
    install("acme", handler("shop.opened"))
    (found,) = check_plugin("acme", call=True)
    assert not found.fault
    assert said in found.text
    assert "no plugin that is installed and enabled here registers" in found.text
    assert "register one with vectis_register_events if the event is yours" in found.advice


def test_a_plugin_that_the_config_disables_is_not_asked_and_named(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("shop", SHOP)
    install("acme", handler("shop.*"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vectis.toml").write_text('[plugins]\ndisable = ["shop"]\n')
    (found,) = check_plugin("acme", call=True)
    assert "a type that shop.* matches; not asked: shop (disabled by vectis.toml:2)" in found.text
    (tmp_path / "vectis.toml").write_text("[plugins\n")
    (found,) = check_plugin("acme", call=True)
    assert "the other plugins could not be asked: vectis.toml" in found.text
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_class_of_which_no_event_can_be_made_up_is_named(install: Install) -> None:
    install("shop", SHOP.replace("number: int", "number: memoryview"))
    install("acme", handler("shop.opened"))
    (found,) = check_plugin("acme", call=True)
    assert not found.fault
    assert "acme:note on shop.opened was not called with shop.opened: TypeError: " in found.text


def test_a_worker_handler_that_fails_for_every_made_up_event_is_named(install: Install) -> None:
    install("shop", SHOP)
    source = (
        "from vectis.core import on_event\n@on_event('shop.opened')\n"
        "def note(event_type, payload): raise KeyError(1)"
    )
    install("acme", source)
    (found,) = check_plugin("acme", call=True)
    assert not found.fault
    assert "passed for none of the made-up events" in found.text


def test_a_handler_that_passes_for_no_made_up_event_is_no_fault_and_named(install: Install) -> None:
    install(
        "acme", GOOD.replace("        pass\n", "        raise KeyError(1)\n"), entry="acme:Plugin"
    )
    (found,) = check_plugin("acme", call=True)
    assert not found.fault
    assert "passed for none of the made-up events" in found.text


def test_a_handler_that_does_not_end_is_a_fault(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = GOOD.replace("await asyncio.sleep(0.3)", "await asyncio.Event().wait()")
    source = f"from vectis.core.conformance import handlers\nhandlers.ENOUGH = 0.1\n{source}"
    install("acme", source, entry="acme:Plugin")
    (fault,) = faults(call=True)
    assert "the worker was not done within 0.1 s: acme:Plugin.in_the_worker" in fault


def test_a_start_that_fails_is_a_fault(install: Install) -> None:
    source = GOOD.replace("self.end = threading.Event()", "raise OSError('no server')")
    install("acme", source, entry="acme:Plugin")
    assert any("the hub does not start with it" in one and "no server" in one for one in faults())


def test_an_unknown_plugin_is_an_error() -> None:
    with pytest.raises(PluginError, match="did you mean 'commerce'"):
        check_plugin("comerce")


class TestCommerce(PluginConformance):
    plugin = "commerce"


class TestRedpanda(PluginConformance):
    plugin = "redpanda"


class TestSqlite(PluginConformance):
    plugin = "sqlite"
    config: ClassVar = {"sqlite": {"path": "events.db"}}


def test_the_suite_fails_with_all_that_was_found(install: Install) -> None:
    install("acme", "print('hello')")

    class Suite(PluginConformance):
        plugin = "acme"

    with pytest.raises(AssertionError, match="does not conform:\nimport: it writes 'hello'"):
        Suite().test_importing_it_does_nothing_but_define_things()
    Suite().test_nothing_is_left_behind_after_shutdown()


# ---------------------------------------------------------------- the command


def test_the_command_shows_rules_and_findings(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.install("acme", plugin="acme = acme", acme="print('hello')")
    answer = world.vectis("plugins", "check", "acme")
    assert answer.code == 1
    assert "fault  importing it does nothing but define things" in answer.out
    assert "acme does not conform: 1 to mend" in answer.out
    answer = world.vectis("plugins", "check", "commerce", "--call")
    assert (answer.code, "commerce conforms" in answer.out) == (0, True)
    assert world.vectis("plugins", "check", "nobody").code == 2


def test_the_command_tells_faults_first_and_notes_as_such(tmp_path: Path) -> None:
    world = World(tmp_path)
    source = f"{handler('x.y')}\n{handler('account.created').replace('note', 'slow')}"
    world.install("acme", plugin="acme = acme", acme=source)
    answer = world.vectis("plugins", "check", "acme", "--call", "--budget", "20")
    lines = answer.out.splitlines()
    first = lines.index("fault  its handlers keep within the budget") + 1
    assert lines[first].startswith("       acme:slow on account.created takes 3")
    assert lines[first + 1].startswith("       note: acme:note on x.y was not called: no plugin")


@pytest.mark.parametrize(
    ("source", "unknown"),
    [
        ("import nothing_of_this_name", ["import", "settings", "handlers", "shutdown"]),
        ("import os; os._exit(7)", ["import", "settings", "handlers", "shutdown"]),
        ("vectis_requires = ('nobody',)", ["settings", "handlers", "shutdown"]),
        ("def vectis_startup(hub): ...", ["settings", "handlers", "shutdown"]),
    ],
    ids=["no import", "an exit", "an unmet need", "an unmarked hook"],
)
def test_what_could_not_be_checked_is_not_called_right(
    tmp_path: Path, source: str, unknown: list[str]
) -> None:
    world = World(tmp_path)
    world.install("acme", plugin="acme = acme", acme=source)
    answer = world.vectis("plugins", "check", "acme")
    assert "note   nothing is left behind after shutdown\n       this could not be" in answer.out
    assert "acme does not conform: 1 to mend" in answer.out
    rules = world.vectis("plugins", "check", "acme", "--json").json["rules"]
    expected = dict.fromkeys(rules, "ok") | dict.fromkeys(unknown, "note") | {"hooks": "fault"}
    assert rules == expected


def test_the_command_writes_json(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.install("acme", plugin="acme = acme:Plugin", acme=GOOD)
    answer = world.vectis("plugins", "check", "acme", "--json", "--budget", "50")
    assert answer.code == 0
    assert answer.json["conforms"] is True
    assert answer.json["rules"] == {
        **dict.fromkeys(("import", "hooks", "settings", "shutdown"), "ok"),
        "handlers": "note",
    }
    assert len(answer.json["findings"]) == 2
