"""Brokers that say nothing for too long: reported with the cause, and worth another connection.

A fetch that is never answered is an error nowhere in aiokafka. And its clients ask only for the
addresses that they know: when all brokers have moved, only a new one asks the bootstrap servers.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from vectis.core.exceptions import TransportError

if TYPE_CHECKING:
    from vectis_redpanda._link import Link

__all__ = ["Silence"]

_LONGEST = 10.0  # seconds without a word that are too many
_TIMES = 6  # as long ends in another connection


class Silence:
    """Judges how long a consumer has heard nothing.

    Args:
        link: Finds out why.
        named: The consumer, for messages.
    """

    def __init__(self, link: Link, named: str) -> None:
        self._link = link
        self._named = named
        self._longest = min(_LONGEST, link.settings.request_timeout)
        # By then a member of a group has lost its partitions anyway.
        self._final = max(_TIMES * self._longest, link.settings.session_timeout)
        self._found = (float("-inf"), "")  # when it was looked for a cause, and which it was

    async def check(self, seconds: float, what: str, *, allowed: float = 0.0) -> None:
        """Raise when it was too long.

        Args:
            seconds: How long it was.
            what: What the brokers have not done all the time.
            allowed: How many seconds of it are in order.

        Raises:
            TransportError: It was.
        """
        if seconds < self._longest + allowed:
            return
        when, why = self._found
        if monotonic() - when > self._longest:  # it takes seconds, and is not asked all the time
            why = str(await self._link.trouble() or "the brokers can be reached")
            self._found = monotonic(), why
        raise TransportError(f"{self._named} {what} for {seconds:.0f} s: {why}")

    def is_final(self, seconds: float, *, allowed: float = 0.0) -> bool:
        """Tell whether nothing is to be hoped for on this connection any more."""
        return seconds > max(self._final, self._longest + allowed)
