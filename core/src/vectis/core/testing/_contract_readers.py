"""Readers: without a group, every partition, no trace in any group; and where partitions end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from vectis.core.exceptions import LeaseLost, TransportError
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


class ReaderContract(Contract):
    """Readers: without a group, every partition, no trace in any group; and the ends."""

    def test_readers_each_get_everything_from_the_beginning(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic, group = self.transport(tmp_path), unique("topic"), unique("group")
            await publish(transport, topic, count=40)
            async with Member(transport, topic, group) as member:
                await member.read(40)
                await member.commit()
            async with Member(transport, topic, None) as one, Member(transport, topic, None) as two:
                await asyncio.gather(one.read(40), two.read(40))
                assert one.consumer.group is None
                assert one.consumer.assignment() == two.consumer.assignment()
                assert {d.topic_partition for d in member.deliveries} <= one.consumer.assignment()
                assert await one.fetch() == await two.fetch() == []
            for reader in (one, two):
                assert sorted(places(reader.deliveries)) == sorted(places(member.deliveries))
                assert_in_order_per_partition(reader.deliveries)
                assert_in_order_per_key(reader.deliveries)
            await close(transport, topic)

        asyncio.run(main())

    def test_a_reader_disturbs_no_member(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic, group = self.transport(tmp_path), unique("topic"), unique("group")
            await publish(transport, topic, count=40)
            async with Member(transport, topic, group) as member:
                await member.read(40)
                held = member.consumer.assignment()
                async with Member(transport, topic, None) as reader:
                    await reader.read(40)
                    await publish(transport, topic, count=40, start=40)
                    await asyncio.gather(reader.read(40), member.read(40))
                    await member.commit()
                assert await member.fetch() == []
                assert member.revoked == reader.revoked == []
                assert member.consumer.assignment() == held
                for partition, end in ends_of(member.deliveries).items():
                    assert await member.consumer.committed(partition) == end
            assert len(set(places(member.deliveries))) == len(member.deliveries) == 80
            await close(transport, topic)

        asyncio.run(main())

    def test_a_reader_has_nothing_committed_and_cannot_commit(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            await publish(transport, topic, count=20)
            async with Member(transport, topic, None) as reader:
                await reader.read(20)
                with pytest.raises(TransportError) as caught:
                    await reader.commit()
                assert not isinstance(caught.value, LeaseLost), "it never had a lease to lose"
                held = reader.consumer.assignment()
                assert {await reader.consumer.committed(tp) for tp in held} == {None}
            async with Member(transport, topic, None) as again:
                assert len(await again.read(20)) == 20
            await close(transport, topic)

        asyncio.run(main())

    def test_what_another_group_has_committed_can_be_asked_without_joining_it(
        self, tmp_path: Path
    ) -> None:
        async def main() -> None:
            transport, topic, group = self.transport(tmp_path), unique("topic"), unique("group")
            await publish(transport, topic, count=40)
            async with Member(transport, topic, group) as member:
                await member.read(40)
                held = member.consumer.assignment()
                await member.commit()
                async with (
                    Member(transport, topic, None) as reader,
                    Member(transport, topic, unique("group")) as other,
                ):
                    await asyncio.gather(reader.read(40), other.read(40))
                    for asking in (reader.consumer, other.consumer):
                        for partition, end in ends_of(member.deliveries).items():
                            assert await asking.committed(partition, group) == end
                            assert await asking.committed(partition) is None
                            assert await asking.committed(partition, unique("group")) is None
                assert await member.fetch() == []
                assert member.revoked == []
                assert member.consumer.assignment() == held
            await close(transport, topic)

        asyncio.run(main())

    def test_a_reader_holds_everything_from_its_first_fetch_on(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            await publish(transport, topic, count=40)
            async with Member(transport, topic, None) as reader:
                assert reader.assigned == []
                await reader.fetch(max_records=1, timeout=0)
                assert reader.assigned == [reader.consumer.assignment()]
                await reader.read(40 - len(reader.deliveries))
                places_read = {d.topic_partition for d in reader.deliveries}
                assert places_read <= reader.assigned[0]
            await close(transport, topic)

        asyncio.run(main())

    def test_a_waiting_reader_wakes_up_also_for_a_new_topic(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic, other = self.transport(tmp_path), unique("topic"), unique("topic")
            async with Member(transport, topic, None, more_topics=[other]) as reader:
                await reader.fetch()
                for name in (topic, other, topic):
                    waiting = asyncio.ensure_future(reader.fetch(timeout=FOREVER))
                    await asyncio.sleep(0)
                    await publish(transport, name, count=1)
                    (delivery,) = await asyncio.wait_for(waiting, DEADLINE)
                    assert delivery.topic == name
            await close(transport, topic)

        asyncio.run(main())

    def test_a_reader_that_is_cancelled_paused_and_sought_loses_nothing(
        self, tmp_path: Path
    ) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            await publish(transport, topic, count=100)
            async with Member(transport, topic, None) as reader:
                for turn in range(20):
                    waiting = asyncio.ensure_future(reader.fetch(max_records=3, timeout=DEADLINE))
                    for _ in range(turn % 5):
                        await asyncio.sleep(0)
                    waiting.cancel()
                    await asyncio.wait([waiting])
                await reader.fetch(max_records=3, timeout=DEADLINE)
                paused = max(reader.consumer.assignment())
                reader.consumer.pause(paused)
                seen = len(reader.deliveries)
                await reader.fetch(max_records=200)
                await reader.fetch(max_records=200)
                assert paused not in {d.topic_partition for d in reader.deliveries[seen:]}
                reader.consumer.resume(paused)
                await reader.read(100 - len(reader.deliveries))
                assert len(set(places(reader.deliveries))) == len(reader.deliveries) == 100
                assert_in_order_per_key(reader.deliveries)
                assert set((await reader.consumer.lag()).values()) == {0}
                last = reader.deliveries[-1]
                await reader.consumer.seek(last.topic_partition, last.offset)
                assert places(await reader.read(1)) == [last.place]
            await close(transport, topic)

        asyncio.run(main())

    def test_a_reader_that_does_not_run_says_so(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            await publish(transport, topic, count=1)
            reader = Member(transport, topic, None)
            with pytest.raises(TransportError):
                await reader.fetch()
            async with reader:
                (delivery,) = await reader.read(1)
            await reader.consumer.close()  # a second time
            assert reader.consumer.assignment() == frozenset()
            with pytest.raises(TransportError):
                await reader.fetch()
            with pytest.raises(TransportError):
                await reader.consumer.seek(delivery.topic_partition, 0)
            await close(transport, topic)

        asyncio.run(main())

    @pytest.mark.parametrize("in_a_group", [True, False], ids=["member", "reader"])
    def test_the_ends_are_one_past_the_last_records(self, tmp_path: Path, in_a_group: bool) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            group = unique("group") if in_a_group else None
            await publish(transport, topic, count=40)
            async with Member(transport, topic, group) as member:
                await member.fetch(max_records=1, timeout=DEADLINE)
                ends = await member.consumer.ends()
                assert ends.keys() == member.consumer.assignment()
                await member.read(40 - len(member.deliveries))
                assert await member.consumer.ends() == ends, "reading moves no end"
                read = ends_of(member.deliveries)
                assert {tp: end for tp, end in ends.items() if tp in read} == read
                await member.consumer.seek(max(read), 0)
                for partition, end in ends.items():
                    await member.consumer.seek(partition, end)
                assert await member.fetch() == []
                await publish(transport, topic, count=20, start=40)
                new = await member.read(20)
                assert sorted(int(d.value or b"") for d in new) == [*range(40, 60)]
            await close(transport, topic)

        asyncio.run(main())

    def test_a_reader_can_begin_at_the_ends(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            await publish(transport, topic, count=20)
            reader = transport.consumer([topic], None)

            async def to_the_end(partitions: object) -> None:
                for partition, end in (await reader.ends()).items():
                    await reader.seek(partition, end)

            async def never(partitions: object) -> None:
                raise AssertionError("nothing is taken from a reader")

            await reader.start(on_assigned=to_the_end, on_revoked=never)
            assert await reader.fetch(max_records=100, timeout=0) == []
            await publish(transport, topic, count=1, start=20)
            (delivery,) = await reader.fetch(max_records=100, timeout=FOREVER)
            assert delivery.value == b"20"
            await reader.close()
            await close(transport, topic)

        asyncio.run(main())
