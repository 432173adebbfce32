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
