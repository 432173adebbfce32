"""Groups: sharing, handing over, and refusing what comes too late."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from vectis.core.exceptions import LeaseLost
from vectis.core.testing._contract_tools import (
    DEADLINE,
    Contract,
    Member,
    close,
    ends_of,
    places,
    publish,
    unique,
    until_read,
    until_shared,
)

if TYPE_CHECKING:
    from pathlib import Path

    from vectis.core.message import Delivery


class GroupContract(Contract):
    """Groups: sharing, handing over, and refusing what comes too late."""

    def test_two_groups_each_get_everything(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            await publish(transport, topic, count=20)
            async with (
                Member(transport, topic, unique("group")) as one,
                Member(transport, topic, unique("group")) as other,
            ):
                await one.read(20)
                await one.commit()
                await other.read(20)
            assert sorted(places(one.deliveries)) == sorted(places(other.deliveries))
            await close(transport, topic)

        asyncio.run(main())

    def test_two_members_share_the_partitions_and_hand_over(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic, group = self.transport(tmp_path), unique("topic"), unique("group")
            await publish(transport, topic, count=80)
            async with Member(transport, topic, group) as first:
                await first.read(80)
                everything = first.consumer.assignment()
                async with Member(transport, topic, group) as second:
                    await until_shared(first, second)
                    await publish(transport, topic, count=80, start=80)
                    await until_read(first, second, count=160)
                    await first.commit()
                    await second.commit()
                async with asyncio.timeout(DEADLINE):
                    while first.consumer.assignment() != everything:
                        await first.fetch()
                await publish(transport, topic, count=80, start=160)
                await first.read(80)
            together = first.deliveries + second.deliveries
            assert Counter(Counter(places(together)).values()) == {1: 240}, "each exactly once"
            await close(transport, topic)

        asyncio.run(main())

    def test_a_commit_made_while_partitions_are_revoked_is_kept(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic, group = self.transport(tmp_path), unique("topic"), unique("group")
            await publish(transport, topic, count=80)
            async with Member(transport, topic, group) as first:
                await first.read(80)  # and commits only when its partitions are revoked
                async with Member(transport, topic, group) as second:
                    await until_shared(first, second)
                    moved = second.consumer.assignment()
                    assert moved <= frozenset().union(*first.revoked)
                    for partition in moved & first.commit_on_revoke.keys():
                        committed = await second.consumer.committed(partition)
                        assert committed == first.commit_on_revoke[partition]
                    assert await second.fetch() == [], "committed, so not delivered again"
            await close(transport, topic)

        asyncio.run(main())

    def test_partitions_stay_held_while_their_member_drains(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic, group = self.transport(tmp_path), unique("topic"), unique("group")
            await publish(transport, topic, count=80)
            draining, drained = asyncio.Event(), asyncio.Event()

            async def drain() -> None:
                draining.set()
                await drained.wait()

            async def fetch_until_drained() -> None:
                while not first.revoked:
                    await first.fetch()

            async with Member(transport, topic, group) as first:
                await first.read(80)
                first.drain = drain
                async with Member(transport, topic, group) as second:
                    leaving = asyncio.ensure_future(fetch_until_drained())
                    async with asyncio.timeout(DEADLINE):
                        while not draining.is_set():
                            await second.fetch()
                    for _ in range(3):
                        assert await second.fetch() == [], "read what another one still holds"
                        assert not second.consumer.assignment() & first.revoked[0]
                    drained.set()
                    await asyncio.wait_for(leaving, DEADLINE)
                    first.drain = None
                    await until_shared(first, second)
                    assert await second.fetch() == [], "committed, so not delivered again"
            await close(transport, topic)

        asyncio.run(main())

    def test_a_member_that_lost_everything_cannot_commit_and_reads_again(
        self, tmp_path: Path
    ) -> None:
        if not self.features.expiry:
            pytest.skip("the tests cannot make a member of this transport lose its partitions")

        async def main() -> None:
            transport, topic, group = self.transport(tmp_path), unique("topic"), unique("group")
            await publish(transport, topic, count=40)
            async with Member(transport, topic, group) as member:
                before = await member.read(40)
                held = member.consumer.assignment()
                self.expire(transport, member.consumer)
                with pytest.raises(LeaseLost) as caught:
                    await member.consumer.commit(ends_of(before))
                assert caught.value.partitions == ends_of(before).keys()
                assert {await member.consumer.committed(tp) for tp in held} == {None}
                member.deliveries.clear()  # so that it commits nothing of them when told
                try:
                    again = await member.read(40)
                except LeaseLost:  # `on_revoked` may find out first
                    again = await member.read(40)
                assert sorted(places(again)) == sorted(places(before))
                assert frozenset().union(*member.revoked) == held
                await member.commit()
            await close(transport, topic)

        asyncio.run(main())

    def test_nobody_is_called_back_before_the_first_fetch(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic = self.transport(tmp_path), unique("topic")
            await publish(transport, topic, count=20)
            async with Member(transport, topic, unique("group")) as member:
                assert member.assigned == []
                assert member.consumer.assignment() == frozenset()
                await member.read(20)
                assert frozenset().union(*member.assigned) == member.consumer.assignment()
                assert member.revoked == []
            await close(transport, topic)

        asyncio.run(main())

    def test_a_commit_for_a_partition_of_another_member_is_refused(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic, group = self.transport(tmp_path), unique("topic"), unique("group")
            await publish(transport, topic, count=80)
            async with Member(transport, topic, group) as first:
                await first.read(80)
                ends = ends_of(first.deliveries)
                async with Member(transport, topic, group) as second:
                    await until_shared(first, second)
                    moved = max(second.consumer.assignment() & ends.keys())
                    kept = max(first.consumer.assignment() & ends.keys())
                    before = await second.consumer.committed(moved)
                    with pytest.raises(LeaseLost) as caught:
                        await first.consumer.commit({moved: 1, kept: ends[kept]})
                    assert caught.value.partitions == {moved}
                    assert await second.consumer.committed(moved) == before
                    assert await first.consumer.committed(kept) == ends[kept], "the others' stand"
            await close(transport, topic)

        asyncio.run(main())

    def test_members_join_and_leave_and_nothing_is_lost(self, tmp_path: Path) -> None:
        async def main() -> None:
            transport, topic, group = self.transport(tmp_path), unique("topic"), unique("group")
            seen: list[Delivery] = []
            async with Member(transport, topic, group) as steady:
                for turn in range(4):
                    async with Member(transport, topic, group) as passing:
                        await publish(transport, topic, count=40, start=turn * 40)
                        await until_shared(steady, passing)
                        await passing.commit()
                    seen += passing.deliveries
                async with asyncio.timeout(DEADLINE):
                    while len({*places(steady.deliveries), *places(seen)}) < 160:
                        await steady.fetch()
            await close(transport, topic)

        asyncio.run(main())
