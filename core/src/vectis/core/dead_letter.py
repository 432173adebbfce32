"""A delivery set aside: its original bytes, the reason, and where it came from.

Here is what a letter looks like on the wire. The worker decides when one is written.
"""

from __future__ import annotations

import attrs

from vectis.core.message import Delivery, Message
from vectis.core.redact import one_line

__all__ = ["SUFFIX", "DeadLetter", "topic_of"]

SUFFIX = ".dlq"
"""What a topic's name is followed by in the name of its dead-letter topic."""

_REASON_LIMIT = 1000


def topic_of(topic: str) -> str:
    """Return the dead-letter topic of a topic.

    Example:
        >>> from vectis.core.dead_letter import topic_of
        >>> topic_of("vectis.orders")
        'vectis.orders.dlq'
    """
    return topic + SUFFIX


def _reason(text: str) -> str:
    return one_line(text, _REASON_LIMIT)


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
    """

    delivery: Delivery
    group: str
    handler: str = ""
    plugin: str = ""
    error: str = attrs.field(converter=_reason)
    attempts: int = 0

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
        }
        headers = tuple((f"vectis_dlq_{name}", value.encode()) for name, value in why.items())
        return Message(self.topic, delivery.key, delivery.value, (*delivery.headers, *headers))
