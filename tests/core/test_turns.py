"""Calls of one key are sent in the order they were made, whoever makes them and when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from vectis.core import Hub, hookimpl
from vectis.core.message import Message, Receipt
from vectis.core.transport import Carrier, Route

if TYPE_CHECKING:
    from collections.abc import Sequence


class Transport:
    """Notes what was sent, and takes many at once if it may."""

    def __init__(self, *, bulk: bool = True) -> None:
        self.values: list[bytes | None] = []
        self._bulk = bulk

    async def send(self, message: Message) -> Receipt:
        self.values.append(message.value)
        return Receipt(message.topic, 0, len(self.values) - 1)

    async def send_many(self, messages: Sequence[Message]) -> list[Any]:
        return [await self.send(message) for message in messages]

    @hookimpl
    def vectis_emit(self, route: Route) -> Carrier | None:
        if route.scope != "service":
            return None
        return Carrier(send=self.send, send_many=self.send_many if self._bulk else None)


class SlowStart:
    """A start-up hook that takes some rounds of the event loop."""

    @hookimpl
    async def vectis_startup(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


class SlowGuard:
    """Lets the first message wait until others had every chance to overtake it."""

    def __init__(self) -> None:
        self.waited = False

    @hookimpl
    async def vectis_before_publish(self) -> None:
        if not self.waited:
            self.waited = True
            for _ in range(20):
                await asyncio.sleep(0)


def hub_with(**plugins: Any) -> Hub:
    return Hub({}, plugins=plugins, discover=False)


def numbered(*numbers: int, key: str = "k") -> list[dict[str, Any]]:
    return [{"event_type": "a", "payload": {"n": n}, "key": key} for n in numbers]


def values(*numbers: int) -> list[bytes | None]:
    return [f'{{"n":{n}}}'.encode() for n in numbers]


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize("guarded", [True, False])
def test_publish_many_queues_behind_those_who_wait_for_the_start(bulk: bool, guarded: bool) -> None:
    transport = Transport(bulk=bulk)
    guards = {"guard": SlowGuard()} if guarded else {}
    hub = hub_with(transport=transport, db=SlowStart, **guards)

    async def main() -> None:
        await asyncio.gather(
            hub.publish("t", "a", {"n": 1}, "k"),
            hub.publish("t", "a", {"n": 2}, "k"),
            hub.publish_many("t", numbered(3, 4)),
            hub.publish("t", "a", {"n": 5}, "k"),
        )

    asyncio.run(main())
    assert transport.values == values(1, 2, 3, 4, 5)


@pytest.mark.parametrize("bulk", [True, False])
def test_a_call_after_publish_many_does_not_overtake_it_at_a_guard(bulk: bool) -> None:
    transport = Transport(bulk=bulk)
    hub = hub_with(transport=transport, guard=SlowGuard())

    async def main() -> None:
        await asyncio.gather(
            hub.publish_many("t", numbered(1, 2, 3)), hub.publish("t", "a", {"n": 4}, "k")
        )

    asyncio.run(main())
    assert transport.values == values(1, 2, 3, 4)


@pytest.mark.parametrize("during", [True, False])
def test_a_task_that_a_start_up_hook_began_keeps_the_order_too(during: bool) -> None:
    transport = Transport()
    started = asyncio.Event()

    class Relay:
        @hookimpl
        async def vectis_startup(self, hub: Hub) -> None:
            self.task = asyncio.create_task(self.relay(hub))
            if during:
                await self.task

        async def relay(self, hub: Hub) -> None:
            if not during:
                await started.wait()
            calls = [hub.publish("t", "a", {"n": n}, "k") for n in range(4)]
            await asyncio.gather(*calls)

    relay = Relay()
    hub = hub_with(transport=transport, relay=relay, guard=SlowGuard())

    async def main() -> None:
        async with hub:
            started.set()
            await relay.task

    asyncio.run(main())
    assert transport.values == values(0, 1, 2, 3)


def test_a_key_is_the_same_as_text_and_as_bytes() -> None:
    transport = Transport()
    hub = hub_with(transport=transport, guard=SlowGuard())

    async def main() -> None:
        await asyncio.gather(
            hub.publish("t", "a", {"n": 1}, "k"), hub.publish("t", "a", {"n": 2}, b"k")
        )

    asyncio.run(main())
    assert transport.values == values(1, 2)


@pytest.mark.parametrize("guarded", [True, False])
def test_publish_many_that_is_given_up_keeps_nobody_waiting(guarded: bool) -> None:
    transport = Transport()
    guards = {"guard": SlowGuard()} if guarded else {}
    hub = hub_with(transport=transport, db=SlowStart, **guards)

    async def main() -> None:
        first = asyncio.create_task(hub.publish("t", "a", {"n": 1}, "k"))
        many = asyncio.create_task(hub.publish_many("t", numbered(2, 3)))
        last = asyncio.create_task(hub.publish("t", "a", {"n": 4}, "k"))
        await asyncio.sleep(0)  # all three are in the queue
        many.cancel()
        await asyncio.gather(first, last)
        assert many.cancelled()

    asyncio.run(main())
    assert transport.values == values(1, 4)


def test_publish_many_of_other_keys_does_not_wait_for_a_guard_of_this_one() -> None:
    transport = Transport()
    go = asyncio.Event()

    class Guard:
        @hookimpl
        async def vectis_before_publish(self, message: Message) -> None:
            if message.key == b"held":
                await go.wait()

    hub = hub_with(transport=transport, guard=Guard)

    async def main() -> None:
        held = asyncio.create_task(hub.publish("t", "a", {"n": 1}, "held"))
        await asyncio.sleep(0)
        await hub.publish_many("t", numbered(2, key="free"))
        go.set()
        await held

    asyncio.run(main())
    assert transport.values == values(2, 1)


class Ring:
    """A guard that publishes to the next key, and goes on when that is done."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._here = asyncio.Barrier(size)

    @hookimpl
    async def vectis_before_publish(self, message: Message, hub: Hub) -> None:
        if message.value == b'{"n":0}':
            await self._here.wait()  # every key's turn is somebody's
            following = (int(message.key or b"") + 1) % self._size
            await hub.publish("t", "a", {"n": 1}, str(following))


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("many", [True, False])
def test_guards_that_publish_to_each_others_keys_do_not_wait_for_ever(
    size: int, many: bool
) -> None:
    transport = Transport()

    async def main() -> None:
        hub = hub_with(transport=transport, ring=Ring(size))
        async with asyncio.timeout(30):
            await asyncio.gather(
                *(
                    hub.publish_many("t", numbered(0, 2, key=str(key)))
                    if many
                    else hub.publish("t", "a", {"n": 0}, str(key))
                    for key in range(size)
                )
            )

    asyncio.run(main())
    assert sorted(transport.values, key=str) == sorted(
        [*values(0, 1) * size, *(values(2) * size if many else [])], key=str
    )


def test_a_guard_that_publishes_to_another_key_waits_for_those_before() -> None:
    transport = Transport()

    class Guard:
        @hookimpl
        async def vectis_before_publish(self, message: Message, hub: Hub) -> None:
            if message.value == b'{"n":1}':
                for _ in range(20):
                    await asyncio.sleep(0)
            if message.value == b'{"n":3}':
                await hub.publish("t", "a", {"n": 2}, "k")

    async def main() -> None:
        hub = hub_with(transport=transport, guard=Guard)
        await asyncio.gather(
            hub.publish("t", "a", {"n": 1}, "k"), hub.publish("t", "a", {"n": 3}, "other")
        )

    asyncio.run(main())
    assert transport.values == values(1, 2, 3)


@pytest.mark.parametrize("many", [True, False])
def test_what_a_guard_publishes_to_the_key_that_it_guards_is_in_order(many: bool) -> None:
    transport = Transport()

    class Guard:
        @hookimpl
        async def vectis_before_publish(self, message: Message, hub: Hub) -> None:
            if message.value == b'{"n":4}':
                if many:
                    await hub.publish_many("t", numbered(1, 2, 3))
                else:
                    await asyncio.gather(*(hub.publish("t", "a", {"n": n}, "k") for n in (1, 2, 3)))
            elif message.value == b'{"n":1}':
                for _ in range(20):
                    await asyncio.sleep(0)

    async def main() -> None:
        hub = hub_with(transport=transport, guard=Guard)
        await asyncio.gather(
            hub.publish("t", "a", {"n": 4}, "k"), hub.publish_many("t", numbered(5))
        )

    asyncio.run(main())
    assert transport.values == values(1, 2, 3, 4, 5)
