"""A scenario around a broker."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tests.faults.stage import GROUP, TOPIC, TYPE, Stage
from tests.faults.steps import Publication, Record
from tests.faults.trace import sent_in
from tests.kafka.groups import behind
from tests.kafka.records import read_all
from tests.kafka.topics import create_topic

if TYPE_CHECKING:
    from collections.abc import Sequence
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
    await asyncio.sleep(0.02)  # so that something runs whenever partitions change hands
"""


class BrokerScene(Stage):
    """A folder with a config, workers with one handler, and topics on a broker.

    Args:
        folder: An empty one.
        servers: The bootstrap servers that publishers and workers use.
        straight: Those of the same brokers that are not subject to the fault.
        copies: On how many brokers the topics are kept.
        topics: What is published to.
    """

    def __init__(
        self,
        folder: Path,
        servers: str,
        straight: str,
        copies: int,
        topics: Sequence[str] = (TOPIC,),
    ) -> None:
        self._topics = topics
        redpanda = {"bootstrap_servers": servers, **CONFIG["redpanda"]}
        super().__init__(folder, {**CONFIG, "redpanda": redpanda}, BARE)
        self.straight = straight
        self.handlers(HANDLERS)
        for topic in topics:
            for name in (topic, f"{topic}.dlq"):
                create_topic(straight, name, partitions=PARTITIONS, copies=copies)

    def insistent(self) -> Process:
        """Start a publisher that goes on until `enough`."""
        return self._start("publisher", "tests.faults.insistent")

    def enough(self) -> None:
        """Have the publisher end once everything that it has begun is acknowledged."""
        (self.folder / "enough").touch()

    def until_more(self, count: int = 40) -> None:
        """Return when the workers have finished that many more: they work, by themselves."""
        self.until_finished(self._finished() + count)

    def until_finished(self, count: int) -> None:
        """Return when the workers have finished that many."""
        self.until(lambda: self._finished() >= count, f"for {count} to be finished")

    def until_nothing_is_left(self) -> None:
        """Return when the group has committed everything there is."""
        for topic in self._topics:
            self.until(partial(self._all_done, topic), f"for {topic}", patience=300)

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
        """Everything in the topics, read by plain aiokafka."""
        return [
            Record(
                one.topic,
                one.partition,
                one.offset,
                None if one.key is None else one.key.decode(),
                dict(one.headers).get("ce_id", b"").decode(),
            )
            for topic in self._topics
            for one in read_all(self.straight, topic)
        ]

    def _all_done(self, topic: str) -> bool:
        return behind(self.straight, GROUP, topic) == 0

    def _finished(self) -> int:
        traces = self.folder.glob("worker-*.trace")
        return sum(file.read_bytes().count(b'"finished"') for file in traces)
