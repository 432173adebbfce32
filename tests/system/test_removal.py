"""Without any one of the default plugins a hub starts, does the rest, and says what is missing.

Once with the plugin disabled and once with its distribution uninstalled, in an environment that was
installed from wheels.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.system.environments import Environment

if TYPE_CHECKING:
    from pathlib import Path

INSTALL = "`pip install ./plugins/{}` in a clone of Vectis"
WITHOUT = {"bus": "vectis-bus", "redpanda": "vectis-redpanda"}

# What an application does on the way, each with what came of it, as one line of JSON.
APPLICATION = """
import asyncio, json
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


def test_every_default_plugin_is_tried() -> None:
    from vectis.core.safemode import default_distributions

    assert {*WITHOUT.values(), "vectis-core"} == default_distributions()


@pytest.fixture(scope="module")
def hub(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("removal") / "env", wheelhouse)
    environment.install("vectis-hub")
    return environment


def check_the_rest(environment: Environment, plugin: str, **variables: str) -> None:
    """Check that a hub starts without the plugin, and that an emit is never silently skipped."""
    told = json.loads(environment.run_script(APPLICATION, **variables))
    assert told["loaded"] == [name for name in WITHOUT if name != plugin]
    assert told["receipt"] is None
    if plugin == "bus":
        assert "no bus plugin is enabled, and handlers wait for one" in told["error"]
        way = "take bus out of VECTIS_PLUGINS_DISABLE: it is disabled" if variables else INSTALL
        assert f"{way.format('bus')}" in told["error"]
        assert told["seen"] == []
    else:
        assert told["seen"] == ["order.created"]


@pytest.mark.parametrize("plugin", WITHOUT)
def test_a_default_plugin_that_is_disabled(hub: Environment, plugin: str) -> None:
    environ = {"VECTIS_PLUGINS_DISABLE": plugin}
    check_the_rest(hub, plugin, **environ)
    doctor = hub.vectis("doctor", environ=environ)
    assert doctor.returncode == 0
    assert f"plugin {plugin} (vectis-{plugin} 0.1.0): disabled by VECTIS_PLUGINS" in doctor.stdout
    if plugin == "bus":
        assert "bus: none is enabled: emit does nothing" in doctor.stdout
        assert "-> take bus out of VECTIS_PLUGINS_DISABLE" in doctor.stdout
    else:
        assert "transport: none is available: publish returns None" in doctor.stdout
        told = {**environ, "VECTIS_REDPANDA_BOOTSTRAP_SERVERS": "127.0.0.1:9092"}
        out = hub.vectis("doctor", environ=told).stdout
        assert "redpanda is configured, and disabled by VECTIS_PLUGINS_DISABLE" in out


@pytest.mark.parametrize("plugin", WITHOUT)
def test_a_default_plugin_that_is_not_installed(hub: Environment, plugin: str) -> None:
    hub.pip("uninstall", "-q", "-y", WITHOUT[plugin])
    try:
        check_the_rest(hub, plugin)
        missing = INSTALL.format(plugin)
        doctor = hub.vectis("doctor")
        assert doctor.returncode == 0
        assert f"plugin of {WITHOUT[plugin]}: vectis-hub requires it, and it is" in doctor.stdout
        assert f"-> {missing}" in doctor.stdout
        listed = hub.vectis("plugins")
        assert plugin not in [text.split(" ")[0] for text in listed.stdout.splitlines()]
        assert missing in listed.stderr
    finally:
        hub.install(WITHOUT[plugin])
