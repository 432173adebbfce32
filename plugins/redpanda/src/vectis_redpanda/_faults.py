"""What the errors of brokers mean, in words: what happened, and which key to change.

What happened while connecting is told by `_diagnosis`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import errors

from vectis.core.exceptions import PublishError, TransportError
from vectis.core.redact import one_line

if TYPE_CHECKING:
    from vectis.core.exceptions import Fate
    from vectis.core.message import TopicPartition

__all__ = [
    "BLAMED",
    "DISPLACED",
    "TOO_LARGE",
    "explained",
    "missing_topic",
    "out_of_range",
    "unpublished",
    "unreadable",
]

TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
"""The batch is larger than the broker takes; it says nothing about which message is."""


class _InvalidRecordError(errors.BrokerResponseError):  # type: ignore[misc]
    errno = 87
    message = "INVALID_RECORD"
    description = "This record has failed the validation on the broker."


# aiokafka 0.14 does not know this number, and makes of it what it makes of a broker's own failure.
InvalidRecordError = errors.kafka_errors.setdefault(87, _InvalidRecordError)

BLAMED = (*TOO_LARGE, InvalidRecordError, errors.InvalidTimestampError)
"""Nothing of the batch was written, and one message of it may be to blame."""

DISPLACED = (
    errors.OutOfOrderSequenceNumber,
    errors.UnknownProducerId,
    errors.InvalidProducerIdMapping,
    errors.InvalidProducerEpoch,
    errors.ProducerFenced,
    errors.ProducerClosed,
)
"""Nothing was written, and nothing will be through this producer: the place in the sequence of its
batches is lost. Another one can send the same again (aiokafka #1017)."""

_REFUSED = (
    *BLAMED,
    errors.TopicAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
    errors.InvalidTopicError,
    errors.PolicyViolationError,
    errors.InvalidRequiredAcksError,
    errors.UnsupportedForMessageFormatError,
)


def missing_topic(topic: str) -> str:
    """Say that a topic does not exist, and how to make it."""
    return (
        f"topic {topic} does not exist, and the broker does not create it by itself: "
        f"`vectis topics create {topic}`"
    )


def explained(error: BaseException, *, topic: str | None = None, group: str | None = None) -> str:
    """Return what an error means, and what to do.

    Args:
        error: What aiokafka raised.
        topic: The topic that was asked for, if one was.
        group: The consumer group, likewise.
    """
    if isinstance(error, errors.TopicAuthorizationFailedError):
        return (
            f"this user may not use topic {topic or _argument(error)}: have it allowed on the "
            "broker, or log in as another one ([redpanda] sasl_username or ssl_certfile)"
        )
    if isinstance(error, errors.GroupAuthorizationFailedError):
        return (
            f"this user may not join group {group or _argument(error)}: have it allowed on the "
            "broker, or log in as another one ([redpanda] sasl_username or ssl_certfile)"
        )
    if isinstance(error, errors.ClusterAuthorizationFailedError):
        return (
            "this user may not write in order and without duplicates (IdempotentWrite on the "
            "cluster): have it allowed on the broker"
        )
    if isinstance(error, errors.UnknownTopicOrPartitionError) and topic is not None:
        return missing_topic(topic)
    if isinstance(error, errors.InvalidTopicError):
        return f"the broker does not take {topic or _argument(error)!r} for a topic's name"
    if isinstance(error, InvalidRecordError):
        return (
            "the broker refuses the message as invalid (INVALID_RECORD): a compacted topic takes "
            "none without a key, give it one; if it has one, the broker's log says what is wrong"
        )
    if isinstance(error, errors.InconsistentGroupProtocolError):
        return (
            f"group {group} is in use by members that share partitions in another way: "
            "stop them, or choose another name in [consumer] group"
        )
    if isinstance(error, errors.UnsupportedCodecError):
        return (
            f"it is compressed in a way that is not known here ({_argument(error)}); all but gzip "
            "need the package cramjam: `pip install cramjam`, and start again"
        )
    if isinstance(error, errors.InvalidSessionTimeoutError):
        return "the broker does not allow [redpanda] session_timeout: choose another one"
    # The text of aiokafka's errors begins with their name, too.
    text = _argument(error) if isinstance(error, errors.KafkaError) else one_line(str(error))
    if type(error) is errors.KafkaError and group is not None:
        return (
            f"aiokafka cannot follow what happens in group {group} ({text}): there may be members "
            "of another kind in it. Stop them, or choose another name in [consumer] group"
        )
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def out_of_range(where: TopicPartition, wanted: int, offset: int) -> str:
    """Say that an offset is not there, at which one reading goes on, and why.

    Args:
        where: The partition.
        wanted: What was to be read.
        offset: What is read instead.
    """
    why = "the partition ends there, so the topic was made anew, or lost records with a broker"
    if offset > wanted:
        why = (
            f"{offset - wanted:,} offsets were deleted before they were read: see retention.ms "
            "and retention.bytes of the topic"
        )
    return f"{where} has no offset {wanted}, reading goes on at {offset}: {why}"


def unreadable(
    where: TopicPartition, offset: int, error: BaseException, group: str | None, again: float
) -> str:
    """Say that a partition stands still, at which record and why, and how it goes on.

    Args:
        where: The partition.
        offset: What is to be read next.
        error: What was raised instead.
        group: The consumer group that reads, if one does.
        again: Seconds until it is tried again.
    """
    said = (
        f"{where} cannot be read on from offset {offset} and stands still there, the other "
        f"partitions go on: {explained(error, topic=where.topic, group=group)}. "
        f"It is tried again every {again:g} s"
    )
    known = (errors.UnsupportedCodecError, errors.TopicAuthorizationFailedError)
    if isinstance(error, known) or group is None:
        return said
    return (
        f"{said}. To go on without what cannot be read, stop the workers and move the group behind "
        f"it: `kafka-consumer-groups.sh --reset-offsets --group {group} "
        f"--topic {where.topic}:{where.partition} --to-offset ... --execute`, or `rpk group seek`"
    )


def unpublished(
    error: BaseException, topic: str, size: int, largest: int | None = None, *, sent: bool = True
) -> PublishError:
    """Return the error for whoever sent a message that a broker did not take.

    Args:
        error: What aiokafka raised.
        topic: The topic.
        size: Bytes of the message.
        largest: Bytes that the topic takes, when it is known.
        sent: Whether it may have reached a broker.
    """
    if isinstance(error, TOO_LARGE):
        limit = "" if largest is None else f"the {largest:,} that "
        return PublishError(
            f"{topic}: {size:,} bytes are more than {limit}max.message.bytes of the topic allows: "
            "raise it there, or send a reference to the data instead",
            fate="rejected",
        )
    if isinstance(error, TransportError):
        return PublishError(f"{topic}: {error}", fate="not_sent")
    fate: Fate = "unknown" if sent else "not_sent"
    if isinstance(error, _REFUSED):
        fate = "rejected"
    return PublishError(f"{topic}: {explained(error, topic=topic)}", fate=fate)


def _argument(error: BaseException) -> str:
    return one_line(", ".join(map(str, error.args)))
