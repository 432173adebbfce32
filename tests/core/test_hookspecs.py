"""Every hook has a test that names it and a documented example, and both are what the code says."""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from packaging.version import Version

from vectis.core import Event, Hub, hookimpl, hookspecs
from vectis.core.exceptions import EventCancelled, HookError, PluginError, Reject
from vectis.core.fitting import core_version
from vectis.core.hookhistory import history
from vectis.core.message import Message, Receipt
from vectis.core.testing import MemoryTransport
from vectis.core.transport import Carrier
from vectis.core.worker import Worker
from vectis_bus import Bus

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[2] / "docs/hooks.md").read_text(encoding="utf-8")
HOOKS = (*hookspecs.ASSEMBLY, *hookspecs.TRANSPORT, *hookspecs.LIFECYCLE)


def section(hook: str) -> str:
    found = re.search(rf"^## {hook}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert found, f"docs/hooks.md has no section {hook}"
    return found.group(1)


def example(hook: str) -> ModuleType:
    """Run the plugin that a section starts with, as a module of its own."""
    found = re.match(r"\n```python\n(.*?)^```\n", section(hook), re.M | re.S)
    assert found, f"the section {hook} of docs/hooks.md does not start with a plugin"
    module = ModuleType(f"example_{hook}")
    sys.modules[module.__name__] = module  # attrs looks it up
    exec(compile(found.group(1), f"docs/hooks.md {hook}", "exec"), vars(module))
    return module


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("example_"):
            del sys.modules[name]


# That nothing is missing


def test_the_lists_name_every_hook_of_the_page_once() -> None:
    written = [name for name in vars(hookspecs) if name.startswith("vectis_")]
    assert sorted(HOOKS) == sorted(written)
    assert set(hookspecs.LIFECYCLE) >= hookspecs.GUARDS


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_test_that_is_called_like_it(hook: str) -> None:
    assert inspect.isfunction(globals().get(f"test_{hook}"))


@pytest.mark.parametrize("hook", HOOKS)
def test_every_section_starts_with_a_plugin_that_implements_the_hook_and_loads(hook: str) -> None:
    hub = Hub({}, plugins={"acme": example(hook)}, discover=False)
    (plugin,) = hub.plugins
    assert plugin.state == "loaded", plugin.reason
    assert hook in plugin.hooks


@pytest.mark.parametrize("hook", HOOKS)
def test_every_section_shows_the_signature_that_the_hook_has(hook: str) -> None:
    real = str(inspect.signature(getattr(hookspecs, hook))).replace("'", "")
    assert re.findall(rf"^`({hook}\(.*)`$", section(hook), re.M) == [f"{hook}{real}"]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_section_says_which_kind_of_hook_it_is(hook: str) -> None:
    after_signature = section(hook).partition(f"\n`{hook}(")[2].partition("`\n\n")[2]
    kind = "Observer."
    if hook in hookspecs.ASSEMBLY:
        kind = "Assembly."
    elif hook in hookspecs.TRANSPORT:
        kind = "Transport."
    elif hook in hookspecs.GUARDS:
        kind = "Guard on entry." if "_around_" in hook else "Guard."
    assert after_signature.startswith(f"{kind}\n")
    if hook in hookspecs.LIFECYCLE:
        assert (getattr(hookspecs, hook).__doc__ or "").startswith(kind)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_says_which_version_added_it_and_so_does_its_section(hook: str) -> None:
    spec = getattr(hookspecs, hook)
    said = history(spec)
    notes = [f"Added in {said.added}."]
    notes += [f"`{name}` added in {version}." for name, version in said.arguments.items()]
    notes += [
        f"`{old.argument or hook}` deprecated since {old.since}: use {old.instead}."
        for old in said.deprecations
    ]
    assert section(hook).rstrip().rpartition("\n\n")[2].split("\n") == notes
    offered = inspect.signature(spec).parameters
    assert {*said.arguments, *(old.argument for old in said.deprecations if old.argument)} <= {
        *offered
    }
    versions = [said.added, *said.arguments.values(), *(old.since for old in said.deprecations)]
    assert all(Version(version) <= Version(core_version()) for version in versions)


def test_no_section_is_about_a_hook_that_does_not_exist() -> None:
    assert tuple(re.findall(r"^## (.*)$", PAGE, re.M)) == HOOKS


# That each example does what it says


class Watch:
    """Sees what comes out at the other end."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.consumed = asyncio.Event()

    @hookimpl
    def vectis_after_publish(self, message: Message) -> None:
        self.sent.append(message)

    @hookimpl
    def vectis_after_consume(self) -> None:
        self.consumed.set()


def hub_with(plugin: object, watch: Watch | None = None, **tables: Any) -> Hub:
    plugins = {
        "bus": Bus,
        "memory": MemoryTransport(),
        "watch": watch or Watch(),
        "acme": plugin,
    }
    return Hub(tables, plugins=plugins, discover=False)


def emit(hub: Hub, event: Event) -> None:
    async def main() -> None:
        async with hub:
            await hub.emit(event)

    asyncio.run(main())


def publish(hub: Hub, topic: str = "orders") -> Any:
    async def main() -> Any:
        async with hub:
            return await hub.publish(topic, "order.created", {"order_id": 7}, "7")

    return asyncio.run(main())


def consume(plugin: object, *failures: Exception, **consumer: Any) -> None:
    """Publish one event and let a worker handle it, after the handler raised what is given."""
    left = list(failures)
    watch = Watch()
    settings = {"group": "shop", "retry_initial": 0.0, **consumer}
    hub = hub_with(plugin, watch, consumer=settings)

    async def sync_erp(event_type: str, payload: Any) -> None:
        if left:
            raise left.pop(0)

    async def main() -> None:
        await hub.publish("orders", "order.created", {"order_id": 7}, "7")
        worker = Worker(hub)
        running = asyncio.create_task(worker.run())
        await asyncio.wait_for(watch.consumed.wait(), 30)
        worker.stop()
        await running

    hub.on_event("order.created", sync_erp, topic="orders")
    asyncio.run(main())


def test_vectis_settings() -> None:
    plugin = example("vectis_settings")
    assert hub_with(plugin).settings("acme") == plugin.LimitSettings(amount=100_000)
    assert hub_with(plugin, acme={"amount": 5}).settings("acme").amount == 5


def test_vectis_register_events() -> None:
    hub = hub_with(example("vectis_register_events"))
    known = hub.catalogue.find("invoice.issued")
    assert known is not None
    assert (known.topic, known.key, known.plugin) == ("acme.invoices", "invoice_id", "acme")


def test_vectis_register_handlers() -> None:
    plugin = example("vectis_register_handlers")
    hub = hub_with(plugin, topics={"orders": ["order.created"]})
    emit(hub, Event("order.created"))
    emit(hub, Event("order.paid"))
    assert plugin.seen == ["order.created"]


def test_vectis_unavailable() -> None:
    hub = hub_with(example("vectis_unavailable"))
    reason = "the program acme-label-printer is not installed"
    assert hub.unavailable(hub.plugins[-1]) == reason
    with pytest.raises(PluginError, match=f"acme is not usable: {reason}"):
        hub_with(example("vectis_unavailable"), plugins={"require": ["acme"]})


def test_vectis_subscribe() -> None:
    hub = Hub({}, plugins={"acme": example("vectis_subscribe")}, discover=False)
    seen: list[Event] = []
    subscription = hub.subscribe("order.created", seen.append)
    emit(hub, Event("order.created"))
    hub.unsubscribe(subscription)
    emit(hub, Event("order.created"))
    assert len(seen) == 1


def test_vectis_emit() -> None:
    hub = Hub({}, plugins={"acme": example("vectis_emit")}, discover=False)
    receipt = publish(hub)
    assert Path("outbox.jsonl").read_text() == '["orders", "{\\"order_id\\":7}"]\n'
    assert (receipt.topic, receipt.transport) == ("orders", "acme")


def test_vectis_consume() -> None:
    plugin = example("vectis_consume")
    hub = Hub({}, plugins={"acme": plugin}, discover=False)
    name, consumer = hub.consumer(["rehearsal.orders"], "rehearsal")
    assert (name, consumer.group) == ("acme", "rehearsal")


def test_vectis_startup() -> None:
    plugin = example("vectis_startup")
    hub = hub_with(plugin)
    assert not Path("audit.db").exists()
    emit(hub, Event("order.created"))
    assert Path("audit.db").exists()
    assert plugin.connections == []  # the hub has closed


def test_vectis_before_emit() -> None:
    hub = hub_with(example("vectis_before_emit"))
    seen: list[Event] = []
    hub.subscribe("*", seen.append)
    with pytest.raises(EventCancelled, match="Order exceeds maximum amount"):
        emit(hub, Event("order.pre_create", {"total": 100_001}))
    emit(hub, Event("order.pre_create", {"total": 5}))
    emit(hub, Event("order.pre_create", {"total": 5}, source="till"))
    assert [event.source for event in seen] == ["shop", "till"]


def test_vectis_around_emit() -> None:
    plugin = example("vectis_around_emit")
    emit(hub_with(plugin), Event("order.created"))
    ((event_type, seconds),) = plugin.spans
    assert (event_type, seconds >= 0) == ("order.created", True)


def test_vectis_after_emit() -> None:
    plugin = example("vectis_after_emit")
    emit(hub_with(plugin), Event("order.created"))
    assert plugin.counts == {("order.created", "completed"): 1}


def test_vectis_handler_error() -> None:
    plugin = example("vectis_handler_error")

    def fail(event: Event) -> None:
        raise ValueError("no stock")

    hub = hub_with(plugin)
    hub.subscribe("order.created", fail)
    emit(hub, Event("order.created"))
    assert plugin.reports == ["app:fail: ValueError('no stock')"]


def test_vectis_handler_error_in_the_worker_tells_whether_it_is_tried_again() -> None:
    plugin = example("vectis_handler_error")
    consume(plugin, ValueError("first"), ValueError("last"), max_attempts=2)
    assert plugin.reports == ["app:sync_erp: ValueError('last')"]


def test_vectis_before_publish() -> None:
    watch = Watch()
    hub = hub_with(example("vectis_before_publish"), watch)
    assert publish(hub) is not None
    assert ("region", b"eu-1") in watch.sent[0].headers
    with pytest.raises(HookError, match=r"internal\.audit does not leave this service"):
        publish(hub, "internal.audit")


def test_vectis_around_publish() -> None:
    plugin = example("vectis_around_publish")
    seen: list[set[str]] = []

    class Transport:
        @hookimpl
        def vectis_emit(self) -> Carrier:
            return Carrier(send=self.send)

        async def send(self, message: Message) -> Receipt:
            seen.append(set(plugin.under_way))
            return Receipt(message.topic, 0, 0)

    publish(Hub({}, plugins={"transport": Transport, "acme": plugin}, discover=False))
    assert (seen, plugin.under_way) == ([{"orders"}], set())


def test_vectis_after_publish() -> None:
    plugin = example("vectis_after_publish")
    publish(hub_with(plugin))
    assert plugin.lines == ["orders: 0"]


def test_vectis_around_consume() -> None:
    plugin = example("vectis_around_consume")
    consume(plugin, ValueError("once"))
    assert [re.sub(r"orders/\d+@0", "PLACE", line) for line in plugin.log] == [
        "begin sync_erp at PLACE, attempt 1",
        "roll back",
        "begin sync_erp at PLACE, attempt 2",
        "commit",
    ]


def test_vectis_after_consume() -> None:
    plugin = example("vectis_after_consume")
    consume(plugin)
    assert plugin.counts == {("orders", "handled"): 1}


def test_vectis_dead_letter() -> None:
    plugin = example("vectis_dead_letter")
    consume(plugin, Reject("no such product"))
    (alert,) = plugin.alerts
    assert re.fullmatch(r"orders/\d+@0 by app:sync_erp: .*no such product", alert)


def test_vectis_worker_status() -> None:
    plugin = example("vectis_worker_status")
    plugins = {"memory": MemoryTransport(partitions=1), "acme": plugin}
    hub = Hub({"consumer": {"group": "shop", "stuck_after": 0.01}}, plugins=plugins, discover=False)

    async def hangs(event_type: str, payload: dict[str, Any]) -> None:
        while not plugin.alerts:  # noqa: ASYNC110 - what is waited for is a list
            await asyncio.sleep(0.01)
        worker.stop()

    hub.on_event("order.created", hangs, topic="orders")
    worker = Worker(hub)

    async def main() -> None:
        await hub.publish("orders", "order.created", {})
        await worker.run()

    asyncio.run(main())
    assert plugin.alerts[0].startswith("app:hangs hangs at orders/0@0, in ")


def test_vectis_shutdown() -> None:
    memory = MemoryTransport()
    plugins = {"memory": memory, "acme": example("vectis_shutdown")}
    emit(Hub({}, plugins=plugins, discover=False), Event("order.created"))
    assert [(topic.name, topic.records) for topic in memory.describe_topics()] == [
        ("acme.lifecycle", 1)
    ]
