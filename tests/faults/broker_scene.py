"""A scenario around a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.faults.stage import GROUP, TOPIC, TYPE, Stage
from tests.faults.steps import Publication, Record
from tests.faults.trace import sent_in
from tests.kafka.groups import behind
from tests.kafka.records import read_all
from tests.kafka.topics import create_topic

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.stage import Process

__all__ = ["BrokerScene"]

PARTITIONS = 4

CONFIG: dict[str, dict[str, Any]] = {
    "plugins": {"enable": ["bus", "recorder", "redpanda"]},
    # Some calls have to miss their deadline while a fault lasts.
    "hub": {"transport": "recorder", "publish_timeout": 1.5},
    "redpanda": {"request_timeout": 3.0, "session_timeout": 6.0},
    "topics": {TOPIC: [TYPE]},
    "consumer": {
        "group": GROUP,
        "commit_interval": 0.1,
        "retry_initial": 0.01,
        "retry_max": 0.05,
    },
}

BARE = {"VECTIS_PLUGINS_DISABLE": "recorder", "VECTIS_HUB_TRANSPORT": "redpanda"}

HANDLERS = """
@on_event("work.asked")
async def work(event_type: str, payload: dict) -> None:
    await asyncio.sleep(0)
"""


class BrokerScene(Stage):
    """A folder with a config, workers with one handler, and topics on a broker.

    Args:
        folder: An empty one.
        servers: The bootstrap servers that publishers and workers use.
        straight: Those of the same brokers that are not subject to the fault.
        copies: On how many brokers the topics are kept.
    """

    def __init__(self, folder: Path, servers: str, straight: str, copies: int) -> None:
        redpanda = {"bootstrap_servers": servers, **CONFIG["redpanda"]}
        super().__init__(folder, {**CONFIG, "redpanda": redpanda}, BARE)
        self.straight = straight
        self.handlers(HANDLERS)
        for topic in (TOPIC, f"{TOPIC}.dlq"):
            create_topic(straight, topic, partitions=PARTITIONS, copies=copies)

    def insistent(self) -> Process:
        """Start a publisher that goes on until `enough`."""
        return self._start("publisher", "tests.faults.insistent")

    def enough(self) -> None:
        """Have the publisher end once everything that it has begun is acknowledged."""
        (self.folder / "enough").touch()

    def until_more(self, count: int = 40) -> None:
        """Return when the workers have finished that many more: they work, by themselves."""
        wanted = self._finished() + count
        self.until(lambda: self._finished() >= wanted, f"for {count} more")

    def until_nothing_is_left(self) -> None:
        """Return when the group has committed everything there is."""
        self.until(lambda: behind(self.straight, GROUP, TOPIC) == 0, "for the rest", patience=300)

    def publications(self) -> list[Publication]:
        """What was published, as far as the publisher knew."""
        found: dict[str, Publication] = {}
        for place, one in enumerate(sent_in(self.folder)):
            known = found.get(one.id)
            if known is None:
                found[one.id] = Publication(one.id, one.topic, one.key, place, False, 1)
            else:
                acknowledged = known.acknowledged or one.what == "acknowledged"
                sends = known.sends + (one.what == "sending")
                found[one.id] = Publication(
                    one.id, one.topic, one.key, known.sequence, acknowledged, sends
                )
        return list(found.values())

    def log(self) -> list[Record]:
        """Everything in the topic, read by plain aiokafka."""
        return [
            Record(
                one.topic,
                one.partition,
                one.offset,
                None if one.key is None else one.key.decode(),
                dict(one.headers).get("ce_id", b"").decode(),
            )
            for one in read_all(self.straight, TOPIC)
        ]

    def _finished(self) -> int:
        traces = self.folder.glob("worker-*.trace")
        return sum(file.read_bytes().count(b'"finished"') for file in traces)
