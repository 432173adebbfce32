"""What the records of a dead-letter topic say: letters, notes that one is settled, and neither.

Anybody who may write to the topic can write anything there, and a letter carries the headers of a
delivery that was broken. So nothing in a header is believed before it was looked at: names, order
of digits, lengths. What does not hold is `Foreign`, with the reason.

A letter ends with a block of `vectis_dlq_*` headers that begins with the last `vectis_dlq_group`;
whatever stands before it belongs to the original delivery, also when it looks like such a block. A
note that a letter is settled has no key but the letter's, an empty value, and one block of its own.
Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, get_args

import attrs

from vectis.core.dead_letter import (
    HISTORY,
    NAME_LIMIT,
    PREFIX,
    DeadLetter,
    Round,
    is_name,
    topic_of,
)
from vectis.core.exceptions import DecodeError
from vectis.core.jsontext import from_json
from vectis.core.message import Delivery, Message, TopicPartition
from vectis.core.redact import one_line

if TYPE_CHECKING:
    from vectis.core.message import Headers

__all__ = ["Foreign", "How", "Record", "Settled", "StoredLetter", "read_record", "settled"]

How = Literal["replayed", "failed_again", "purged"]
"""Why a letter is settled: its handler passed, a newer letter took its place, or it was given up.
"""

_BEGIN = PREFIX + "group"
_LETTER = ("group", "handler", "plugin", "error", "attempts", "topic", "partition", "offset")
_OPTIONAL = ("timestamp", "replays", "history")
_SETTLED = ("group", "settled", "partition", "offset")

_NUMBER = re.compile(rb"[0-9]{1,18}")
_TIME = re.compile(rb"-?[0-9]{1,19}")  # whatever a broker can hold; -1 is Kafka's "none"
_ERROR_LIMIT = 8_000  # bytes
_HISTORY_LIMIT = 32_000  # bytes


@attrs.frozen(kw_only=True)
class StoredLetter:
    """A dead letter where it lies.

    Args:
        where: The partition of the dead-letter topic.
        offset: The place there.
        timestamp: When it was set aside, in milliseconds since 1970.
        size: Bytes of its key, its value and its original headers.
        letter: The letter; its delivery is the original one, with the original headers alone.
    """

    where: TopicPartition
    offset: int
    timestamp: int
    size: int
    letter: DeadLetter

    @property
    def group(self) -> str:
        """The group that set it aside."""
        return self.letter.group

    @property
    def id(self) -> str:
        """What it is called: its place in the dead-letter topic."""
        return f"{self.where}@{self.offset}"

    @property
    def origin(self) -> str:
        """Where the delivery was that was set aside."""
        return self.letter.delivery.place


@attrs.frozen(kw_only=True)
class Foreign:
    """A record of a dead-letter topic that is no letter, or a damaged one.

    Args:
        where: The partition of the dead-letter topic.
        offset: The place there.
        timestamp: When it was stored, in milliseconds since 1970.
        size: Its bytes.
        reason: Why it is none.
    """

    where: TopicPartition
    offset: int
    timestamp: int
    size: int
    reason: str

    @property
    def id(self) -> str:
        """What it is called: its place in the dead-letter topic."""
        return f"{self.where}@{self.offset}"


@attrs.frozen(kw_only=True)
class Settled:
    """A note that a letter of the same topic does not wait any more.

    Args:
        where: The partition that the note is in.
        offset: The place there.
        timestamp: When it was written, in milliseconds since 1970.
        group: The group that the letter belongs to.
        how: What became of it.
        letter: The letter's partition.
        letter_offset: The letter's offset.
    """

    where: TopicPartition
    offset: int
    timestamp: int
    group: str
    how: How
    letter: TopicPartition
    letter_offset: int


Record = StoredLetter | Settled | Foreign


class _Damaged(Exception):
    """A block that is not as one is written."""


def read_record(delivery: Delivery) -> Record:
    """Return what a record of a dead-letter topic is; whatever it holds, this does not fail.

    Args:
        delivery: As it was received from the dead-letter topic.

    Example:
        >>> from vectis.core.letters import read_record
        >>> from vectis.core.message import Delivery
        >>> record = read_record(Delivery("vectis.orders.dlq", 0, 3, value=b"?"))
        >>> record.id, record.reason
        ('vectis.orders.dlq/0@3', 'not set aside by a worker: it has no header vectis_dlq_group')
    """
    try:
        begin = max(
            (n for n, (name, _) in enumerate(delivery.headers) if name == _BEGIN), default=-1
        )
        if begin < 0:
            raise _Damaged(f"not set aside by a worker: it has no header {_BEGIN}")
        block = _block(delivery.headers[begin:])
        if "settled" in block:
            return _note(delivery, begin, block)
        return _letter(delivery, delivery.headers[:begin], block)
    except _Damaged as damaged:
        return Foreign(
            where=delivery.topic_partition,
            offset=delivery.offset,
            timestamp=delivery.timestamp,
            size=_size(delivery, delivery.headers),
            reason=str(damaged),
        )


def settled(record: StoredLetter | Foreign, group: str, how: How, key: bytes | None) -> Message:
    """Return the note that a letter is settled, to be appended to its topic.

    Args:
        record: The letter, or another record that is not to be shown any more.
        group: The group for which it is settled.
        how: What became of it.
        key: The record's key, so that the note goes to the same partition when it has one.
    """
    said = {
        "group": group,
        "settled": how,
        "partition": str(record.where.partition),
        "offset": str(record.offset),
    }
    headers = tuple((PREFIX + name, value.encode()) for name, value in said.items())
    return Message(record.where.topic, key, b"", headers)


def _block(headers: Headers) -> dict[str, bytes]:
    block: dict[str, bytes] = {}
    for name, value in headers:
        known = name.removeprefix(PREFIX)
        if known == name or known not in (*_LETTER, *_OPTIONAL, "settled"):
            raise _Damaged(f"damaged: a header {one_line(name, 60)} among those of a worker")
        if known in block:
            raise _Damaged(f"damaged: the header {name} is there more than once")
        # Some clients hand on a null value as None.
        block[known] = value or b""
    return block


def _letter(delivery: Delivery, original: Headers, block: dict[str, bytes]) -> StoredLetter:
    for name in _LETTER:
        if name not in block:
            raise _Damaged(f"damaged: it has no header {PREFIX}{name}")
    topic = _name(block, "topic")
    if topic_of(topic) != delivery.topic:
        raise _Damaged(f"damaged: it says that it was set aside from {one_line(topic, 100)}")
    return StoredLetter(
        where=delivery.topic_partition,
        offset=delivery.offset,
        timestamp=delivery.timestamp,
        size=_size(delivery, original),
        letter=DeadLetter(
            delivery=Delivery(
                topic,
                _number(block, "partition"),
                _number(block, "offset"),
                delivery.key,
                delivery.value,
                original,
                _number(block, "timestamp", _TIME) if "timestamp" in block else delivery.timestamp,
            ),
            group=_name(block, "group"),
            handler=_name(block, "handler", empty=True),
            plugin=_name(block, "plugin", empty=True),
            error=block["error"][:_ERROR_LIMIT].decode(errors="replace"),
            attempts=_number(block, "attempts"),
            replays=_number(block, "replays") if "replays" in block else 0,
            history=_history(block.get("history", b"[]")),
        ),
    )


def _note(delivery: Delivery, begin: int, block: dict[str, bytes]) -> Settled:
    if begin or delivery.value or set(block) != set(_SETTLED):
        raise _Damaged("damaged: it says that a letter is settled, and is more than such a note")
    how: Any = block["settled"].decode(errors="replace")
    if how not in get_args(How):
        raise _Damaged("damaged: it says that a letter is settled, and not how")
    return Settled(
        where=delivery.topic_partition,
        offset=delivery.offset,
        timestamp=delivery.timestamp,
        group=_name(block, "group"),
        how=how,
        letter=TopicPartition(delivery.topic, _number(block, "partition")),
        letter_offset=_number(block, "offset"),
    )


def _name(block: dict[str, bytes], name: str, *, empty: bool = False) -> str:
    value = block[name]
    try:
        text = value[: NAME_LIMIT + 1].decode()
    except UnicodeDecodeError:
        text = ""
    if not is_name(text) and not (empty and not value):
        raise _Damaged(f"damaged: the header {PREFIX}{name} is no name")
    return text


def _number(block: dict[str, bytes], name: str, form: re.Pattern[bytes] = _NUMBER) -> int:
    if not form.fullmatch(block[name]):
        raise _Damaged(f"damaged: the header {PREFIX}{name} is no number")
    return int(block[name])


def _history(text: bytes) -> tuple[Round, ...]:
    """Return the earlier rounds; a history that is not as one is written tells nothing."""
    try:
        rounds = from_json(text) if len(text) <= _HISTORY_LIMIT else None
    except DecodeError:
        return ()
    if not isinstance(rounds, list) or len(rounds) > HISTORY:
        return ()
    found = []
    for one in rounds:
        if not isinstance(one, dict) or set(one) != {"timestamp", "error", "attempts"}:
            return ()
        timestamp, error, attempts = one["timestamp"], one["error"], one["attempts"]
        if not isinstance(error, str) or not (_counts(timestamp) and _counts(attempts)):
            return ()
        found.append(Round(timestamp=timestamp, error=error, attempts=attempts))
    return tuple(found)


def _counts(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18


def _size(delivery: Delivery, headers: Headers) -> int:
    size = len(delivery.key or b"") + len(delivery.value or b"")
    return size + sum(len(name) + len(value or b"") for name, value in headers)
