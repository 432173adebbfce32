"""A delivery set aside: its original bytes, the reason, and where it came from.

Here is what is written. The worker decides when, and `vectis.core.letters` reads it again.
"""

from __future__ import annotations

import attrs
import orjson

from vectis.core.message import Delivery, Message
from vectis.core.redact import one_line

__all__ = [
    "HISTORY",
    "NAME_LIMIT",
    "PREFIX",
    "SUFFIX",
    "DeadLetter",
    "Round",
    "is_name",
    "topic_of",
]

SUFFIX = ".dlq"
"""What a topic's name is followed by in the name of its dead-letter topic."""

PREFIX = "vectis_dlq_"
"""What the names of the headers that say why begin with."""

HISTORY = 10
"""How many earlier rounds a letter keeps, the last ones."""

NAME_LIMIT = 500
"""How many bytes the name of a group, a handler, a plugin or a topic has at most in a letter."""

_REASON_LIMIT = 1000
_EARLIER_LIMIT = 200  # characters of the reason of an earlier round


def topic_of(topic: str) -> str:
    """Return the dead-letter topic of a topic.

    Example:
        >>> from vectis.core.dead_letter import topic_of
        >>> topic_of("vectis.orders")
        'vectis.orders.dlq'
    """
    return topic + SUFFIX


def is_name(text: str) -> bool:
    """Tell whether a letter may name this as its group or its handler: printable, and not too long.

    Whoever reads a letter takes no other names, so whoever writes one has to know before.

    Example:
        >>> from vectis.core.dead_letter import is_name
        >>> is_name("app:sync_erp"), is_name("two\\nlines"), is_name("x" * 501)
        (True, False, False)
    """
    # What can be printed can be encoded too.
    return bool(text) and text.isprintable() and len(text.encode()) <= NAME_LIMIT


def _reason(text: str) -> str:
    return one_line(text, _REASON_LIMIT)


def _earlier(text: str) -> str:
    return one_line(text, _EARLIER_LIMIT)


@attrs.frozen(kw_only=True)
class Round:
    """An earlier time that the delivery was set aside, before it was replayed.

    Args:
        timestamp: When, in milliseconds since 1970.
        error: The error then, on one line, of bounded length.
        attempts: How often the handler was tried then.
    """

    timestamp: int
    error: str = attrs.field(converter=_earlier)
    attempts: int


@attrs.frozen(kw_only=True)
class DeadLetter:
    """A delivery that was set aside, and why.

    Args:
        delivery: The delivery, untouched.
        group: The consumer group that set it aside.
        handler: `plugin:name` of the handler that failed; empty when it never got that far.
        plugin: The plugin that owns the handler; empty likewise.
        error: The last error, on one line, of bounded length.
        attempts: How often the handler was tried.
        replays: How often it was replayed, and failed again.
        history: Those earlier rounds, the last `HISTORY` of them.
    """

    delivery: Delivery
    group: str
    handler: str = ""
    plugin: str = ""
    error: str = attrs.field(converter=_reason)
    attempts: int = 0
    replays: int = 0
    history: tuple[Round, ...] = ()

    @property
    def topic(self) -> str:
        """The dead-letter topic it goes to."""
        return topic_of(self.delivery.topic)

    def message(self) -> Message:
        """Return what is written: the original key, bytes and headers, then `vectis_dlq_*` headers.

        The original headers stay as they are, even those that look like ours: readers take the
        last ones.

        Example:
            >>> from vectis.core.dead_letter import DeadLetter
            >>> from vectis.core.message import Delivery
            >>> broken = Delivery("vectis.orders", partition=0, offset=3, value=b"?")
            >>> letter = DeadLetter(delivery=broken, group="shop", error="not JSON")
            >>> letter.message().topic, letter.message().value
            ('vectis.orders.dlq', b'?')
        """
        delivery = self.delivery
        why = {
            "group": self.group,
            "handler": self.handler,
            "plugin": self.plugin,
            "error": self.error,
            "attempts": str(self.attempts),
            "topic": delivery.topic,
            "partition": str(delivery.partition),
            "offset": str(delivery.offset),
            "timestamp": str(delivery.timestamp),
        }
        if self.replays:
            rounds = [attrs.asdict(earlier) for earlier in self.history[-HISTORY:]]
            why["replays"] = str(self.replays)
            why["history"] = orjson.dumps(rounds).decode()
        headers = tuple((PREFIX + name, value.encode()) for name, value in why.items())
        return Message(self.topic, delivery.key, delivery.value, (*delivery.headers, *headers))
