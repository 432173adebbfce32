"""Reading: commit and resume, waiting, pause, seek, lag, missing offsets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from vectis.core.testing._contract_tools import (
    DEADLINE,
    FOREVER,
    Contract,
    Member,
    assert_in_order_per_key,
    assert_in_order_per_partition,
    close,
    ends_of,
    places,
    publish,
    unique,
)

if TYPE_CHECKING:
    from pathlib import Path


class ReadingContract(Contract):
    """Reading: commit and resume, waiting, pause, seek, lag, missing offsets."""

    def test_a_group_without_a_commit_starts_at_the_beginning(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            await publish(transport, topic, count=20)
            for _ in range(2):
                async with Member(transport, topic, unique("group")) as member:
                    assert len(await member.read(20)) == 20
                    held = member.consumer.assignment()
                    assert {await member.consumer.committed(tp) for tp in held} == {None}
            await close(transport, topic)

        asyncio.run(main())

    def test_reading_goes_on_at_the_commit(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic, group = self.transport(tmp_path), unique("topic"), unique("group")
            await publish(transport, topic, count=30)
            async with Member(transport, topic, group) as first:
                await first.read(30)
                await first.commit()
                for partition, end in ends_of(first.deliveries).items():
                    assert await first.consumer.committed(partition) == end
                await publish(transport, topic, count=10)
                await first.read(10)  # and not committed
            async with Member(transport, topic, group) as second:
                await second.read(10)
                assert await second.fetch() == []
            assert sorted(places(second.deliveries)) == sorted(places(first.deliveries[30:]))
            assert_in_order_per_partition(second.deliveries)
            await close(transport, topic)

        asyncio.run(main())

    def test_fetch_gives_no_more_than_asked_and_nothing_when_nothing_comes(
        self, tmp_path: Path
    ) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            await publish(transport, topic, count=50)
            async with Member(transport, topic, unique("group")) as member:
                while len(member.deliveries) < 50:
                    assert len(await member.fetch(max_records=7, timeout=DEADLINE)) <= 7
                assert await member.fetch(timeout=0) == []
                assert await member.fetch(timeout=0.05) == []
            assert_in_order_per_partition(member.deliveries)
            assert len(set(places(member.deliveries))) == 50
            await close(transport, topic)

        asyncio.run(main())

    def test_a_waiting_fetch_wakes_up_for_a_new_message(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            async with Member(transport, topic, unique("group")) as member:
                await member.fetch()
                waiting = asyncio.ensure_future(member.fetch(timeout=FOREVER))
                await asyncio.sleep(0)
                await publish(transport, topic, count=1)
                assert len(await asyncio.wait_for(waiting, DEADLINE)) == 1
            await close(transport, topic)

        asyncio.run(main())

    def test_a_cancelled_fetch_loses_nothing(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            async with Member(transport, topic, unique("group")) as member:
                for turn in range(20):
                    waiting = asyncio.ensure_future(member.fetch(timeout=DEADLINE))
                    for _ in range(turn % 4):
                        await asyncio.sleep(0)
                    await publish(transport, topic, count=5, start=turn * 5)
                    waiting.cancel()
                    await asyncio.wait([waiting])
                await member.read(100 - len(member.deliveries))
            assert len(set(places(member.deliveries))) == 100
            assert_in_order_per_key(member.deliveries)
            await close(transport, topic)

        asyncio.run(main())

    def test_cancelling_while_records_are_on_their_way_loses_and_reorders_nothing(
        self, tmp_path: Path
    ) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            await publish(transport, topic, count=400)
            async with Member(transport, topic, unique("group")) as member:
                for turn in range(40):
                    waiting = asyncio.ensure_future(member.fetch(max_records=7, timeout=DEADLINE))
                    for _ in range(turn % 8):
                        await asyncio.sleep(0)
                    waiting.cancel()
                    await asyncio.wait([waiting])
                    if turn % 8 == 7:  # and one that is let be, from where the others were
                        await member.fetch(max_records=7, timeout=DEADLINE)
                await member.read(400 - len(member.deliveries))
                assert await member.fetch() == []
            assert len(set(places(member.deliveries))) == len(member.deliveries) == 400
            assert_in_order_per_partition(member.deliveries)
            assert_in_order_per_key(member.deliveries)
            await close(transport, topic)

        asyncio.run(main())

    def test_one_consumer_reads_several_topics(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topics = self.transport(tmp_path), [unique("topic"), unique("topic")]
            for topic in topics:
                await publish(transport, topic, count=20)
            member = Member(transport, topics[0], unique("group"), more_topics=topics[1:])
            async with member:
                await member.read(40)
                assert {d.topic for d in member.deliveries} == set(topics)
                assert {tp.topic for tp in member.consumer.assignment()} == set(topics)
            await close(transport, topics[0])

        asyncio.run(main())

    def test_a_paused_partition_loses_and_reorders_nothing(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            await publish(transport, topic, count=60)
            async with Member(transport, topic, unique("group")) as member:
                await member.fetch(max_records=10, timeout=DEADLINE)
                paused = max(member.consumer.assignment())
                member.consumer.pause(paused)
                seen = len(member.deliveries)
                await publish(transport, topic, count=60, start=60)
                await member.fetch(max_records=500)
                await member.fetch(max_records=500)
                assert paused not in {d.topic_partition for d in member.deliveries[seen:]}
                member.consumer.resume(paused)
                await member.read(120 - len(member.deliveries))
            assert len(set(places(member.deliveries))) == 120
            assert_in_order_per_key(member.deliveries)
            await close(transport, topic)

        asyncio.run(main())

    def test_resume_wakes_up_a_fetch_that_found_everything_paused(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            await publish(transport, topic, count=1)
            async with Member(transport, topic, unique("group")) as member:
                await member.fetch(max_records=1, timeout=DEADLINE)
                held = member.consumer.assignment()
                member.consumer.pause(*held)
                await publish(transport, topic, count=5)
                assert await member.fetch() == []
                waiting = asyncio.ensure_future(member.fetch(timeout=FOREVER))
                await asyncio.sleep(0)
                member.consumer.resume(*held)
                assert await asyncio.wait_for(waiting, DEADLINE)
            await close(transport, topic)

        asyncio.run(main())

    def test_seek_goes_back_and_forward(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            await publish(transport, topic, count=20, keys=1)
            async with Member(transport, topic, unique("group")) as member:
                all_of_them = await member.read(20)
                third = all_of_them[2]
                await member.consumer.seek(third.topic_partition, third.offset)
                assert places(await member.read(18)) == places(all_of_them[2:])
                last = all_of_them[-1]
                await member.consumer.seek(last.topic_partition, last.offset)
                assert places(await member.read(1)) == [last.place]
                await member.consumer.seek(last.topic_partition, 0)
                assert places(await member.read(20)) == places(all_of_them)
            await close(transport, topic)

        asyncio.run(main())

    def test_lag_counts_what_lies_behind_the_fetch_position(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            await publish(transport, topic, count=40)
            async with Member(transport, topic, unique("group")) as member:
                first = await member.fetch(max_records=1, timeout=DEADLINE)
                lag = await member.consumer.lag()
                assert set(lag) == member.consumer.assignment()
                if not self.features.offset_holes:
                    assert sum(lag.values()) == 40 - len(first)
                await member.read(40 - len(first))
                assert set((await member.consumer.lag()).values()) == {0}
            await close(transport, topic)

        asyncio.run(main())

    def test_missing_offsets_stall_nothing(self, tmp_path: Path) -> None:
        if not self.features.offset_holes:
            pytest.skip("this transport leaves no holes")

        async def main() -> None:
            transport, topic, group = self.transport(tmp_path), unique("topic"), unique("group")
            await publish(transport, topic, count=40, keys=1)
            async with Member(transport, topic, group) as first:
                deliveries = await first.read(40)
                offsets = [delivery.offset for delivery in deliveries]
                assert offsets == sorted(offsets)
                assert offsets[-1] - offsets[0] > 39, "no hole was made"
                middle = deliveries[19]
                await first.consumer.commit({middle.topic_partition: middle.offset + 1})
            async with Member(transport, topic, group) as second:
                assert places(await second.read(20)) == places(deliveries[20:])
            await close(transport, topic)

        asyncio.run(main())
