"""Start-up and shutdown hooks come in pairs, and nothing is emitted before there is a hub."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from vectis.core import Event, Hub, hookimpl
from vectis.core.exceptions import HookError
from vectis_bus import Bus


class Opens:
    """A plugin that notes when it is started and shut down."""

    def __init__(self, log: list[str], name: str, *, fails: bool = False) -> None:
        self.log = log
        self.name = name
        self.fails = fails

    @hookimpl
    def vectis_startup(self) -> None:
        if self.fails:
            raise OSError("no database")
        self.log.append(f"{self.name} up")

    @hookimpl
    async def vectis_shutdown(self) -> None:
        self.log.append(f"{self.name} down")


def hub_with(**plugins: Any) -> Hub:
    return Hub({}, plugins={"bus": Bus, **plugins}, discover=False)


def test_when_one_plugin_cannot_start_those_that_had_started_are_shut_down() -> None:
    log: list[str] = []
    hub = hub_with(database=Opens(log, "database"), broken=Opens(log, "broken", fails=True))

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(HookError, match="no database"):
                await hub.emit(Event("order.created"))

    asyncio.run(main())
    assert log == ["database up", "database down"] * 2


def test_a_hub_is_shut_down_once_for_each_time_it_started() -> None:
    log: list[str] = []

    async def main() -> None:
        hub = hub_with(database=Opens(log, "database"))
        await hub.shutdown()
        async with hub:
            await hub.emit(Event("order.created"))
        await hub.shutdown()
        await hub.emit(Event("order.created"))
        await hub.shutdown()

    asyncio.run(main())
    assert log == ["database up", "database down"] * 2


class Waits:
    """Takes until it is let go to start, and some rounds of the event loop to shut down."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log = log
        self.name = name
        self.starting = asyncio.Event()
        self.go = asyncio.Event()

    @hookimpl
    async def vectis_startup(self) -> None:
        self.starting.set()
        await self.go.wait()
        self.log.append(f"{self.name} up")

    @hookimpl
    async def vectis_shutdown(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        self.log.append(f"{self.name} down")


def test_when_a_start_is_cancelled_those_that_had_started_are_shut_down() -> None:
    log: list[str] = []

    async def main() -> None:
        waits = Waits(log, "waits")
        hub = hub_with(database=Opens(log, "database"), waits=waits)
        first = asyncio.create_task(hub.emit(Event("order.created")))
        await waits.starting.wait()
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        assert log == ["database up", "database down"]
        waits.go.set()
        async with hub:
            await hub.emit(Event("order.created"))

    asyncio.run(main())
    assert log[2:] == ["database up", "waits up", "waits down", "database down"]


def test_a_shutdown_waits_for_a_start_that_is_under_way() -> None:
    log: list[str] = []

    async def main() -> None:
        waits = Waits(log, "waits")
        hub = hub_with(waits=waits)
        first = asyncio.create_task(hub.emit(Event("order.created")))
        await waits.starting.wait()
        shutdown = asyncio.create_task(hub.shutdown())
        await asyncio.sleep(0)
        waits.go.set()
        await asyncio.gather(first, shutdown)

    asyncio.run(main())
    assert log == ["waits up", "waits down"]


def test_two_shutdowns_at_once_call_each_hook_once_and_both_wait_for_them() -> None:
    log: list[str] = []

    async def main() -> None:
        waits = Waits(log, "waits")
        waits.go.set()
        hub = hub_with(database=Opens(log, "database"), waits=waits)
        await hub.startup()

        async def shut_down() -> int:
            await hub.shutdown()
            return len(log)

        assert list(await asyncio.gather(shut_down(), shut_down())) == [4, 4]

    asyncio.run(main())
    assert log == ["database up", "waits up", "waits down", "database down"]


@pytest.mark.parametrize("hook", ["vectis_startup", "vectis_shutdown"])
def test_a_hook_that_shuts_the_hub_down_does_not_wait_for_itself(hook: str) -> None:
    calls: list[str] = []

    async def shut_down(hub: Hub) -> None:
        calls.append(hook)
        await hub.shutdown()

    class Acme:
        pass

    setattr(Acme, hook, staticmethod(hookimpl(shut_down, specname=hook)))

    async def run() -> None:
        async with hub_with(acme=Acme) as hub:
            await hub.emit(Event("order.created"))

    asyncio.run(run())
    assert calls == [hook]


def test_a_start_up_hook_may_emit_in_a_thread_that_takes_its_context_along() -> None:
    seen: list[str] = []

    class Cache:
        @hookimpl
        async def vectis_startup(self, hub: Hub) -> None:
            await asyncio.to_thread(hub.emit_sync, Event("cache.warmed"))

    async def main() -> None:
        hub = hub_with(cache=Cache)
        hub.subscribe("*", lambda event: seen.append(event.type))
        await hub.emit(Event("order.created"))

    asyncio.run(main())
    assert seen == ["cache.warmed", "order.created"]


def test_a_plugin_with_a_shutdown_hook_alone_is_shut_down_once() -> None:
    log: list[str] = []

    class Closes:
        @hookimpl
        def vectis_shutdown(self) -> None:
            log.append("down")

    async def main() -> None:
        hub = hub_with(closes=Closes)
        await hub.emit(Event("order.created"))
        await hub.shutdown()
        await hub.shutdown()

    asyncio.run(main())
    assert log == ["down"]


def test_a_plugin_that_emits_while_it_registers_is_told_where_to_do_that() -> None:
    class Early:
        @hookimpl
        def vectis_register_handlers(self, hub: Hub) -> None:
            hub.emit_sync(Event("order.created"))

    (bus, early) = hub_with(early=Early).plugins
    assert (bus.state, early.state) == ("loaded", "quarantined")
    assert "do it in vectis_startup" in early.reason
