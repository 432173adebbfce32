"""A transport that nobody ships: a folder of append-only files, to try the contract on.

Everything a stranger would write knowing `vectis.core`'s public names only. It is durable, serves
the members of one process, looks at its files every few milliseconds, and takes no message over a
limit.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from typing import TYPE_CHECKING, Any

from vectis.core.exceptions import LeaseLost, PublishError, TransportError
from vectis.core.message import Delivery, Message, Receipt, TopicPartition
from vectis.core.partition import fair_share, partition_of
from vectis.core.transport import Assigned, Carrier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LIMIT = 2_000_000
PARTITIONS = 4
EVERY = 0.002


def pack(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def unpack(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


class File:
    """Lines of JSON, appended by one process, read from anywhere."""

    def __init__(self, path: Path) -> None:
        self.lines: list[Any] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.read_bytes() if path.exists() else b""
        whole = whole[: whole.rfind(b"\n") + 1]  # what a killed process left half-written goes
        self.lines += [json.loads(line) for line in whole.splitlines()]
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.truncate(self._descriptor, len(whole))
        os.lseek(self._descriptor, 0, os.SEEK_END)

    def append(self, line: Any) -> None:
        os.write(self._descriptor, json.dumps(line).encode() + b"\n")
        self.lines.append(line)

    def close(self) -> None:
        os.close(self._descriptor)


class Group:
    def __init__(self) -> None:
        self.members: dict[FolderConsumer, Sequence[str]] = {}
        self.owners: dict[TopicPartition, FolderConsumer | None] = {}
        self.committed: dict[TopicPartition, int] = {}

    def remove(self, member: FolderConsumer) -> None:
        self.members.pop(member, None)
        self.owners.update({tp: None for tp, owner in self.owners.items() if owner is member})


class FolderTransport:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs: dict[TopicPartition, File] = {}
        self._groups: dict[str, Group] = {}
        self._turn = 0
        self._commits = File(folder / "commits")
        for group, topic, partition, offset in self._commits.lines:
            self.group(group).committed[TopicPartition(topic, partition)] = offset

    def carrier(self, topic: str) -> Carrier:
        return Carrier(send=self._send, close=self._close, describe=f"folder {self._folder}")

    def consumer(self, topics: Sequence[str], group: str | None) -> FolderConsumer:
        return FolderConsumer(self, topics, group)

    def group(self, name: str | None) -> Group:
        return Group() if name is None else self._groups.setdefault(name, Group())

    def log(self, where: TopicPartition) -> File:
        if where not in self._logs:
            self._logs[where] = File(self._folder / where.topic / str(where.partition))
        return self._logs[where]

    def commit(self, group: str, where: TopicPartition, offset: int) -> None:
        self.group(group).committed[where] = offset
        self._commits.append([group, *where, offset])

    def _send(self, message: Message) -> asyncio.Future[Receipt]:
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        if message.size > LIMIT:
            answer.set_exception(
                PublishError(f"{message.size} bytes are over the limit of {LIMIT}", fate="rejected")
            )
            return answer
        self._turn += 1
        number = self._turn if message.key is None else partition_of(message.key, PARTITIONS)
        where = TopicPartition(message.topic, number % PARTITIONS)
        log = self.log(where)
        headers = [[name, pack(value)] for name, value in message.headers]
        log.append([pack(message.key), pack(message.value), headers, time.time_ns() // 1_000_000])
        answer.set_result(Receipt(*where, len(log.lines) - 1, transport="folder"))
        return answer

    async def _close(self) -> None:
        for log in self._logs.values():
            log.close()
        self._logs.clear()


class FolderConsumer:
    def __init__(
        self, transport: FolderTransport, topics: Sequence[str], group: str | None
    ) -> None:
        self.group = group
        self.state = transport.group(group)
        self._transport = transport
        self._topics = topics
        self._at: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._callbacks: tuple[Assigned, Assigned] | None = None

    async def start(self, *, on_assigned: Assigned, on_revoked: Assigned) -> None:
        self._callbacks = on_assigned, on_revoked
        self._join()

    def _join(self) -> None:
        self.state.members[self] = self._topics
        for topic in self._topics:
            for number in range(PARTITIONS):
                self.state.owners.setdefault(TopicPartition(topic, number), None)

    async def fetch(self, *, max_records: int, timeout: float) -> list[Delivery]:
        deadline = time.monotonic() + timeout
        while True:
            await self._settle()
            found: list[Delivery] = []
            for where, at in [*self._at.items()]:
                if where not in self._paused:
                    lines = self._transport.log(where).lines[at : at + max_records - len(found)]
                    found += [delivery(where, at + n, line) for n, line in enumerate(lines)]
                    self._at[where] += len(lines)
            if found or time.monotonic() >= deadline:
                return found
            await asyncio.sleep(EVERY)

    async def _settle(self) -> None:
        if self._callbacks is None:
            raise TransportError("start it first")
        on_assigned, on_revoked = self._callbacks
        owners = self.state.owners
        if self not in self.state.members:
            self._join()
        share = fair_share(owners, self.state.members)
        gone = frozenset(tp for tp in self._at if share[tp] is not self or owners[tp] is not self)
        if gone:
            await on_revoked(gone)
            for where in gone:
                self._at.pop(where, None)
                self._paused.discard(where)
                if owners[where] is self:
                    owners[where] = None
        new = frozenset(
            tp for tp, owner in owners.items() if owner is None and share.get(tp) is self
        )
        for where in new:
            owners[where] = self
            self._at[where] = self.state.committed.get(where, 0)
        if new:
            await on_assigned(new)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self.group is None:
            raise TransportError("a reader has no group to commit for")
        lost = [tp for tp in offsets if self.state.owners.get(tp) is not self]
        for where, offset in offsets.items():
            if where not in lost:
                self._transport.commit(self.group, where, offset)
        if lost:
            raise LeaseLost(f"{lost} went to another member", partitions=lost)

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        if partition not in self._at:
            raise TransportError(f"{partition} is not assigned")
        self._at[partition] = offset

    async def committed(self, partition: TopicPartition, group: str | None = None) -> int | None:
        state = self.state if group is None else self._transport.group(group)
        return state.committed.get(partition)

    async def lag(self) -> Mapping[TopicPartition, int]:
        return {tp: len(self._transport.log(tp).lines) - at for tp, at in self._at.items()}

    async def ends(self) -> Mapping[TopicPartition, int]:
        return {tp: len(self._transport.log(tp).lines) for tp in self._at}

    def pause(self, *partitions: TopicPartition) -> None:
        self._paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self._paused.difference_update(partitions)

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._at)

    async def close(self) -> None:
        self._callbacks = None
        self._at.clear()
        self.state.remove(self)


def delivery(where: TopicPartition, offset: int, line: Any) -> Delivery:
    key, value, headers, timestamp = line
    names = tuple((name, unpack(data) or b"") for name, data in headers)
    return Delivery(*where, offset, unpack(key), unpack(value), names, timestamp)
