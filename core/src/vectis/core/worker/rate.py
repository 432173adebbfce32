"""How many a minute are allowed. Pure: the caller says what time it is."""

from __future__ import annotations

__all__ = ["Rate"]


class Rate:
    """A bound on how often something may happen, with a minute's worth allowed at once.

    Args:
        per_minute: How often; 0 for no bound.

    Example:
        >>> from vectis.core.worker.rate import Rate
        >>> rate = Rate(per_minute=2)
        >>> rate.take(now=0.0), rate.take(now=0.0), rate.take(now=0.0)
        (0.0, 0.0, 30.0)
        >>> rate.take(now=30.0)
        0.0
    """

    __slots__ = ("_allowed", "_most", "_since")

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._allowed = self._most
        self._since: float | None = None

    def take(self, now: float) -> float:
        """Count one; return 0.0, or without counting it the seconds until it is allowed.

        Args:
            now: The time in seconds, of a clock that never goes back.
        """
        if not self._most:
            return 0.0
        if self._since is not None:
            gained = (now - self._since) * self._most / 60
            self._allowed = min(self._most, self._allowed + gained)
        self._since = now
        if self._allowed >= 1:
            self._allowed -= 1
            return 0.0
        return (1 - self._allowed) * 60 / self._most
