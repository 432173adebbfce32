"""How long to wait before the next attempt. Pure: no clock, no sleeping."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from random import Random

__all__ = ["Retry"]


@attrs.frozen
class Retry:
    """Exponential backoff with jitter and a cap.

    Args:
        attempts: Attempts in all, the first included.
        initial: Seconds before the second attempt, at most; this bound doubles with each further.
        longest: Seconds that no wait exceeds.
    """

    attempts: int
    initial: float
    longest: float

    def again(self, attempt: int) -> bool:
        """Tell whether another attempt follows after this one has failed (counted from 1)."""
        return attempt < self.attempts

    def wait(self, attempt: int, random: Random) -> float:
        """Return the seconds to wait after a failed attempt: half of the bound to all of it.

        Example:
            >>> from random import Random
            >>> from vectis.core.worker.retry import Retry
            >>> retry = Retry(attempts=5, initial=1.0, longest=3.0)
            >>> [0.5 <= retry.wait(1, Random()) <= 1.0, 1.5 <= retry.wait(9, Random()) <= 3.0]
            [True, True]
        """
        # 2.0 ** 1100 would overflow; a bound that high is the cap anyway.
        bound = min(self.longest, self.initial * 2.0 ** min(attempt - 1, 60))
        return bound * (0.5 + random.random() / 2)
