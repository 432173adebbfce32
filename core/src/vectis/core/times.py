"""How long something takes, kept in at most a few hundred counters however often it is measured.

Pure: it is given seconds and has no clock.
"""

from __future__ import annotations

from math import frexp

__all__ = ["Times"]

_STEPS = 8  # counters to a doubling, so that a quantile is known to an eighth
_LEAST = 1e-6  # seconds; what is faster counts as that
_DOUBLINGS = 40  # a microsecond, doubled so often, is two weeks


class Times:
    """A histogram of seconds in steps of equal proportion.

    One thread adds; any thread may ask meanwhile.

    Attributes:
        count: How many were added.
        total: Their sum in seconds.
        longest: The longest in seconds.

    Example:
        >>> from vectis.core.times import Times
        >>> times = Times()
        >>> for seconds in [0.001] * 98 + [0.5, 2.0]:
        ...     times.add(seconds)
        >>> half, most = times.quantiles(0.5, 0.99)
        >>> times.count, times.longest, half < 0.0012, most >= 0.5
        (100, 2.0, True, True)
    """

    __slots__ = ("_counts", "count", "longest", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.longest = 0.0
        self._counts: dict[int, int] = {}  # by step; most things take about the same every time

    def add(self, seconds: float) -> None:
        """Count one.

        Args:
            seconds: How long it took.
        """
        self.count += 1
        self.total += seconds
        if seconds > self.longest:
            self.longest = seconds
        # seconds / _LEAST = mantissa * 2 ** exponent, with the mantissa in [0.5, 1).
        mantissa, exponent = frexp(seconds / _LEAST if seconds > _LEAST else 1.0)
        step = (exponent - 1) * _STEPS + int((mantissa - 0.5) * 2 * _STEPS)
        step = min(step, _STEPS * _DOUBLINGS)
        self._counts[step] = self._counts.get(step, 0) + 1

    def add_all(self, other: Times) -> None:
        """Count all that another one has.

        Args:
            other: Stays as it is.
        """
        self.count += other.count
        self.total += other.total
        self.longest = max(self.longest, other.longest)
        for step, count in other._counts.copy().items():
            self._counts[step] = self._counts.get(step, 0) + count

    def quantiles(self, *shares: float) -> tuple[float, ...]:
        """Return the seconds within which each of these shares was done, at most an eighth more.

        Args:
            shares: Such as 0.5 and 0.99, the smallest first.

        Returns:
            Seconds, never more than `longest`; nothing as long as nothing was added.
        """
        counts = sorted(self._counts.copy().items())
        all_of_them = sum(count for _, count in counts)
        found: list[float] = []
        below = 0
        for step, count in counts:
            below += count
            while len(found) < len(shares) and below >= shares[len(found)] * all_of_them:
                doublings, part = divmod(step, _STEPS)
                end = _LEAST * 2.0**doublings * (1 + (part + 1) / _STEPS)
                found.append(min(self.longest, end))
        return tuple(found)
