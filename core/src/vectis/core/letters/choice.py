"""Which of the letters that wait are meant: by id, by handler, by time. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import attrs

from vectis.core._cloudevents import read_time
from vectis.core.exceptions import DecodeError
from vectis.core.letters.wire import Foreign, StoredLetter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vectis.core.letters.shelf import Waiting

__all__ = ["Choice", "moment"]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AGO = re.compile(r"([0-9]{1,6})([smhd])")


def moment(text: str, now: datetime) -> datetime:
    """Return the time that a text means: RFC 3339, or how long ago, such as `90s`, `2h` or `7d`.

    Args:
        text: What somebody wrote.
        now: The time that "ago" is counted from.

    Raises:
        ValueError: It is neither.

    Example:
        >>> from datetime import UTC, datetime
        >>> from vectis.core.letters.choice import moment
        >>> now = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
        >>> str(moment("2h", now)), str(moment("2026-01-30T08:00:00Z", now))
        ('2026-01-31 10:30:00+00:00', '2026-01-30 08:00:00+00:00')
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        return read_time(text)
    except (DecodeError, OverflowError):
        raise ValueError(
            f"{text!r} is no time: write RFC 3339, such as 2026-01-31T12:30:00Z, or how long ago, "
            "such as 90s, 30m, 2h or 7d"
        ) from None


@attrs.frozen(kw_only=True)
class Choice:
    """What the letters meant have in common; without any argument, all of them.

    Args:
        ids: Their places, on the dead-letter topic or where the delivery was.
        handlers: The handlers that failed, as `plugin:name` or by the name alone.
        since: Set aside at this time or later.
        until: Set aside before this time.

    Example:
        >>> from vectis.core.letters import read_record
        >>> from vectis.core.letters.choice import Choice
        >>> from vectis.core.message import Delivery
        >>> record = read_record(Delivery("t.dlq", 0, 3))
        >>> Choice()(record), Choice(ids=("t.dlq/0@3",))(record), Choice(handlers=("a:b",))(record)
        (True, True, False)
    """

    ids: tuple[str, ...] = ()
    handlers: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def __call__(self, record: Waiting) -> bool:
        """Tell whether a letter is meant."""
        return (
            (not self.ids or not names_of(record).isdisjoint(self.ids))
            and (not self.handlers or self._by_handler(record))
            and (self.since is None or record.timestamp >= _milliseconds(self.since))
            and (self.until is None or record.timestamp < _milliseconds(self.until))
        )

    def to_replay(self, record: Waiting) -> bool:
        """Tell whether a replay should try it: what is no letter only when its id is given."""
        return self(record) and (isinstance(record, StoredLetter) or record.id in self.ids)

    def unknown(self, waiting: Iterable[Waiting]) -> list[str]:
        """Return the ids that none of these letters has."""
        known = {name for record in waiting for name in names_of(record)}
        return [id for id in self.ids if id not in known]

    def _by_handler(self, record: Waiting) -> bool:
        if isinstance(record, Foreign):
            return False
        handler = record.letter.handler
        return handler in self.handlers or handler.partition(":")[2] in self.handlers


def names_of(record: Waiting) -> set[str]:
    """Return what a record is called: its own place, and that of the delivery set aside."""
    return {record.id, record.origin} if isinstance(record, StoredLetter) else {record.id}


def _milliseconds(time: datetime) -> float:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1)
