"""A scenario around a SQLite file."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from tests.faults.stage import GROUP, TOPIC, TYPE, Stage
from tests.faults.steps import Publication, Record
from vectis.core import Hub
from vectis_sqlite import SqliteSettings, SqliteTransport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["SHORT_LEASE", "Scene"]

SHORT_LEASE = {"lease": 0.5}
"""For `[sqlite]`, where a scenario waits for the lease of a dead worker to run out."""


# The lease is long by default: a machine that stalls must not take partitions from the living.
CONFIG: dict[str, dict[str, Any]] = {
    "plugins": {"enable": ["bus", "commerce", "recorder", "sqlite"]},
    "hub": {"transport": "recorder"},
    "sqlite": {"path": "events.db", "lease": 5.0},
    "topics": {TOPIC: [TYPE]},
    "consumer": {
        "group": GROUP,
        "commit_interval": 0.02,
        "retry_initial": 0.01,
        "retry_max": 0.05,
    },
}

BARE = {"VECTIS_PLUGINS_DISABLE": "recorder", "VECTIS_HUB_TRANSPORT": "sqlite"}


class Scene(Stage):
    """A folder with a config, and a SQLite file that events are published into.

    Args:
        folder: An empty one.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, CONFIG, BARE)

    def publish(self, *payloads: dict[str, Any]) -> None:
        """Publish from this process; each payload has its `key` and its `id`."""

        async def main() -> None:
            hub = Hub({"sqlite": {"path": str(self.folder / "events.db")}})
            # Tasks start in the order they are made, so the order per key holds.
            calls = (hub.publish(TOPIC, TYPE, p, p["key"], event_id=p["id"]) for p in payloads)
            await asyncio.gather(*calls)
            await hub.shutdown()

        asyncio.run(main())
        for place, payload in enumerate(payloads, len(self.published)):
            self.published.append(Publication(payload["id"], TOPIC, payload["key"], place))

    def publish_bulk(self, payloads: Sequence[dict[str, Any]]) -> None:
        """Publish a backlog in bulk, with keys and without ids of its own."""

        async def main() -> None:
            hub = Hub({"sqlite": {"path": str(self.folder / "events.db")}})
            await hub.publish_many(
                TOPIC, [{"event_type": TYPE, "payload": p, "key": p["key"]} for p in payloads]
            )
            await hub.shutdown()

        asyncio.run(main())

    def transport(self) -> SqliteTransport:
        """The file, as another process sees it."""
        return SqliteTransport(SqliteSettings(path=str(self.folder / "events.db")))

    def committed(self, topic: str = TOPIC) -> dict[int, int]:
        """What the group has committed, by partition."""
        return {
            partition.number: partition.committed[GROUP]
            for state in self.transport().describe_topics()
            if state.name == topic
            for partition in state.partitions
            if GROUP in partition.committed
        }

    def behind(self) -> int:
        """How many records the group has not committed, in all topics but dead letters."""
        return sum(
            partition.end - partition.committed.get(GROUP, partition.start)
            for state in self.transport().describe_topics()
            if not state.name.endswith(".dlq")
            for partition in state.partitions
        )

    def log(self) -> list[Record]:
        """Everything in the file but dead letters, read as any other group would."""
        topics = [state.name for state in self.transport().describe_topics()]
        wanted = [topic for topic in topics if not topic.endswith(".dlq")]
        return asyncio.run(_read_all(self.transport(), wanted))


async def _read_all(transport: SqliteTransport, topics: list[str]) -> list[Record]:
    async def ignore(partitions: frozenset[Any]) -> None:
        """Nothing has to be done when partitions come or go."""

    consumer = transport.consumer(topics, f"history-{time.monotonic_ns()}")
    records = []
    await consumer.start(on_assigned=ignore, on_revoked=ignore)
    while fetched := await consumer.fetch(max_records=5_000, timeout=0):
        records += [
            Record(
                one.topic,
                one.partition,
                one.offset,
                None if one.key is None else one.key.decode(),
                dict(one.headers).get("ce_id", b"").decode(),
            )
            for one in fetched
        ]
    await consumer.close()
    return records
