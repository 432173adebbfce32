"""What aiokafka logs during an outage comes once in a while, and not ten times a second."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from vectis_redpanda import RedpandaSettings, RedpandaTransport

if TYPE_CHECKING:
    import pytest


def say(level: int, *numbers: int) -> None:
    for number in numbers:  # in one line of one file, as a retry does
        logging.getLogger("aiokafka.conn").log(level, "no connection to node %s", number)


def test_each_kind_of_line_comes_once_and_every_step_of_a_debug_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("aiokafka.conn")
    filters = logger.filters[:]
    logger.filters.clear()
    caplog.set_level(logging.DEBUG, "aiokafka.conn")
    try:
        for _ in range(2):  # two transports in one process
            RedpandaTransport(RedpandaSettings(bootstrap_servers="127.0.0.1:1"))
        say(logging.ERROR, *range(100))
        logger.error("something else")
        assert caplog.messages == ["no connection to node 0", "something else"]
        caplog.clear()
        say(logging.DEBUG, 1, 2)
        assert len(caplog.messages) == 2, "whoever asks for every step"
    finally:
        logger.filters[:] = filters
