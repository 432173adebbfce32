"""A veto stops the event whose handler raised it: of any class, out of any task, every time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from vectis.core import Event, Hub, hookimpl
from vectis.core.exceptions import EmitLoopError, EventCancelled, HookError
from vectis_bus import Bus

if TYPE_CHECKING:
    from vectis.core.outcome import Outcome

CREATED = "order.created"


class Bare(EventCancelled):
    """As many write it: an `__init__` that does not call the base's."""

    def __init__(self, total: int) -> None:
        self.total = total


@attrs.frozen
class Frozen(EventCancelled):
    total: int


def hub_with(**plugins: Any) -> Hub:
    return Hub({}, plugins={"bus": Bus, **plugins}, discover=False)


def emit(hub: Hub, event_type: str = CREATED) -> Outcome:
    return asyncio.run(_emit(hub, event_type))


async def _emit(hub: Hub, event_type: str) -> Outcome:
    return await hub.emit(Event(event_type))


# Classes of one's own


@pytest.mark.parametrize("kind", [Bare, Frozen])
def test_a_class_of_ones_own_vetoes_whatever_its_constructor_does(kind: Any) -> None:
    hub = hub_with()

    def veto(event: Event) -> None:
        raise kind(3)

    hub.subscribe(CREATED, veto)
    skipped = hub.subscribe(CREATED, print)
    with pytest.raises(kind) as raised:
        emit(hub)
    error = raised.value
    assert (error.total, error.reason, error.handler, error.plugin) == (3, "", veto, "app")
    assert (error.event.type, error.skipped, error.outcome.status) == (
        CREATED,
        (skipped,),
        "cancelled",
    )


@pytest.mark.parametrize("kind", [Bare, Frozen])
def test_a_guard_vetoes_with_a_class_of_ones_own_too(kind: Any) -> None:
    class Guard:
        @hookimpl
        def vectis_before_emit(self) -> None:
            raise kind(3)

    with pytest.raises(kind) as raised:
        emit(hub_with(acme=Guard))
    assert (raised.value.plugin, raised.value.handler) == ("acme", None)
    assert raised.value.outcome.status == "cancelled"


# Task groups


async def no() -> None:
    raise EventCancelled("no")


def test_a_veto_out_of_a_task_group_is_a_veto() -> None:
    hub = hub_with()

    async def veto(event: Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(no())

    hub.subscribe(CREATED, veto)
    charged: list[Event] = []
    hub.subscribe(CREATED, charged.append)
    with pytest.raises(EventCancelled, match="no") as raised:
        emit(hub)
    assert (raised.value.handler, charged) == (veto, [])
    assert isinstance(raised.value.__context__, ExceptionGroup)


def test_among_the_errors_of_nested_groups_too() -> None:
    hub = hub_with()

    def veto(event: Event) -> None:
        inner = ExceptionGroup("inner", [ValueError("no stock"), EventCancelled("no")])
        raise ExceptionGroup("outer", [KeyError("x"), inner])

    hub.subscribe(CREATED, veto)
    with pytest.raises(EventCancelled, match="no"):
        emit(hub)


def test_a_group_without_a_veto_is_isolated_like_any_error() -> None:
    hub = hub_with()

    def fail(event: Event) -> None:
        raise ExceptionGroup("several", [ValueError("no stock")])

    hub.subscribe(CREATED, fail)
    outcome = emit(hub)
    assert (outcome.status, len(outcome.failures)) == ("completed", 1)


def test_the_veto_of_an_event_emitted_in_a_task_group_stays_that_ones() -> None:
    hub = hub_with()

    def veto(event: Event) -> None:
        raise EventCancelled("inner")

    async def handle(event: Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hub.emit(Event("inner")))

    hub.subscribe("inner", veto)
    hub.subscribe(CREATED, handle)
    outcome = emit(hub)
    assert (outcome.status, len(outcome.failures)) == ("completed", 1)


def test_a_circle_through_task_groups_reaches_the_outermost_emitter() -> None:
    hub = hub_with()

    async def again(event: Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hub.emit(Event(CREATED)))

    hub.subscribe(CREATED, again)
    with pytest.raises(EmitLoopError, match=r"order\.created -> order\.created"):
        emit(hub)


def test_a_guard_vetoes_out_of_a_task_group_too() -> None:
    class Guard:
        @hookimpl
        async def vectis_before_emit(self) -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(no())

    with pytest.raises(EventCancelled, match="no") as raised:
        emit(hub_with(acme=Guard))
    assert raised.value.plugin == "acme"


def test_a_publish_guard_vetoes_out_of_a_task_group_too() -> None:
    class Guard:
        @hookimpl
        async def vectis_before_publish(self) -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(no())

    from vectis.core.testing import MemoryTransport

    hub = hub_with(acme=Guard, memory=MemoryTransport())
    with pytest.raises(HookError, match="vetoed it, so nothing was sent: no") as raised:
        asyncio.run(hub.publish("t", "a", {}))
    assert raised.value.veto


def test_an_observer_that_emits_in_a_circle_through_task_groups_ends_too() -> None:
    class Observer:
        @hookimpl
        async def vectis_after_emit(self, hub: Hub) -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(hub.emit(Event("audit.recorded")))

    with pytest.raises(EmitLoopError):
        emit(hub_with(acme=Observer))


# One error object, raised more than once


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_object_that_cancelled_a_nested_event_and_was_caught_vetoes_when_raised_anew(
    guarded: bool, asynchronous: bool
) -> None:
    shared = EventCancelled("shared")

    class Guard:
        @hookimpl
        def vectis_before_emit(self, event: Event) -> None:
            if guarded and event.type == "inner":
                raise shared

    hub = hub_with(acme=Guard)
    charged: list[Event] = []

    def veto(event: Event) -> None:
        raise shared

    async def veto_later(event: Event) -> None:
        await asyncio.sleep(0)
        raise shared

    async def catch(event: Event) -> None:
        with suppress(EventCancelled):
            await hub.emit(Event("inner"))

    hub.subscribe("inner", veto)
    hub.subscribe(CREATED, catch)
    vetoing = veto_later if asynchronous else veto
    hub.subscribe(CREATED, vetoing)
    hub.subscribe(CREATED, charged.append)
    with pytest.raises(EventCancelled) as raised:
        emit(hub)
    assert raised.value.event is not None
    assert (raised.value.event.type, raised.value.handler, charged) == (CREATED, vetoing, [])


def test_a_guard_vetoes_with_the_same_object_every_time() -> None:
    shared = EventCancelled("shared")

    class Guard:
        @hookimpl
        def vectis_before_emit(self) -> None:
            raise shared

    hub = hub_with(acme=Guard)
    for _ in range(2):
        with pytest.raises(EventCancelled, match="shared"):
            emit(hub)


# What no coroutine can pass on


def test_the_stop_iteration_of_a_required_handler_reaches_the_emitter_by_its_name() -> None:
    hub = hub_with()

    def first(event: Event) -> None:
        next(iter(()))

    hub.subscribe(CREATED, first, required=True)
    with pytest.raises(RuntimeError, match=r"app:first on order\.created raised StopIteration"):
        emit(hub)
