from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.core.cli_world import World
from vectis.core import Hub
from vectis.core.exceptions import PluginError, TransportError
from vectis.core.testing import MemoryTransport
from vectis.core.worker import Worker
from vectis_redpanda import Redpanda

if TYPE_CHECKING:
    from pathlib import Path

SERVERS = {"redpanda": {"bootstrap_servers": "localhost:9092"}}


@pytest.fixture
def aiokafka_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiokafka", None)


@pytest.fixture
def aiokafka_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Something of this name that can be found, and fails when it is imported."""
    (tmp_path / "aiokafka.py").write_text("raise RuntimeError('imported too early')")
    monkeypatch.delitem(sys.modules, "aiokafka", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))


def hub(config: dict[str, Any] | None = None, **plugins: Any) -> Hub:
    return Hub(config or {}, plugins={"redpanda": Redpanda(), **plugins}, discover=False)


def publish(on: Hub) -> object:
    return asyncio.run(on.publish("vectis.orders", "order.created", {"order_id": 7}, key="7"))


def consume(on: Hub) -> Worker:
    on.on_event("order.created", lambda event_type, payload: None, topic="vectis.orders")
    return Worker(on)


CONSUMING = {"consumer": {"group": "shop"}}


def reason(on: Hub) -> str | None:
    (plugin,) = [plugin for plugin in on.plugins if plugin.name == "redpanda"]
    return on.unavailable(plugin)


def test_without_servers_publishing_disables_itself_silently(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        assert publish(hub()) is None
    assert caplog.messages == []
    assert "no servers are configured" in str(reason(hub()))
    assert "VECTIS_REDPANDA_BOOTSTRAP_SERVERS" in str(reason(hub()))


@pytest.mark.usefixtures("aiokafka_missing")
def test_servers_without_aiokafka_warn_once_and_publishing_disables_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    on = hub(SERVERS)
    with caplog.at_level(logging.INFO):
        assert publish(on) is None
        asyncio.run(on.publish("vectis.stock", "stock.low", {}))
    assert caplog.messages == [
        ("nothing is published to localhost:9092: aiokafka is not installed: pip install aiokafka")
    ]
    assert publish(hub({**SERVERS, "hub": {"transport": "redpanda"}})) is None
    assert reason(on) == "aiokafka is not installed: pip install aiokafka"


def test_chosen_without_servers_publishing_says_so() -> None:
    with pytest.raises(TransportError, match=r"transport = 'redpanda' .*no servers are configured"):
        publish(hub({"hub": {"transport": "redpanda"}}))


@pytest.mark.usefixtures("aiokafka_missing")
def test_required_means_usable() -> None:
    with pytest.raises(PluginError, match="aiokafka is not installed"):
        hub({**SERVERS, "plugins": {"require": ["redpanda"]}})
    with pytest.raises(PluginError, match="no servers are configured"):
        hub({"plugins": {"require": ["redpanda"]}})


@pytest.mark.usefixtures("aiokafka_missing")
def test_a_worker_without_aiokafka_has_no_transport() -> None:
    with pytest.raises(TransportError, match="no transport offers to consume"):
        consume(hub({**SERVERS, **CONSUMING}))


ASSEMBLING = """
import asyncio
from vectis.core import Hub
from vectis_redpanda import Redpanda

config = {"redpanda": {"bootstrap_servers": "localhost:9092"}}
hub = Hub(config, plugins={"redpanda": Redpanda()}, discover=False)
print(hub.unavailable(hub.plugins[0]))
try:
    asyncio.run(hub.publish("vectis.orders", "order.created", {}))
except Exception as error:
    print(error)
"""


def test_putting_a_hub_together_imports_no_aiokafka(tmp_path: Path) -> None:
    world = World(tmp_path)  # with a process of its own: in this one it was imported long ago
    (world.site / "aiokafka.py").write_text("raise RuntimeError('imported too early')")
    answer = world.python("-c", ASSEMBLING)
    first, second = answer.out.splitlines()
    assert first == "None", "it is looked for, and found"
    assert "imported too early" in second, "by the first message, and not before"


@pytest.mark.usefixtures("aiokafka_installed")
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sasl_username": "shop"}, "security_protocol = 'PLAINTEXT' does not log in"),
        ({"bootstrap_servers": "one:two"}, "'one:two' is no server"),
    ],
)
def test_settings_that_cannot_work_are_told_without_aiokafka(
    wrong: dict[str, str], said: str
) -> None:
    assert said in str(reason(hub({"redpanda": {"bootstrap_servers": "localhost:9092", **wrong}})))


@pytest.mark.usefixtures("aiokafka_installed")
def test_it_stays_out_of_the_way_when_another_transport_is_chosen() -> None:
    on = hub({**SERVERS, **CONSUMING, "hub": {"transport": "memory"}}, memory=MemoryTransport())
    assert publish(on) is not None
    assert consume(on).transport == "memory"


def test_its_passwords_are_masked() -> None:
    config = {"redpanda": {"sasl_password": "hunter2", "ssl_password": "hunter3"}}
    assert "hunter" not in repr(hub(config).settings("redpanda"))
