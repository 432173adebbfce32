"""What aiokafka logs, made fit: no password, and an outage is said once and not ten times a second.

aiokafka retries every tenth of a second and logs each try. The transport reports what fails itself,
with what to do about it; aiokafka's own lines stay, since they say more, but each kind of them
comes at most once in a while. Its DEBUG log shows the requests, the one with the password among
them.
"""

from __future__ import annotations

import logging
from time import monotonic

__all__ = ["quieten"]

EVERY = 30.0
"""Seconds in which a kind of line comes once."""

_LOGGERS = (
    "aiokafka",
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.consumer",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.producer",
    "aiokafka.producer.sender",
)


class _Redacted(logging.Filter):
    """Takes requests that log in out of a line."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                "SaslAuthenticateRequest(...)" if _logs_in(argument) else argument
                for argument in record.args
            )
        return True


def _logs_in(argument: object) -> bool:
    return type(argument).__name__.startswith("Sasl")


class _Once(logging.Filter):
    """Lets each kind of line of level INFO and above through once in a while.

    Args:
        seconds: How long the next one of its kind is kept back.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._last: dict[tuple[int, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.INFO:
            return True  # whoever wants to see every step sees every step
        kind, now = (record.lineno, str(record.msg)), monotonic()
        if now - self._last.get(kind, -self._seconds) < self._seconds:
            return False
        self._last[kind] = now
        return True


def quieten() -> None:
    """Put the filters on aiokafka's loggers, once in a process.

    They hold for the whole process, since aiokafka's loggers do. Remove them with
    `logging.getLogger("aiokafka.conn").filters.clear()`.
    """
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, _Redacted) for known in logger.filters):
            logger.addFilter(_Redacted())
            logger.addFilter(_Once(EVERY))
