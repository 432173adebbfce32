"""What a member of a group holds, kept in line with what its group has decided.

aiokafka rebalances in a task of its own; whoever consumes is to be told inside of `fetch`. So the
listener here leaves a note, wakes the fetch up, and waits until that has let go.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from aiokafka import ConsumerRebalanceListener

from vectis.core.message import TopicPartition
from vectis_redpanda._internals import NOBODY, membership

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from aiokafka import TopicPartition as KafkaPartition

    from vectis.core.transport import Assigned
    from vectis_redpanda._intake import Intake
    from vectis_redpanda._namesake import Namesake

    Starts = Callable[[Intake, frozenset[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]]

__all__ = ["Handover"]


class Handover(ConsumerRebalanceListener):  # type: ignore[misc]
    """Partitions that come and go, for as long as one consumer of aiokafka lives.

    Args:
        intake: Holds the partitions, and is woken up when they change hands.
        timeout: Seconds that the group waits for a member to let go.
        starts: Says at which offset each of the partitions begins that were assigned.
        callbacks: Who is told of what was assigned, and of what is to be let go.
        namesake: Is told when the group does not count this member in any more.
    """

    def __init__(
        self,
        intake: Intake,
        timeout: float,
        starts: Starts,
        callbacks: tuple[Assigned, Assigned],
        namesake: Namesake,
    ) -> None:
        self.intake = intake
        self._timeout = timeout
        self._starts = starts
        self._on_assigned, self._on_revoked = callbacks
        self._namesake = namesake
        self._assigned: frozenset[TopicPartition] | None = None  # and nobody was told yet
        self._generation = NOBODY  # in which what is held was assigned
        self._released: asyncio.Future[None] | None = None  # the group waits for it
        self._since = monotonic()  # the group last said something
        intake.barred = True  # until something was assigned

    @property
    def shared(self) -> bool:
        """Whether the group has said what this member is to hold."""
        return self._assigned is not None

    @property
    def silence(self) -> float:
        """For how many seconds the group has said nothing."""
        return monotonic() - self._since

    @property
    def counted_in(self) -> bool:
        """Whether the group still counts this member in, with what it holds."""
        return membership(self.intake.consumer) == self._generation

    # ------------------------------------------------------------ what the group decides

    async def on_partitions_revoked(self, revoked: Iterable[KafkaPartition]) -> None:
        """Wait until `settle` has let go; the member stays in the group meanwhile."""
        if self._generation != NOBODY and membership(self.intake.consumer) == NOBODY:
            self._namesake.thrown_out(monotonic() - self._since)
        self.intake.barred, self._since = True, monotonic()
        self._assigned = None
        if self.intake.held:
            self._released = asyncio.get_running_loop().create_future()
            self.intake.wake()
            await asyncio.wait([self._released], timeout=self._timeout)
            # After that time the group has gone on without this member.
            self._released = None

    async def on_partitions_assigned(self, assigned: Iterable[KafkaPartition]) -> None:
        """Note what is to be held from now on."""
        self.intake.barred, self._since = False, monotonic()
        self._assigned = frozenset(TopicPartition(*partition) for partition in assigned)
        self.intake.wake()

    # ------------------------------------------------------------ what is done about it

    async def settle(self) -> None:
        """Bring what is held in line with it, awaiting the callbacks."""
        while True:
            if self.intake.held and self._outdated:
                await self.let_go()
            elif self._assigned is not None:
                await self._take_over(self._assigned)
            else:
                return

    async def let_go(self) -> None:
        """Have whoever consumes let go of everything that is held."""
        partitions = self.intake.held
        try:
            await self._on_revoked(partitions)
        except Exception:
            self.drop(partitions)  # it was told, and they are gone either way
            raise
        self.drop(partitions)

    def drop(self, partitions: frozenset[TopicPartition]) -> None:
        """Forget partitions, and let the group go on."""
        self.intake.let_go(partitions)
        if self._released is not None and not self._released.done():
            self._released.set_result(None)

    @property
    def _outdated(self) -> bool:
        """Whether what is held is of a time that is over."""
        return self._released is not None or self._assigned is not None or not self.counted_in

    async def _take_over(self, assigned: frozenset[TopicPartition]) -> None:
        generation = membership(self.intake.consumer)
        starts = await self._starts(self.intake, assigned)
        if self._assigned is not assigned:
            return  # the group has shared anew meanwhile
        self._generation = generation
        self.intake.hold(starts)
        try:
            if assigned:
                await self._on_assigned(assigned)
        except BaseException:  # nobody knows of them: assign them again next time
            self.drop(assigned)
            raise
        if self._assigned is assigned:
            self._assigned = None
