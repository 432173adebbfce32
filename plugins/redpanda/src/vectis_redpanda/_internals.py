"""What is needed of aiokafka beyond its public names, all in one place, each with the reason.

It was read in aiokafka 0.14. Whatever breaks with another version breaks here, and the contract
tests show it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any

from aiokafka import errors
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.cluster import ClusterMetadata
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.metadata import MetadataRequest

from vectis.core.message import TopicPartition
from vectis_redpanda._internals_connections import with_names

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
    from aiokafka import TopicPartition as KafkaPartition
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.producer.message_accumulator import BatchBuilder

__all__ = [
    "NOBODY",
    "check_group",
    "committed_offsets",
    "create_no_topics",
    "drop_consumer",
    "drop_producer",
    "enqueued",
    "guard_commits",
    "has_ended",
    "knows_controller",
    "membership",
    "note_records",
    "partitions_of",
    "records_of",
    "refresh",
]

NOBODY = -1
"""The generation of who is not in the group, or not any more."""

_AGAIN = 0.1  # seconds until a coordinator that is not ready is asked again
_WAIT = 1.0  # seconds for what was cancelled to give way


async def drop_producer(producer: AIOKafkaProducer) -> None:
    """Close a producer at once, whatever it still has to send.

    `stop` waits until everything is sent, which with a dead broker is for ever (#1101).
    """
    producer._closed = True  # else its finaliser warns that nobody has stopped it
    sender = producer._sender.sender_task
    with contextlib.suppress(asyncio.TimeoutError, errors.KafkaError, OSError):
        async with asyncio.timeout(_WAIT):
            await producer.client.close()
    if sender is not None:
        await _cancelled(sender)


async def drop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Close a consumer at once, without leaving its group.

    `stop` waits for a coordinator that may never answer (#773).
    """
    consumer._closed = True
    coordinator, fetcher = consumer._coordinator, consumer._fetcher
    tasks = [
        getattr(coordinator, "_coordination_task", None),
        getattr(coordinator, "_heartbeat_task", None),
        getattr(coordinator, "_commit_refresh_task", None),
        getattr(coordinator, "_reset_committed_task", None),
        getattr(fetcher, "_fetch_task", None),
        *getattr(fetcher, "_pending_tasks", ()),
    ]
    for task in tasks:
        if task is not None:
            await _cancelled(task)
    with contextlib.suppress(asyncio.TimeoutError, errors.KafkaError, OSError):
        async with asyncio.timeout(_WAIT):
            await consumer._client.close()


async def _cancelled(task: asyncio.Task[Any]) -> None:
    # More than once: a sender that is cancelled first waits for what it has under way.
    for _ in range(3):
        if task.done():
            break
        task.cancel()
        await asyncio.wait([task], timeout=_WAIT / 3)
    if task.done() and not task.cancelled():
        task.exception()  # seen, so that nobody is told that it was not


def membership(consumer: AIOKafkaConsumer) -> int:
    """Return the generation of the group in which this member is, or `NOBODY` when it is in none.

    A commit outside of every generation would be taken by a group without members, and so one of a
    member that was thrown out must not be tried.
    """
    return int(consumer._coordinator.generation)


def check_group(consumer: AIOKafkaConsumer) -> None:
    """Raise what stands between a member and its group, if something does.

    aiokafka tells it only to somebody who asks for records, which has to wait for the group.
    """
    consumer._coordinator.check_errors()


def guard_commits(consumer: AIOKafkaConsumer, counted_in: Callable[[], bool]) -> None:
    """Have no commit sent once this member is not counted in any more.

    aiokafka sends one with the generation of that moment, again and again while the coordinator is
    away. That of a member that has lost its group meanwhile is in none, which a group without
    members takes, or in a later one: offsets of others would go back.
    """
    send = consumer._coordinator._do_commit_offsets

    async def guarded(assignment: Any, offsets: Any) -> None:
        if not counted_in():
            raise errors.IllegalGenerationError(consumer._group_id)
        await send(assignment, offsets)  # it makes the request before it waits for anything

    consumer._coordinator._do_commit_offsets = guarded


def has_ended(consumer: AIOKafkaConsumer) -> bool:
    """Tell whether a consumer has ended for good by itself (#847, #1037)."""
    coordinator, fetcher = consumer._coordinator, consumer._fetcher
    task = getattr(coordinator, "_coordination_task", None)
    return fetcher is None or fetcher._fetch_task.done() or (task is not None and task.done())


def create_no_topics(consumer: AIOKafkaConsumer) -> None:
    """Have a consumer that has not started yet look at topics without creating any.

    aiokafka asks again and again for the topics that are read, in a way that has the broker create
    those that are not there, and takes no option for it. So its method runs as it is, only with
    another kind of request under the name that it calls.
    """
    asking = partial(MetadataRequest, allow_auto_topic_creation=False)
    client = consumer._client
    client._metadata_update = with_names(client, "_metadata_update", MetadataRequest=asking)


def refresh(consumer: AIOKafkaConsumer) -> None:
    """Have the consumer ask again which topics and partitions there are."""
    consumer._client.force_metadata_update()


def records_of(batch: BatchBuilder) -> Any:
    """Return what writes the records of a batch: `append(number, ms, key, value, headers)`.

    The batch's own `append` costs twice as much. Whoever goes around it calls `note_records`.
    """
    return batch._builder


def note_records(batch: BatchBuilder, count: int) -> None:
    """Let a batch know how many records were written."""
    batch._relative_offset = count


def enqueued(
    producer: AIOKafkaProducer, batch: BatchBuilder, partition: KafkaPartition
) -> asyncio.Future[Any]:
    """Hand a batch over, and return the future of the broker's answer.

    `send_batch` would wait for what is known already: that the topic is there, and that nothing
    else is under way to the partition. With a dozen messages in a batch that is a twentieth of what
    they cost.

    Raises:
        KafkaError: The producer has ended.
    """
    accumulator = producer._message_accumulator
    if accumulator._closed:
        raise errors.ProducerClosed
    if accumulator._exception is not None:
        raise copy(accumulator._exception)
    answer: asyncio.Future[Any] = accumulator._append_batch(batch, partition).future
    return answer


async def knows_controller(admin: AIOKafkaAdminClient) -> bool:
    """Tell whether there is a broker that makes topics; aiokafka fails unkindly without.

    One that has just started knows of none, not even of itself.
    """
    client = admin._client
    if client.cluster.controller is None:
        await client.force_metadata_update()
    return client.cluster.controller is not None


async def partitions_of(
    consumer: AIOKafkaConsumer, topics: Iterable[str]
) -> dict[str, tuple[int, ...]]:
    """Return the partitions of those topics that exist; none is created by asking.

    aiokafka's own way of asking has the broker create topics.

    Raises:
        KafkaError: The broker does not answer, or this user may not know of one of the topics.
    """
    client: AIOKafkaClient = consumer._client
    cluster = ClusterMetadata()
    request = MetadataRequest(list(topics), allow_auto_topic_creation=False)
    cluster.need_all_topic_metadata = True  # so that it logs no error for one that is not there
    response = await _sent(client, _some_node(client), request)
    for code, topic, *_ in response.topics:
        if errors.for_code(code) is errors.TopicAuthorizationFailedError:
            raise errors.TopicAuthorizationFailedError(topic)
    cluster.update_metadata(response)
    found = {topic: cluster.partitions_for_topic(topic) for topic in cluster.topics(False)}
    return {topic: tuple(sorted(numbers)) for topic, numbers in found.items() if numbers}


async def committed_offsets(
    consumer: AIOKafkaConsumer, group: str, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, int]:
    """Return the offsets that a group has committed, of those partitions that have one.

    In one request and for any group: `committed` asks for one partition of the own group at a time.
    """
    client: AIOKafkaClient = consumer._client
    own = consumer._coordinator.coordinator_id if group == consumer._group_id else None
    wanted: defaultdict[str, list[int]] = defaultdict(list)
    for topic, number in partitions:
        wanted[topic].append(number)
    while True:
        try:
            node = await _coordinator(client, group) if own is None else own
            request = OffsetFetchRequest(group, list(wanted.items()))
            return _offsets(await _sent(client, node, request))
        except errors.KafkaError as error:
            if not error.retriable:
                raise
            own = None
            client.force_metadata_update()
            await asyncio.sleep(_AGAIN)


async def _coordinator(client: AIOKafkaClient, group: str) -> Any:
    request = FindCoordinatorRequest(group, CoordinationType.GROUP)
    response = await _sent(client, _some_node(client), request)
    if response.error_code:
        raise errors.for_code(response.error_code)()
    return response.coordinator_id


async def _sent(client: AIOKafkaClient, node: Any, request: Any) -> Any:
    # On the connection for groups: on the other one a fetch that waits for records comes first.
    return await client.send(node, request, group=ConnectionGroup.COORDINATION)


def _offsets(response: Any) -> dict[TopicPartition, int]:
    offsets = {}
    for topic, partitions in response.topics:
        for number, offset, _, code in partitions:
            error = errors.for_code(code)
            if error is errors.UnknownTopicOrPartitionError:
                continue
            if error is not errors.NoError:
                raise error()
            if offset >= 0:
                offsets[TopicPartition(topic, number)] = int(offset)
    code = getattr(response, "error_code", 0)
    if code:
        raise errors.for_code(code)()
    return offsets


def _some_node(client: AIOKafkaClient) -> Any:
    node = client.get_random_node()
    if node is None:
        raise errors.NodeNotReadyError("no broker is known")
    return node
