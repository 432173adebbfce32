"""Plugins as strangers ship them: real wheels, installed with pip, found by nothing but their name.

One environment with the core, the bus and all of them; a test says which of them it enables.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.environments import Environment
from tests.system.wheels import wheel

if TYPE_CHECKING:
    from collections.abc import Iterable

TRANSPORT = Path(__file__).parents[1] / "core" / "folder_transport.py"

MANY = 300

COMMAND = """
import contextlib, io, json, os
os.environ.update(json.loads('ENVIRON'))
from vectis.core.cli import main

out = io.TextIOWrapper(io.BytesIO())
with contextlib.redirect_stdout(out):
    code = main(ARGUMENTS)
out.flush()
print(json.dumps({"code": code, "out": out.buffer.getvalue().decode()}))
"""

# Emits once, and tells what the handlers left in the list that they share.
EMIT = """
import asyncio, json, logging, os, sys
logging.disable()
os.environ.update(json.loads('ENVIRON'))
seen = sys.seen = []
from vectis.core import Event, Hub
from vectis.core.exceptions import EventCancelled

async def main():
    async with Hub() as hub:
        try:
            outcome = await hub.emit(Event("order.created", json.loads('DATA')))
        except EventCancelled as error:
            outcome = error.outcome
            seen.append(f"vetoed by {error.plugin}")
    return {
        "plugins": {plugin.name: [plugin.state, plugin.reason] for plugin in hub.plugins},
        "status": outcome.status,
        "seen": seen,
        "failures": [str(failure) for failure in outcome.failures],
        "errors": [" ".join(where) for where in hub.lifecycle.errors],
    }

print(json.dumps(asyncio.run(main())))
"""

NOTES = """
import sys
from vectis.core import handles

@handles("order.*", priority={priority})
async def note(event):
    sys.seen.append({said!r})
"""


def noting(said: str, priority: int = 100) -> str:
    """Return a plugin whose handler leaves a word in the list of the test."""
    return NOTES.format(said=said, priority=priority)


class Site:
    """The environment, and the programs that run in it."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    def run(self, script: str, enable: Iterable[str], environ: dict[str, str]) -> Any:
        environ["VECTIS_PLUGINS_ENABLE"] = ",".join(["bus", *enable])
        told = script.replace("ENVIRON", json.dumps(environ))
        return json.loads(self.environment.run_script(told))

    def emit(self, *enable: str, data: object = None, **environ: str) -> Any:
        script = EMIT.replace("DATA", json.dumps(data or {"order_id": 7}))
        return self.run(script, enable, environ)

    def vectis(self, *arguments: str, enable: Iterable[str] = (), **environ: str) -> Any:
        return self.run(COMMAND.replace("ARGUMENTS", repr([*arguments])), enable, environ)


@pytest.fixture(scope="module")
def site(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    environment = Environment(tmp_path_factory.mktemp("strangers") / "env", wheelhouse)
    environment.install("vectis-core", "vectis-bus", "pytest")
    # Not what they require: one of them requires a core that there is not.
    environment.install("--no-deps", *strangers(tmp_path_factory.mktemp("wheels")))
    return Site(environment)


def strangers(folder: Path) -> list[Path]:
    """Write the wheels of all plugins but the three hundred."""
    carried = {"acme_folder": FOLDER, "acme_folder_transport": TRANSPORT.read_text("utf-8")}
    simple = {
        "acme-audit": AUDIT,
        "acme-note": noting("well"),
        "acme-raising": RAISING,
        "acme-needing": f"vectis_requires = ('acme-zero',)\n{noting('needing', priority=50)}",
        "acme-zero": noting("zero", priority=50),
        "acme-lonely": "vectis_requires = ('acme-nowhere',)",
        **{name: source for name, (source, _) in BROKEN.items()},
    }
    wheels = [
        wheel(folder, "acme-folder", {"acme-folder": "acme_folder"}, **carried),
        wheel(folder, "acme-guard", {"acme-guard": "acme_guard:Guard"}, acme_guard=GUARD),
    ]
    for name, source in simple.items():
        module = f"{name.replace('-', '_')}_plugin"
        wheels.append(wheel(folder, name, {name: module}, **{module: source}))
    points = {name: target for name, (target, _) in ENTRIES.items()}
    wheels += [
        wheel(folder, "acme-entries", points, acme_entries=GREEDY),
        wheel(folder, "acme-newer", {"newer": "newer"}, requires=[NEWER], newer=noting("newer")),
        wheel(folder, "acme-one", {"twice": "acme_one"}, acme_one=noting("one")),
        wheel(folder, "acme-two", {"twice": "acme_two"}, acme_two=noting("two"), version="2.0"),
    ]
    return wheels


# A handler plugin

AUDIT = """
import sys
import attrs
from vectis.core import handles, hookimpl

@attrs.frozen
class Settings:
    prefix: str = "order"

@hookimpl
def vectis_settings():
    return Settings

@handles("order.*", priority=20)
async def record(event, hub=None):
    sys.seen.append(event.data["order_id"])
"""


def test_a_handler_plugin(site: Site) -> None:
    assert site.emit("acme-audit")["seen"] == [7]
    assert (
        "acme-audit:record" in site.vectis("explain", "order.created", enable=["acme-audit"])["out"]
    )
    (listed,) = [
        plugin
        for plugin in json.loads(site.vectis("plugins", "--json", enable=["acme-audit"])["out"])
        if plugin["name"] == "acme-audit"
    ]
    assert (listed["distribution"], listed["version"]) == ("acme-audit", "1.0")
    assert (listed["state"], listed["default"]) == ("enabled", False)
    disabled = site.emit("acme-audit", VECTIS_PLUGINS_DISABLE="acme-audit")
    assert disabled["seen"] == []
    assert disabled["plugins"]["acme-audit"] == ["disabled", "disabled by VECTIS_PLUGINS_DISABLE"]


# A lifecycle plugin

GUARD = """
import sys
from contextlib import asynccontextmanager
from vectis.core import hookimpl
from vectis.core.exceptions import EventCancelled

class Guard:
    @hookimpl
    async def vectis_startup(self, hub):
        sys.seen.append("startup")

    @hookimpl
    def vectis_before_emit(self, event):
        sys.seen.append(f"before {event.type}")
        if "forbidden" in event.data:
            raise EventCancelled("it is forbidden")

    @hookimpl
    @asynccontextmanager
    async def vectis_around_emit(self, event):
        sys.seen.append("enter")
        yield
        sys.seen.append("leave")

    @hookimpl
    def vectis_after_emit(self, outcome):
        sys.seen.append(outcome.status)

    @hookimpl
    def vectis_shutdown(self):
        sys.seen.append("shutdown")
"""


def test_a_lifecycle_plugin(site: Site) -> None:
    told = site.emit("acme-guard", "acme-note")
    assert told["seen"] == [
        *("startup", "before order.created", "enter", "well", "leave", "completed", "shutdown")
    ]
    told = site.emit("acme-guard", "acme-note", data={"forbidden": True})
    assert told["status"] == "cancelled"
    assert told["seen"] == [
        *("startup", "before order.created", "cancelled", "vetoed by acme-guard", "shutdown")
    ]


# A transport plugin

FOLDER = """
from pathlib import Path
import attrs
from acme_folder_transport import FolderTransport
from vectis.core import hookimpl

@attrs.frozen
class Settings:
    path: str | None = None

made = {}

def transport_of(hub):
    path = hub.settings("acme-folder").path
    if path is not None and path not in made:
        made[path] = FolderTransport(Path(path))
    return made.get(path)

@hookimpl
def vectis_settings():
    return Settings

@hookimpl
def vectis_unavailable(hub):
    return None if transport_of(hub) else "no folder: set [acme-folder] path"

@hookimpl
def vectis_subscribe(route, subscription):
    return (lambda: None) if route.scope == "service" else None

@hookimpl
def vectis_emit(route, hub):
    transport = transport_of(hub) if route.scope == "service" else None
    return transport.carrier(route.name) if transport else None

@hookimpl
def vectis_consume(topics, group, hub):
    transport = transport_of(hub)
    return transport.consumer(topics, group) if transport else None
"""

CONTRACT = """
from acme_folder_transport import LIMIT, FolderTransport
from vectis.core.testing.contract import Features, TransportContract

class TestFolderTransport(TransportContract):
    features = Features(durable=True, expiry=True, refused_size=LIMIT + 1)

    def transport(self, folder):
        return FolderTransport(folder)

    def expire(self, transport, consumer):
        consumer.state.remove(consumer)
"""

CARRIED = """
import asyncio, json, os
os.environ.update(json.loads('ENVIRON'))
from vectis.core import Hub
from vectis.core.worker import Worker

seen = []

async def main():
    async with Hub() as hub:
        receipt = await hub.publish("vectis.orders", "order.created", {"order_id": 7}, key="7")
    consuming = Hub()

    async def handle(event_type, payload):
        seen.append([event_type, payload])
        worker.stop()

    consuming.on_event("order.created", handle, topic="vectis.orders")
    worker = Worker(consuming)
    report = await worker.run()
    print(json.dumps([receipt.transport, worker.transport, seen, report.handled]))

asyncio.run(main())
"""


def test_a_transport_plugin_passes_the_contract(site: Site, tmp_path: Path) -> None:
    contract = tmp_path / "test_contract.py"
    contract.write_text(CONTRACT, encoding="utf-8")
    passed = site.environment.run_script(
        "import sys, pytest\n"
        f"sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', {str(contract)!r}]))"
    )
    assert " passed" in passed, passed


def test_a_transport_plugin_carries_what_is_published_to_a_worker(
    site: Site, tmp_path: Path
) -> None:
    unset = site.vectis("doctor", enable=["acme-folder"])
    assert "acme-folder declined: no folder: set [acme-folder] path" in unset["out"]
    environ = {"VECTIS_ACME_FOLDER_PATH": str(tmp_path), "VECTIS_CONSUMER_GROUP": "shop"}
    told = site.run(CARRIED, ["acme-folder"], environ)
    assert told == ["acme-folder", "acme-folder", [["order.created", {"order_id": 7}]], 1]


# Broken plugins

RAISING = """
import sys
from vectis.core import handles, hookimpl

@handles("order.*", priority=10)
async def fails(event):
    sys.seen.append("fails")
    raise ValueError("no such order")

@hookimpl
def vectis_handler_error(failure):
    raise TypeError("about the error")

@hookimpl
def vectis_after_emit():
    raise RuntimeError("afterwards")

@hookimpl
async def vectis_shutdown():
    raise RuntimeError("at the end")
"""

NEWER = "vectis-core>=99"
GREEDY = "class Greedy:\n    def __init__(self, url): ..."

# Every way in which a plugin can be broken: its source or its entry point, and the cause as told.
HOOK = "from vectis.core import handles, hookimpl\n"
SETTINGS = f"import attrs\n{HOOK}@attrs.frozen\nclass Settings:\n"
GIVEN = "@hookimpl\ndef vectis_settings(): return Settings"
HALFWAY = "    hub.subscribe('order.*', print)\n    raise SystemExit('halfway')"
BROKEN = {
    "import-error": ("import acme_is_not_there", "No module named 'acme_is_not_there'"),
    "raises": ("raise ValueError('no licence file')", "ValueError: no licence file"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "exits-hard": ("import sys; sys.exit('no database')", "SystemExit: no database"),
    "syntax-error": ("def broken(:", "SyntaxError"),
    "not-text": ("\0", "null bytes"),
    "base-exception": ("raise BaseException('no')", "BaseException: no"),
    "bottomless": ("def down(): down()\ndown()", "RecursionError"),
    "unknown-hook": (
        f"{HOOK}@hookimpl\ndef vectis_befor_emit(event): ...",
        "vectis_before_emit",
    ),
    "unknown-argument": (f"{HOOK}@hookimpl\ndef vectis_after_emit(evnt): ...", "evnt"),
    "async-hook": (
        f"{HOOK}@hookimpl\nasync def vectis_settings(): ...",
        "write it with plain `def`",
    ),
    "handler-signature": (
        f"{HOOK}@handles('order.*')\ndef record(event, outcome): ...",
        "record(event, outcome)",
    ),
    "settings-raise": (f"{HOOK}@hookimpl\ndef vectis_settings(): 1 / 0", "ZeroDivisionError"),
    "settings-class": (f"{HOOK}@hookimpl\ndef vectis_settings(): return int", "int"),
    "settings-needed": (
        f"{SETTINGS}    address: str\n{GIVEN}",
        "address",
    ),
    "settings-wrong": (
        f"{SETTINGS}    limit: int = 1\n{GIVEN}",
        "VECTIS_SETTINGS_WRONG_LIMIT",
    ),
    "events-raise": (
        f"{HOOK}@hookimpl\ndef vectis_register_events(catalogue): catalogue.register(int)",
        "int",
    ),
    "handlers-exit": (
        f"{HOOK}@hookimpl\ndef vectis_register_handlers(hub):\n{HALFWAY}",
        "SystemExit: halfway",
    ),
    "needs-no-names": ("vectis_requires = 'bus'", "write the names as a tuple"),
    "needs-itself": ("vectis_requires = ('needs-itself',)", "needs-itself -> needs-itself"),
}
ENTRIES = {
    "no-module": ("acme_nothing_here", "No module named 'acme_nothing_here'"),
    "no-attribute": ("acme_entries:Plugin", "has no attribute 'Plugin'"),
    "no-object": ("acme_entries:Greedy", "cannot be made without arguments"),
    "no-entry": ("acme entries!", "acme entries!"),
}


def test_plugins_that_are_broken_in_every_way_break_nothing_else(site: Site) -> None:
    causes = {name: cause for name, (_, cause) in [*BROKEN.items(), *ENTRIES.items()]}
    causes["newer"] = NEWER
    told = site.emit(*causes, "acme-note", VECTIS_SETTINGS_WRONG_LIMIT="many")
    states = {name: told["plugins"][name][0] for name in ("bus", "acme-note", *causes)}
    assert states == {
        "bus": "loaded",
        "acme-note": "loaded",
        **dict.fromkeys(causes, "quarantined"),
    }
    for name, cause in causes.items():
        assert cause in told["plugins"][name][1], name
    assert (told["status"], told["seen"], told["failures"]) == ("completed", ["well"], [])

    doctor = site.vectis("doctor", "--json", enable=causes, VECTIS_SETTINGS_WRONG_LIMIT="many")
    checks = json.loads(doctor["out"])["checks"]
    failed = [check for check in checks if check["status"] == "fail"]
    assert doctor["code"] == 1
    assert {check["name"].split()[1] for check in failed} == {*causes}
    remedies = {check["name"].split()[1]: check["remedy"] for check in failed}
    assert remedies["settings-wrong"] == "correct VECTIS_SETTINGS_WRONG_LIMIT, or unset it"
    assert "VECTIS_SETTINGS_NEEDED_ADDRESS" in remedies["settings-needed"]
    assert "vectis-core" in remedies["newer"]
    for name in ("no-module", "no-attribute", "handlers-exit", "needs-itself"):
        assert f"`vectis plugins disable {name}`" in remedies[name]
    assert site.vectis("doctor")["code"] == 0  # none of them is enabled


def test_hooks_and_handlers_that_raise_stop_nobody_else(site: Site) -> None:
    told = site.emit("acme-raising", "acme-note")
    assert told["seen"] == ["fails", "well"]
    (failure,) = told["failures"]
    assert "acme-raising:fails" in failure
    assert "ValueError: no such order" in failure
    assert sorted(told["errors"]) == [
        "vectis_after_emit acme-raising",
        "vectis_handler_error acme-raising",
        "vectis_shutdown acme-raising",
    ]


# Plugins and each other


def test_two_plugins_with_one_name_are_both_refused_and_shown(site: Site) -> None:
    told = site.emit("twice", "acme-note")
    assert told["seen"] == ["well"]
    state, reason = told["plugins"]["twice"]
    assert state == "quarantined"
    assert "acme-one (acme_one) and acme-two (acme_two) are both called 'twice'" in reason
    doctor = site.vectis("doctor", enable=["twice"])
    assert doctor["code"] == 1
    assert "plugin twice (acme-one 1.0)" in doctor["out"]
    assert "plugin twice (acme-two 2.0)" in doctor["out"]


def test_a_plugin_that_needs_another(site: Site) -> None:
    told = site.emit("acme-needing", "acme-zero", "acme-lonely")
    # After what it needs, though its name comes first in the alphabet.
    assert told["seen"] == ["zero", "needing"]
    state, reason = told["plugins"]["acme-lonely"]
    assert state == "quarantined"
    assert "it needs plugin 'acme-nowhere', which is not installed" in reason
    told = site.emit("acme-needing", "acme-zero", VECTIS_PLUGINS_DISABLE="acme-zero")
    assert told["seen"] == []
    state, reason = told["plugins"]["acme-needing"]
    assert state == "quarantined"
    assert "it needs plugin acme-zero (acme-zero 1.0), which is disabled by VECTIS_" in reason


def test_three_hundred_plugins_at_once(site: Site, tmp_path: Path) -> None:
    # In another order than that of their names, in which they are registered.
    priorities = {f"n{n:03}": n * 7 % MANY for n in range(MANY)}
    site.environment.install(
        "--no-deps",
        *(
            wheel(tmp_path, f"acme-{name}", {name: name}, **{name: noting(name, priority)})
            for name, priority in priorities.items()
        ),
    )
    listed = json.loads(site.vectis("plugins", "--json", enable=priorities)["out"])
    assert {p["name"] for p in listed if p["state"] == "enabled"} == {"bus", *priorities}
    told = site.emit(*priorities)
    assert {told["plugins"][name][0] for name in priorities} == {"loaded"}
    assert told["seen"] == sorted(priorities, key=priorities.__getitem__)
    assert told["failures"] == []

    breaks = "import os, sys; sys.exit('n217' not in os.environ['VECTIS_PLUGINS_DISABLE'])"
    command = ["plugins", "bisect", "--json", "--", str(site.environment.python), "-c", breaks]
    found = json.loads(site.vectis(*command, enable=priorities)["out"])
    assert found["culprits"] == ["n217"]
    assert len(found["runs"]) <= 2 + 9 + 2  # all and none, the search, and a look at the result
