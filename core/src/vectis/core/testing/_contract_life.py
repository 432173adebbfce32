"""Life and death: reopening, one event loop after another, closing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from vectis.core.testing._contract_crash import publish_until_killed
from vectis.core.testing._contract_tools import (
    DEADLINE,
    Contract,
    Member,
    assert_in_order_per_key,
    close,
    places,
    publish,
    unique,
)

if TYPE_CHECKING:
    from pathlib import Path


class LifeContract(Contract):
    """Life and death: reopening, one event loop after another, closing."""

    def test_what_was_acknowledged_and_committed_is_there_after_reopening(
        self, tmp_path: Path
    ) -> None:
        if not self.features.durable:
            pytest.skip("this transport is not durable")
        topic, group = unique("topic"), unique("group")

        async def before() -> list[str]:
            transport = self.transport(tmp_path)
            await publish(transport, topic, count=20)
            async with Member(transport, topic, group) as member:
                await member.read(20)
                await member.commit()
            await publish(transport, topic, count=20, start=20)
            await close(transport, topic)
            return places(member.deliveries)

        async def after() -> list[str]:
            transport = self.transport(tmp_path)
            async with Member(transport, topic, group) as member:
                await member.read(20)
            await close(transport, topic)
            return places(member.deliveries)

        assert not set(asyncio.run(before())) & set(asyncio.run(after()))

    def test_what_was_acknowledged_survives_a_killed_process(self, tmp_path: Path) -> None:
        if not self.features.durable:
            pytest.skip("this transport is not durable")
        topic = unique("topic")
        acknowledged = publish_until_killed(type(self), tmp_path, topic, count=200)

        async def main() -> None:
            transport = self.transport(tmp_path)
            missing = set(acknowledged)
            async with Member(transport, topic, unique("group")) as member:
                async with asyncio.timeout(DEADLINE):
                    while missing:
                        for delivery in await member.fetch():
                            missing.discard(int(delivery.value or b""))
                assert_in_order_per_key(member.deliveries)
                await publish(transport, topic, count=1, start=10_000_000)
                await member.read(1)
            await close(transport, topic)

        asyncio.run(main())

    def test_two_runs_of_the_event_loop_one_after_the_other(self, tmp_path: Path) -> None:
        transport, topic = self.transport(tmp_path), unique("topic")

        async def main(start: int) -> int:
            await publish(transport, topic, count=10, start=start)
            async with Member(transport, topic, unique("group")) as member:
                return len(await member.read(start + 10))

        assert asyncio.run(main(0)) == 10
        assert asyncio.run(main(10)) == 20
        asyncio.run(close(transport, topic))

    def test_closing_twice_is_fine_and_the_next_send_opens_anew(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            await close(transport, topic)
            await publish(transport, topic, count=1)
            await close(transport, topic)
            await close(transport, topic)
            await publish(transport, topic, count=1)
            member = Member(transport, topic, unique("group"))
            async with member:
                await member.read(2)
                await member.consumer.close()
            await member.consumer.close()
            assert member.revoked == [], "closing calls nobody back"
            assert member.consumer.assignment() == frozenset()
            await close(transport, topic)

        asyncio.run(main())

    def test_a_consumer_names_its_group(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic, group = self.transport(tmp_path), unique("topic"), unique("group")
            consumer = transport.consumer([topic], group)
            assert consumer.group == group
            await consumer.close()

        asyncio.run(main())

    def test_a_consumer_that_was_never_started_closes(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            await transport.consumer([topic], unique("group")).close()
            await close(transport, topic)

        asyncio.run(main())

    def test_the_carrier_describes_itself_in_one_line(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            carrier = transport.carrier(topic)
            assert carrier.describe
            assert "\n" not in carrier.describe
            assert list(carrier.plan()) == []
            await close(transport, topic)

        asyncio.run(main())
