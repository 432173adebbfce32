"""The signs of life of one member, given from its reading thread, and how it stands by the last.

The lease is renewed from there and not from the event loop: a handler that blocks the loop does not
cost the process its partitions.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from vectis_sqlite._groups import generation, stands, take_part

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from concurrent.futures import Future

    from vectis_sqlite._groups import Lease, Membership, Standing
    from vectis_sqlite._headers import Connection
    from vectis_sqlite._records import Topics
    from vectis_sqlite._watch import Watch
    from vectis_sqlite._writer import Writer

__all__ = ["Renewal"]


class Renewal:
    """Keeps a member in its group.

    Args:
        writer: What writes to the file.
        who: The member.
        standing: How it stood when it joined.
        watch: Rung when the writer has answered.

    Attributes:
        standing: How it stands, as far as is known.
    """

    def __init__(self, writer: Writer, who: Membership, standing: Standing, watch: Watch) -> None:
        self.standing = standing
        self._writer = writer
        self._who = who
        self._watch = watch
        self._confirmed: tuple[Connection, Standing] | None = None
        self._asked: Future[Standing] | None = None
        self._due = time.monotonic() + who.lease / 3
        self._lock = threading.Lock()

    async def release(self, leases: Collection[Lease]) -> None:
        """Give leases up, and see what is free instead; on the event loop."""
        self._accept(await self._writer.run(self._take_part(leases)))

    def renew(self) -> None:
        """Give a sign of life when it is due.

        It does not wait for the writer: reading goes on while the file is locked.
        """
        asked, now = self._asked, time.monotonic()
        if asked is None:
            expiry = self.standing.next_expiry
            if now >= self._due or (expiry is not None and now > expiry):
                self._asked = self._writer.run_from_thread(self._take_part())
                self._asked.add_done_callback(lambda _: self._watch.ring())
                self._due = now + self._who.lease / 3
        elif asked.done():
            self._asked = None
            if asked.exception() is not None:
                self._due = now + self._who.lease / 10
            self._accept(asked.result())

    def confirm(self, connection: Connection, standing: Standing) -> bool:
        """Return whether the file is the one in which the member stands so.

        When it is not, or the group has changed since, a sign of life is due at once.
        """
        known = self._is_known(connection, standing)
        if not known or generation(connection, standing.group) != standing.generation:
            self._due = 0.0  # there is something to share anew
            self.renew()
        return known

    def next_due(self) -> float | None:
        """Return when `renew` has something to do next, on the monotonic clock; None for now."""
        if self._asked is not None:  # its end rings
            return None if self._asked.done() else time.monotonic() + self._who.lease
        expiry = self.standing.next_expiry
        return self._due if expiry is None else min(self._due, expiry + 0.001)

    def _is_known(self, connection: Connection, standing: Standing) -> bool:
        if self._confirmed is None or any(
            was is not now for was, now in zip(self._confirmed, (connection, standing), strict=True)
        ):
            self._confirmed = (connection, standing) if stands(connection, standing) else None
        return self._confirmed is not None

    def _accept(self, standing: Standing) -> None:
        """Take over the standing if it is the latest."""
        with self._lock:
            if standing.at >= self.standing.at:
                self.standing = standing

    def _take_part(
        self, release: Collection[Lease] = ()
    ) -> Callable[[Connection, Topics], Standing]:
        standing = self.standing
        return lambda connection, topics: take_part(
            connection,
            topics,
            self._who,
            standing.member,
            now=time.monotonic(),
            bell=self._watch.doorbell.name,
            release=release,
            patient_until=standing.patient_until,
        )
