"""Another process with the same `group_instance_id`: each throws the other out of the group.

No broker says so. A member that was thrown out joins again under its name, and the other one is out
then: partitions go to and fro for ever, and events are handled again and again.
"""

from __future__ import annotations

import logging
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vectis_redpanda.settings import RedpandaSettings

__all__ = ["Namesake"]

logger = logging.getLogger("vectis.redpanda")

_ENOUGH = 3  # times in a row; once may be a restart of which the old process still runs
_AGAIN = 30.0  # seconds until it is told again


class Namesake:
    """Counts how often a member with a name of its own was thrown out, and tells of it.

    Args:
        settings: The `[redpanda]` settings.
        named: What reads, for messages.
    """

    def __init__(self, settings: RedpandaSettings, named: str) -> None:
        self._settings = settings
        self._named = named
        self._times = 0
        self._told = -inf

    def thrown_out(self, seconds: float) -> None:
        """Note that the group has dropped this member, so many seconds after it had joined."""
        name = self._settings.group_instance_id
        if name is None:
            return
        if seconds >= self._settings.session_timeout:  # it may have given no sign of life
            self._times = 0
            return
        self._times += 1
        if self._times < _ENOUGH or monotonic() - self._told < _AGAIN:
            return
        self._told = monotonic()
        logger.error(
            "%s: this member was thrown out %d times, each time soon after it had joined. Another "
            "process most likely has the same [redpanda] group_instance_id, %r: they take the "
            "partitions from each other, and events are handled again and again. Give each process "
            "another one, or none",
            self._named,
            self._times,
            name,
        )
