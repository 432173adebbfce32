"""What Vectis costs on a real broker, beside aiokafka by hand and beside FastStream.

The broker is Apache Kafka, started here, unless VECTIS_TEST_BOOTSTRAP_SERVERS names another one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.kafka.broker import brokers
from tests.kafka.jars import Missing, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.figures import Figure

__all__ = ["broker_figures"]

_ELSEWHERE = "VECTIS_TEST_BOOTSTRAP_SERVERS"  # as in the tests
_BACKLOG = 1_000_000


def broker_figures(rounds: int, folder: Path) -> list[Figure]:
    """Measure on a broker; nothing without one, and a line that says what to install.

    Args:
        rounds: How often each competitor has its turn.
        folder: Where the broker keeps its records, and workers their logs.
    """
    # Here, because they need aiokafka, which none of the other parts does.
    from tests.bench.kafka.consuming import consuming_figures
    from tests.bench.kafka.crash import crash_figures
    from tests.bench.kafka.latency import latency_figures
    from tests.bench.kafka.memory import memory_figures
    from tests.bench.kafka.publishing import publishing_figures
    from tests.bench.kafka.records import fill, new_topic

    # A group that was never there has no coordinator in its first second.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    figures: list[Figure] = []
    try:
        with _servers(folder) as servers:
            figures += asyncio.run(
                publishing_figures(servers, new_topic(servers, "publishing"), 2 * rounds)
            )
            backlog = new_topic(servers, "backlog")
            asyncio.run(fill(servers, backlog, _BACKLOG))
            figures += asyncio.run(consuming_figures(servers, backlog, rounds, folder))
            figures += crash_figures(servers, backlog, _BACKLOG, folder)
            figures += memory_figures(servers, backlog, _BACKLOG, folder)
            figures += asyncio.run(latency_figures(servers, new_topic(servers, "latency"), folder))
    except Missing as missing:
        print(f"the part broker is left out: {missing}", file=sys.stderr)
    return figures


@contextmanager
def _servers(folder: Path) -> Iterator[str]:
    elsewhere = os.environ.get(_ELSEWHERE)
    if elsewhere:
        yield elsewhere
        return
    with brokers(folder / "broker", fetch()) as (one,):
        yield one.servers
