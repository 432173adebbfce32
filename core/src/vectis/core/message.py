"""What crosses a transport: messages on the way out, deliveries on the way in.

A message is bytes and headers, nothing decoded; `vectis.core.codec` turns events into messages
and deliveries back into events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, SupportsIndex

import attrs

from vectis.core._headers import in_pairs

if TYPE_CHECKING:
    from vectis.core._headers import Said

__all__ = ["Delivery", "Headers", "Message", "Receipt", "TopicPartition"]

Headers = tuple[tuple[str, bytes], ...]
"""Header names with their bytes, in order; a name may stand more than once."""


class TopicPartition(NamedTuple):
    """One partition of one topic: the unit of order, assignment and commit."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


# Not frozen: a frozen attrs class costs three times as much to create, and there is one a record.
@attrs.define
class Message:
    """What a transport is asked to carry.

    Args:
        topic: The topic's name.
        key: Decides the partition, and with it the order; None for no order.
        value: The payload's bytes, or None for a tombstone.
        headers: Names and bytes, in order.

    Example:
        >>> from vectis.core.message import Message
        >>> Message("vectis.orders", key=b"7", value=b"{}").size
        16
    """

    topic: str
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()

    @property
    def size(self) -> int:
        """Bytes of topic, key, value and headers together: what the size cap is held against."""
        size = len(self.topic) + len(self.key or b"") + len(self.value or b"")
        return size + sum(len(name) + len(value) for name, value in self.headers)


@attrs.define(repr=False, match_args=False)
class Delivery:
    """A message as it was received. Nobody changes one: a transport may hand it to several.

    Args:
        topic: The topic's name.
        partition: The partition's number, from 0.
        offset: The place in the partition. Offsets grow; numbers may be missing.
        key: The key's bytes, or None.
        value: The payload's bytes, or None for a tombstone.
        headers: Names and bytes, in order; or what `codec.read_headers` has made of them.
        timestamp: When the transport took it, in milliseconds since 1970 (UTC).
        attempt: Which attempt of a handler this is, from 1; each has a delivery of its own.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None = None
    value: bytes | None = None
    _headers: Headers | Said = attrs.field(default=(), eq=in_pairs)
    timestamp: int = 0
    attempt: int = 1

    # Of the headers as everybody else sees them, not as they are kept.
    __match_args__ = (
        "topic",
        "partition",
        "offset",
        "key",
        "value",
        "headers",
        "timestamp",
        "attempt",
    )

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"Delivery({told})"

    @property
    def headers(self) -> Headers:
        """Names and bytes, in order."""
        return in_pairs(self._headers)

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[object, ...]:
        # For another process: what the headers say is read there again.
        plain = attrs.evolve(self, headers=self.headers)
        return object.__reduce_ex__(plain, protocol)

    @property
    def place(self) -> str:
        """`topic/partition@offset`: what logs and errors say instead of the payload."""
        return f"{self.topic}/{self.partition}@{self.offset}"

    @property
    def topic_partition(self) -> TopicPartition:
        """The partition that this delivery came from."""
        return TopicPartition(self.topic, self.partition)


# Not frozen either, for the same reason; nobody changes one.
@attrs.define(unsafe_hash=True)
class Receipt:
    """What `publish` returns: the transport has it, durably.

    Args:
        topic: The topic's name.
        partition: The partition's number.
        offset: The place in the partition.
        event_id: The id of the event, the same on every retry.
        transport: The name of the plugin that took it.
    """

    topic: str
    partition: int
    offset: int
    event_id: str = ""
    transport: str = ""
