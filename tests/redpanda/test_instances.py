"""Members with a name that outlives their process: which of them share one, and who says so."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from tests.kafka.topics import unique_name
from tests.redpanda.test_groups import fetch
from tests.system.workers import ORDERS, Place
from vectis.core.testing.contract import Member
from vectis_redpanda import RedpandaSettings, RedpandaTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from tests.kafka.fixtures import Shared

DEADLINE = 60.0

CONFIG = """
[plugins]
enable = ["bus", "redpanda"]

[redpanda]
bootstrap_servers = "{servers}"
group_instance_id = "shop-1"

[topics]
"{topic}" = ["order.created"]

[consumer]
group = "{topic}.shop"
processes = 2
"""


def test_members_of_one_supervisor_have_a_name_each(
    broker: Shared, new_topic: Callable[..., str], tmp_path: Path
) -> None:
    topic = new_topic(partitions=2)
    place = Place(tmp_path)
    place.module(ORDERS)
    (tmp_path / "vectis.toml").write_text(CONFIG.format(servers=broker.servers, topic=topic))
    worker = place.start()

    def shared() -> bool:
        found = re.findall(rf"^\[(\d)\] .* assigned {topic}/(\d)$", worker.said(), re.MULTILINE)
        return {number for _, number in found} == {"0", "1"} and len(dict(found)) == 2

    try:
        place.until(shared, "for each to have a partition of its own")
        assert worker.stop() == 0
    finally:
        worker.clear()


def test_two_processes_with_one_name_are_told_what_they_do_to_each_other(
    broker: Shared, new_topic: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    topic = new_topic(partitions=2)

    async def main() -> None:
        settings = RedpandaSettings(bootstrap_servers=broker.servers, group_instance_id="shop-1")
        reading, group = RedpandaTransport(settings), unique_name("group")
        async with Member(reading, topic, group) as one, Member(reading, topic, group) as other:
            while "was thrown out" not in caplog.text:
                await asyncio.gather(fetch(one), fetch(other))
        (said, *_) = [line for line in caplog.messages if "was thrown out" in line]
        assert group in said
        assert "[redpanda] group_instance_id, 'shop-1'" in said

    asyncio.run(asyncio.wait_for(main(), DEADLINE))
