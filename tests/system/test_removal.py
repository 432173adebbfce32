"""Without any one of the default plugins a hub starts, does the rest, and says what is missing.

Once with the plugin disabled and once with its distribution uninstalled, in an environment that was
installed from wheels.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.environments import Environment

if TYPE_CHECKING:
    from pathlib import Path

WITHOUT = {"bus": "vectis-bus", "redpanda": "vectis-redpanda"}

# What an application does on the way, each with what came of it, as one line of JSON.
APPLICATION = """
import asyncio, json, os
os.environ.update(json.loads('ENVIRON'))
from vectis.core import Hub
from vectis.core.events import Event

seen = []
told = {}

async def main():
    async with Hub() as hub:
        told["loaded"] = [plugin.name for plugin in hub.plugins if plugin.state == "loaded"]
        told["receipt"] = await hub.publish("vectis.orders", "order.created", {"order_id": 7})
        await hub.emit(Event("order.created", {}))
        hub.subscribe("order.created", lambda event: seen.append(event.type))
        try:
            await hub.emit(Event("order.created", {}))
        except Exception as error:
            told["error"] = str(error)

asyncio.run(main())
print(json.dumps({**told, "seen": seen}))
"""

COMMAND = """
import contextlib, io, json, os, sys
os.environ.update(json.loads('ENVIRON'))
from vectis.core.cli import main

out, err = io.StringIO(), io.StringIO()
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    code = main(ARGUMENTS)
print(json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue()}))
"""


def test_every_default_plugin_is_tried() -> None:
    from vectis.core.safemode import default_distributions

    assert {*WITHOUT.values(), "vectis-core"} == default_distributions()


@pytest.fixture(scope="module")
def hub(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("removal") / "env", wheelhouse)
    environment.install("vectis-hub")
    return environment


def run(environment: Environment, script: str, environ: dict[str, str]) -> dict[str, Any]:
    answer = environment.run_script(script.replace("ENVIRON", json.dumps(environ)))
    told: dict[str, Any] = json.loads(answer)
    return told


def command(environment: Environment, environ: dict[str, str], *arguments: str) -> dict[str, Any]:
    return run(environment, COMMAND.replace("ARGUMENTS", repr([*arguments])), environ)


def check_the_rest(environment: Environment, plugin: str, environ: dict[str, str]) -> None:
    """Check that a hub starts without the plugin, and that an emit is never silently skipped."""
    told = run(environment, APPLICATION, environ)
    assert told["loaded"] == [name for name in WITHOUT if name != plugin]
    assert told["receipt"] is None
    if plugin == "bus":
        assert "no bus plugin is enabled, and handlers wait for one" in told["error"]
        assert "Install vectis-bus" in told["error"]
        assert told["seen"] == []
    else:
        assert told["seen"] == ["order.created"]


@pytest.mark.parametrize("plugin", WITHOUT)
def test_a_default_plugin_that_is_disabled(hub: Environment, plugin: str) -> None:
    environ = {"VECTIS_PLUGINS_DISABLE": plugin}
    check_the_rest(hub, plugin, environ)
    doctor = command(hub, environ, "doctor")
    assert doctor["code"] == 0
    assert f"plugin {plugin} (vectis-{plugin} 0.1.0): disabled by VECTIS_PLUGINS" in doctor["out"]
    if plugin == "bus":
        assert "bus: none is enabled: emit does nothing" in doctor["out"]
        assert "-> `vectis plugins enable bus`: it is disabled by VECTIS_" in doctor["out"]
    else:
        assert "transport: none is available: publish returns None" in doctor["out"]
        told = {**environ, "VECTIS_REDPANDA_BOOTSTRAP_SERVERS": "127.0.0.1:9092"}
        out = command(hub, told, "doctor")["out"]
        assert "redpanda is configured, and disabled by VECTIS_PLUGINS_DISABLE" in out


@pytest.mark.parametrize("plugin", WITHOUT)
def test_a_default_plugin_that_is_not_installed(hub: Environment, plugin: str) -> None:
    hub.pip("uninstall", "-q", "-y", WITHOUT[plugin])
    try:
        check_the_rest(hub, plugin, {})
        missing = f"pip install {WITHOUT[plugin]}"
        doctor = command(hub, {}, "doctor")
        assert doctor["code"] == 0
        assert f"plugin of {WITHOUT[plugin]}: vectis-hub requires it, and it is" in doctor["out"]
        assert f"-> {missing}" in doctor["out"]
        listed = command(hub, {}, "plugins")
        assert plugin not in [text.split(" ")[0] for text in listed["out"].splitlines()]
        assert missing in listed["err"]
    finally:
        hub.install(WITHOUT[plugin])
