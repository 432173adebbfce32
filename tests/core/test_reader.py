"""Looking at topics from outside of every group."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from vectis.core import Hub
from vectis.core.exceptions import TransportError
from vectis.core.message import Message
from vectis.core.reader import Reader
from vectis.core.testing import MemoryTransport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectis.core.message import Delivery
    from vectis.core.transport import Consumer


def hub_with(transport: MemoryTransport, **settings: Any) -> Hub:
    return Hub({"hub": settings}, plugins={"memory": transport}, discover=False)


async def send(transport: MemoryTransport, *numbers: int, topic: str = "orders") -> None:
    for number in numbers:
        await transport.carrier(topic).send(Message(topic, b"%d" % number, b"%d" % number))


def numbers(deliveries: list[Delivery]) -> list[int]:
    return sorted(int(delivery.value or b"-1") for delivery in deliveries)


def test_it_reads_what_is_there_and_then_what_comes() -> None:
    async def main() -> None:
        transport = MemoryTransport()
        await send(transport, *range(1200))
        async with Reader(hub_with(transport), ["orders"]) as reader:
            assert reader.transport == "memory"
            assert numbers(await reader.now()) == [*range(1200)]
            assert await reader.now() == []
            await send(transport, 1200)
            assert numbers(await reader.fetch(timeout=30)) == [1200]
            assert await reader.fetch(timeout=0) == []

    asyncio.run(main())


def test_it_counts_what_is_there_without_reading_it() -> None:
    async def main() -> None:
        transport = MemoryTransport()
        await send(transport, *range(20))
        hub = hub_with(transport)
        async with Reader(hub, ["orders"]) as whole, Reader(hub, ["orders"], from_now=True) as new:
            assert (await whole.ahead(), await new.ahead()) == (20, 0)
            await send(transport, 20)
            assert (await whole.ahead(), await new.ahead()) == (21, 1)
            assert numbers(await whole.now()) == [*range(21)]
            assert await whole.ahead() == 21  # from where it began

    asyncio.run(main())


def test_from_now_it_leaves_out_what_was_there_and_reads_new_topics_whole() -> None:
    async def main() -> None:
        transport = MemoryTransport()
        await send(transport, *range(20))
        async with Reader(hub_with(transport), ["orders", "later"], from_now=True) as reader:
            assert await reader.now() == []
            await send(transport, 20)
            await send(transport, 21, topic="later")
            found: list[Delivery] = []
            while len(found) < 2:
                found += await reader.fetch(timeout=30)
            assert numbers(found) == [20, 21]

    asyncio.run(main())


@pytest.mark.parametrize("skipped", [range(1, 100, 2), range(50, 100)], ids=["between", "last"])
def test_missing_offsets_do_not_keep_it_waiting(skipped: range) -> None:
    async def main() -> None:
        transport = MemoryTransport(partitions=1, skip_offsets=skipped)
        await send(transport, *range(40))
        async with Reader(hub_with(transport), ["orders"]) as reader:
            assert numbers(await reader.now()) == [*range(40)]

    asyncio.run(main())


def test_what_was_deleted_at_the_end_does_not_keep_it_waiting() -> None:
    class Compacted(MemoryTransport):
        """Says that its partitions end behind records that are gone."""

        def consumer(self, topics: Sequence[str], group: str | None) -> Consumer:
            consumer: Any = super().consumer(topics, group)
            ends = consumer.ends

            async def later() -> Any:
                return {where: end + 5 for where, end in (await ends()).items()}

            consumer.ends = later
            return consumer  # type: ignore[no-any-return]  # the same, with a method replaced

    async def main() -> None:
        transport = Compacted()
        await send(transport, *range(40))
        async with Reader(hub_with(transport), ["orders"]) as reader:
            assert numbers(await reader.now()) == [*range(40)]

    asyncio.run(main())


def test_a_transport_that_gives_nothing_is_named() -> None:
    class Stalled(MemoryTransport):
        """Has records and does not hand them out."""

        def consumer(self, topics: Sequence[str], group: str | None) -> Consumer:
            consumer: Any = super().consumer(topics, group)
            fetch = consumer.fetch

            async def nothing(*, max_records: int, timeout: float) -> list[Delivery]:
                consumer.pause(*consumer.assignment())
                await fetch(max_records=max_records, timeout=0)
                return []

            consumer.fetch = nothing
            return consumer  # type: ignore[no-any-return]  # the same, with a method replaced

    async def main() -> None:
        transport = Stalled()
        async with Reader(hub_with(transport, publish_timeout=0.01), ["orders"]) as reader:
            await send(transport, 1)
            with pytest.raises(TransportError, match=r"orders: there are more .*memory gave none"):
                await reader.now()

    asyncio.run(main())


def test_without_a_transport_it_says_so() -> None:
    with pytest.raises(TransportError, match="no transport offers to consume orders"):
        Reader(Hub({}, discover=False), ["orders"])
