"""`vectis handlers` and `vectis config`: what is registered and what is set, and by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.core.cli_world import World
from vectis.core import Hub
from vectis.core.absence import missing_bus

if TYPE_CHECKING:
    from pathlib import Path

SHOP = """
from vectis.core import on_event
from vectis.core.events import event_bus

def cache(event): ...
async def audit(event): ...

event_bus.subscribe("order.*", cache, priority=70, once=True)
event_bus.subscribe("order.created", audit, priority=30, timeout=1.5, required=True)

@on_event("order.created")
def sync(event_type, payload): ...
"""

CONFIG = """
[consumer]
modules = ["shop"]

[topics]
"shop.orders" = ["order.created"]

[handlers."app:cache"]
priority = 5

[handlers."app:audit"]
enabled = false
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.module("shop", SHOP)
    world.config(CONFIG)
    return world


def test_handlers_come_in_order_with_policy_and_what_changed_them(world: World) -> None:
    lines = world.vectis("handlers").out.splitlines()
    [cache] = [line for line in lines if "app:cache" in line]
    [audit] = [line for line in lines if "app:audit" in line]
    assert cache.split()[:4] == ["5", "order.*", "app:cache", "once"]
    assert "changed by vectis.toml:" in cache
    assert audit.split()[:3] == ["30", "order.created", "app:audit"]
    assert "timeout 1.5 s, required" in audit
    assert "disabled by vectis.toml:" in audit
    assert lines.index(cache) < lines.index(audit)


def test_consuming_handlers_show_topic_and_transport(world: World) -> None:
    def row(**variables: str) -> list[str]:
        lines = world.vectis("handlers", **variables).out.splitlines()
        return next(line for line in lines if "app:sync" in line).split()

    assert row() == ["50", "order.created", "shop.orders", "none", "app:sync", "enabled"]
    assert row(VECTIS_SQLITE_PATH="events.db")[3] == "sqlite"


def test_json_tells_the_same(world: World) -> None:
    rows = {row["handler"]: row for row in world.vectis("handlers", "--json").json}
    assert rows["app:cache"]["priority"] == 5
    assert rows["app:audit"]["enabled"] is False
    assert rows["app:sync"]["topics"] == ["shop.orders"]
    assert rows["app:sync"]["transports"] == [None]


def test_missing_plugins_are_mentioned_beside_the_answer(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="1 / 0")
    answer = world.vectis("handlers", "--json")
    assert answer.json
    assert "acme (acme 1.0) is quarantined: handlers it may have are missing" in answer.err


def test_without_a_bus_its_handlers_wait_for_one(world: World) -> None:
    world.config(CONFIG + '\n[plugins]\ndisable = ["bus"]\n')
    answer = world.vectis("handlers")
    [cache] = [line for line in answer.out.splitlines() if "app:cache" in line]
    [sync] = [line for line in answer.out.splitlines() if "app:sync" in line]
    assert "waits for a bus, changed by vectis.toml:" in cache
    assert sync.endswith("enabled")
    way = "Handlers on the bus wait for one: no bus is enabled. `vectis plugins enable bus`: it is"
    assert f"{way} disabled by vectis.toml:" in answer.err
    assert "bus (vectis-bus" not in answer.err  # it has no handlers that could be missing
    rows = {row["handler"]: row["state"] for row in world.vectis("handlers", "--json").json}
    assert rows["app:cache"].startswith("waits for a bus")
    assert rows["app:audit"].startswith("disabled by vectis.toml:")
    assert rows["app:sync"] == "enabled"


def test_where_no_bus_is_installed_the_way_to_one_is_said() -> None:
    hub = Hub({}, discover=False)
    assert missing_bus(hub) == (
        "no bus is enabled. Install vectis-bus, `pip install ./plugins/bus` in a clone of Vectis, "
        "or another bus"
    )


def test_without_handlers_it_says_how_to_name_modules(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "--module" in World(tmp_path / "empty").vectis("handlers").out


def test_every_setting_has_an_origin(world: World) -> None:
    answer = world.vectis("config", "--json", VECTIS_BUS_BUDGET_MS="30").json
    origins = {
        (row["table"], row["key"]): (row["value"], row["origin"]) for row in answer["settings"]
    }
    assert origins["bus", "budget_ms"] == (30.0, "VECTIS_BUS_BUDGET_MS")
    assert origins["consumer", "modules"] == (["shop"], "vectis.toml:3")
    assert origins["hub", "publish_timeout"] == (10.0, "default")
    assert origins['handlers."app:cache"', "priority"] == (5, "vectis.toml:9")
    assert answer["file"] == str(world.here / "vectis.toml")


def test_secrets_are_masked(world: World) -> None:
    world.config('[redpanda]\nsasl_password = "geheim"\n')
    for arguments in (["config"], ["config", "--json"], ["doctor"]):
        answer = world.vectis(*arguments)
        assert "geheim" not in answer.out + answer.err
    assert "********" in world.vectis("config").out


def test_doubtful_settings_are_warned_about_once(world: World) -> None:
    world.config("[buss]\nbudget_ms = 3\n")
    answer = world.vectis("config", VECTIS_BUS_BUGET_MS="3")
    assert answer.code == 0
    assert "did you mean bus?" in answer.out
    assert "did you mean VECTIS_BUS_BUDGET_MS?" in answer.out
    assert answer.err == ""


def test_a_plugin_that_was_not_loaded_is_why_its_table_is_missing(world: World) -> None:
    world.config('[plugins]\ndisable = ["bus"]\nrequire = ["nothing"]\n')
    warnings = world.vectis("config", "--json").json["warnings"]
    assert any("'nothing', required by vectis.toml:3" in warning for warning in warnings)
    assert any("disabled by vectis.toml:2" in warning for warning in warnings)


def test_a_config_that_cannot_be_read_names_file_and_line(world: World) -> None:
    world.config("[hub\n")
    answer = world.vectis("config")
    assert answer.code == 2
    assert "vectis.toml:1" in answer.err


def test_a_priority_moves_a_handler_of_the_worker_and_is_shown(world: World) -> None:
    world.module(
        "more",
        "from vectis.core import on_event\n@on_event('order.created')\ndef bill(t, p): ...\n",
    )
    world.config(CONFIG.replace('["shop"]', '["shop", "more"]'))
    assert _consumed(world) == ["app:sync", "app:bill"]
    with (world.here / "vectis.toml").open("a") as config:
        config.write('[handlers."app:bill"]\npriority = 3\n')
    assert _consumed(world) == ["app:bill", "app:sync"]
    [row] = [line for line in world.vectis("handlers").out.splitlines() if "app:bill" in line]
    assert row.split()[0] == "3"
    assert "changed by vectis.toml:13" in row
    assert "no effect" not in world.vectis("doctor").out


def _consumed(world: World) -> list[str]:
    """Return the handlers of the worker as `handlers` lists them, and as `explain` does."""
    listed = [
        row["handler"]
        for row in world.vectis("handlers", "--json").json
        if row["scope"] == "service"
    ]
    explained = world.vectis("explain", "order.created", "--json").json["consumers"]
    assert [call["handler"] for call in explained] == listed
    return listed


MISNAMED = """
[handlers."app:cash"]
enabled = false

[handlers."acme:gone"]
enabled = false

[handlers."off:record"]
enabled = false

[plugins]
disable = ["off"]
"""


def test_what_the_config_says_of_handlers_that_nobody_has_is_named_once(world: World) -> None:
    world.install("off", plugin="off = off", off="")
    world.config(CONFIG + MISNAMED)
    warnings = [
        "Warning: vectis.toml:14: no handler is called 'app:cash'; did you mean 'app:cache'?",
        "Warning: vectis.toml:17: no handler is called 'acme:gone'",
    ]
    for arguments in (["handlers"], ["handlers", "--json"], ["explain", "order.created"]):
        answer = world.vectis(*arguments)
        assert [text for text in answer.err.splitlines() if "Warning" in text] == warnings
        assert answer.code == 0


def test_nothing_is_missed_in_modules_that_did_not_import(world: World) -> None:
    world.config(CONFIG + MISNAMED)
    world.module("shop", SHOP + "raise SystemExit")
    assert "no handler is called" not in world.vectis("handlers").err
    world.config((CONFIG + MISNAMED).replace('modules = ["shop"]', ""))
    answer = world.vectis("handlers")
    assert "no handler is called 'app:cache' in the modules that are imported" in answer.err
