"""What is needed of aiokafka's received records beyond its public names; belongs to `_internals`.

It was read in aiokafka 0.14. Whatever breaks with another version breaks here, and the tests in
`tests/redpanda/test_unreadable.py` show it.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import errors
from aiokafka.client import ConnectionGroup
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchError, PartitionRecords
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.util import decode_varint_py

from vectis.core.codec import read_headers
from vectis.core.message import Delivery

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from aiokafka import AIOKafkaConsumer
    from aiokafka import TopicPartition as KafkaPartition

__all__ = ["Failed", "Taken", "fetched_again", "taken", "unpacked_again"]

_EVERYTHING = sys.maxsize
_LENGTH, _BEHIND_LENGTH, _MAGIC = slice(8, 12), 12, 16  # in the bytes of a batch
_HEADERS = 2  # the first layout of batches with headers, and with offsets for the whole batch


class Failed(NamedTuple):
    """Why nothing more came from a partition."""

    error: Exception
    offset: int
    """What is to come next from it."""
    unpacking: bool
    """Whether the records are there, and aiokafka cannot read them."""


class Taken(NamedTuple):
    """What came from partitions, and what kept more from coming."""

    records: dict[KafkaPartition, list[Delivery]]
    failed: dict[KafkaPartition, Failed]


async def taken(
    consumer: AIOKafkaConsumer, partitions: Collection[Any], seconds: float, most: int
) -> Taken:
    """Return what is there of partitions, or comes in time, as deliveries.

    As `getmany`, but fairly and quickly, and nothing gets lost. `getmany` empties one partition
    before the next, and looks for each of them in a list of all: with 500 partitions that took
    three quarters of the time. And when one cannot be read, it throws away what it has just taken
    from the others, behind which they go on then.

    Args:
        consumer: It.
        partitions: At least one.
        seconds: How long to wait when there is nothing.
        most: How many records.

    Raises:
        KafkaError: What stands in the way of all partitions; nothing was taken.
    """
    if consumer._closed:
        raise errors.ConsumerStoppedError
    consumer._coordinator.check_errors()
    fetcher, subscription = consumer._fetcher, consumer._subscription
    until = monotonic() + seconds
    with subscription.fetch_context():
        while True:
            if subscription.reassignment_in_progress:
                await subscription.wait_for_assignment()
            found = _drained(fetcher, partitions, most)  # from here on nothing is waited for
            left = until - monotonic()
            if found.records or found.failed or left <= 0 or fetcher._closed:
                return found
            try:
                async with asyncio.timeout(left):
                    await fetcher._create_fetch_waiter()
            except TimeoutError:
                return found


def _drained(fetcher: Any, partitions: Collection[Any], most: int) -> Taken:
    found = Taken({}, {})
    for partition in [*fetcher._records]:
        if partition not in partitions:
            if not fetcher._subscriptions.is_assigned(partition):
                gone = fetcher._records.pop(partition)
                _let_go(getattr(gone, "_partition_records", None))  # an error has none
            continue
        received = fetcher._records[partition]
        if isinstance(received, FetchError):
            del fetcher._records[partition]
            failed = _told(fetcher, partition, received._error)
            if failed is not None:
                found.failed[partition] = failed
            continue
        records, error = _unpacked(partition, received, most)
        if records:
            found.records[partition] = records
            most -= len(records)
        if error is not None:
            # Asked for again at once, it would come again as it is.
            del fetcher._records[partition]
            found.failed[partition] = error
        elif received.has_more():
            fetcher._records.move_to_end(partition)  # it waits until the others had a turn
        else:
            del fetcher._records[partition]
            fetcher._notify(fetcher._wait_consume_future)
        if not most:
            break
    return found


def _unpacked(
    partition: KafkaPartition, received: Any, most: int
) -> tuple[list[Delivery], Failed | None]:
    """Take records, up to the first one that cannot be read, and move the partition on."""
    records: list[Delivery] = []
    source = received._partition_records
    if not received.check_assignment(partition):
        _let_go(source)
        return records, None  # it came for an earlier assignment, or from another offset
    failed: Exception | None = None
    runs = _in_runs(source)
    try:
        while len(records) < most:
            runs.room, runs.first = most - len(records), source.next_fetch_offset
            run = next(source)
            records += run
            run.clear()  # aiokafka's generator keeps it until the partition's next turn
    except StopIteration:
        received._partition_records = None
    except Exception as error:
        # Its frames hold what was fetched, and this one holds it.
        failed = error.with_traceback(None)
        failed.__cause__ = failed.__context__ = None
    received._assignment.state_value(partition).consumed_to(source.next_fetch_offset)
    if failed is not None:
        return records, Failed(failed, source.next_fetch_offset, unpacking=True)
    return records, None


def _let_go(source: PartitionRecords | None) -> None:
    """Have what was fetched go with who refers to it: aiokafka's generator refers to itself."""
    if source is not None:
        source._records_iterator = None


def _told(fetcher: Any, partition: KafkaPartition, error: Exception) -> Failed | None:
    """Return what a broker told of a partition; None when it is not about where it stands now."""
    assignment = fetcher._subscriptions.subscription.assignment
    state = None if assignment is None else assignment.state_value(partition)
    if state is None or not state.has_valid_position:
        return None
    if isinstance(error, errors.RecordTooLargeError):
        state.consumed_to(state.position - 1)  # aiokafka has passed over it
    moved = isinstance(error, errors.OffsetOutOfRangeError) and (
        error.args[0].get(partition) != state.position
    )
    if moved:
        return None
    return Failed(error, state.position, unpacking=False)


class _Run(NamedTuple):
    """Records of one batch, one after another, in the place of a single one."""

    deliveries: list[Delivery]
    offset: int  # of the last one


class _Runs:
    """Batches that give their records in runs, in the place of aiokafka's `MemoryRecords`.

    What batches mean, with their checksums, transactions and gaps, stays aiokafka's business. Going
    through it with each record costs more than unpacking that record does.

    Nothing here may refer to aiokafka's records of the partition, which refer to this: what a fetch
    has brought would stay until the collector looks for cycles, and the worker's seldom does.

    Args:
        batches: aiokafka's.
        partition: Where they come from.
        first: The offset that is to come next; the first batch may begin below it.

    Attributes:
        room: How many records the next run may have, at least one.
    """

    def __init__(self, batches: Any, partition: KafkaPartition, first: int) -> None:
        self.partition = partition
        self.first = first
        self.room = 1
        self._batches = batches

    def has_next(self) -> bool:
        """Return whether there is another batch."""
        return bool(self._batches.has_next())

    def next_batch(self) -> _Batch | None:
        """Return the next batch."""
        batch = self._batches.next_batch()
        return None if batch is None else _Batch(batch, self)


class _Batch:
    """A batch of aiokafka's that gives its records in runs."""

    def __init__(self, batch: Any, runs: _Runs) -> None:
        self._batch = batch
        self._runs = runs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)  # of a control batch, whose records are nobody's to take

    def __iter__(self) -> Iterator[_Run]:
        runs = self._runs
        deliveries = _deliveries(runs.partition, runs.first, self._batch)
        failed: Exception | None = None
        while failed is None:
            run: list[Delivery] = []
            try:
                run.extend(islice(deliveries, runs.room))  # what comes before an error is kept
            except Exception as error:
                failed = error
            if run:
                yield _Run(run, run[-1].offset)
            elif failed is None:
                return
        try:
            raise failed
        finally:
            del failed  # it holds this frame


def _in_runs(source: PartitionRecords) -> _Runs:
    """Have aiokafka's records of one partition come in runs."""
    runs = source._records
    if not isinstance(runs, _Runs):
        runs = source._records = _Runs(runs, source._tp, source.next_fetch_offset)
        source._consumer_record = _of_run
    return runs


def _of_run(partition: KafkaPartition, run: _Run) -> list[Delivery]:
    return run.deliveries


def _deliveries(partition: KafkaPartition, first: int, batch: Any) -> Iterator[Delivery]:
    (topic, number), end = partition, batch.next_offset
    for record in batch:
        offset = record.offset
        if offset < first:
            # A batch comes as a whole, also to who wants the rest of it. And brokers do not look at
            # the offsets in it: of two that are the same one counts, as with aiokafka.
            continue
        if offset >= end:
            raise errors.CorruptRecordException(f"offset {offset} in a batch that ends at {end}")
        first = offset + 1
        headers = read_headers(record.headers)
        yield Delivery(topic, number, offset, record.key, record.value, headers, record.timestamp)


# ------------------------------------------------------------ what aiokafka cannot read


async def fetched_again(
    consumer: AIOKafkaConsumer, partition: KafkaPartition, offset: int
) -> tuple[bytes, Any]:
    """Return the bytes of the batches at an offset, and the transactions in them that were aborted.

    aiokafka keeps neither when it cannot read a record.

    Raises:
        KafkaError: The broker does not give them, now at least.
    """
    client, size = consumer._client, consumer._fetcher._max_partition_fetch_bytes
    topic, number = partition
    node = client.cluster.leader_for_partition(partition)
    if node is None or node == -1:
        raise errors.LeaderNotAvailableError(partition)
    asked = [(topic, [(number, offset, size)])]
    request = FetchRequest(0, 1, size, READ_COMMITTED, asked)
    # On the connection for groups: on the other one a fetch that waits for records comes first.
    response = await client.send(node, request, group=ConnectionGroup.COORDINATION)
    answered = [one for _, each in response.topics for one in each if one[0] == number]
    if not answered:  # so a broker holds back who has had more than its quota
        raise errors.QuotaViolationError(partition)
    _, code, _, *rest = answered[0]
    if code:
        raise errors.for_code(code)(partition)
    return rest[-1], rest[2] if response.API_VERSION >= 11 else rest[-2]


def unpacked_again(
    partition: KafkaPartition, offset: int, batches: bytes, aborted: Any
) -> tuple[list[Delivery], int]:
    """Return the deliveries of the first batch, from an offset on, and the offset behind it.

    A header's name need not be UTF-8 here: what is not comes as `\\\\xff`.

    Raises:
        Exception: It cannot be read in this way either.
    """
    source = PartitionRecords(
        partition, _First(batches), aborted, offset, None, None, True, READ_COMMITTED
    )
    _in_runs(source).room = _EVERYTHING
    return [delivery for run in source for delivery in run], source.next_fetch_offset


class _First:
    """The first of several batches, in the place of aiokafka's `MemoryRecords`."""

    def __init__(self, batches: bytes) -> None:
        end = _BEHIND_LENGTH + int.from_bytes(batches[_LENGTH], "big")
        if not _MAGIC < end <= len(batches) or batches[_MAGIC] < _HEADERS:
            raise errors.CorruptRecordException("no batch that could be read in another way")
        self._batch: _Lenient | None = _Lenient(batches[:end])

    def has_next(self) -> bool:
        return self._batch is not None

    def next_batch(self) -> _Lenient | None:
        batch, self._batch = self._batch, None
        return batch


class _Lenient(_DefaultRecordBatchPy):  # type: ignore[misc]
    """A batch in which the names of headers may be any bytes."""

    _buffer: bytearray

    def _read_msg(self) -> Any:
        # Not aiokafka's in C: with a length that is none it reads beyond the batch.
        return super()._read_msg(decode_varint_py)

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Names(self._buffer)


class _Names(bytearray):
    """Bytes with parts that are made a text whatever they are."""

    def __getitem__(self, where: Any) -> Any:
        part = super().__getitem__(where)
        return _Names(part) if isinstance(where, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)
