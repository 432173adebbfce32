"""Reading what waits on dead-letter topics, from outside of the group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from vectis.core.dead_letter import SUFFIX, topic_of
from vectis.core.letters.shelf import Shelf
from vectis.core.letters.wire import StoredLetter, read_record
from vectis.core.topics import topics_of_handler

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vectis.core.hub import Hub
    from vectis.core.letters.shelf import Waiting
    from vectis.core.letters.wire import Record
    from vectis.core.message import Delivery
    from vectis.core.reader import Reader

__all__ = ["dead_letter_topics", "known_topics", "load", "scan"]


def dead_letter_topics(topics: Iterable[str]) -> tuple[str, ...]:
    """Return the dead-letter topics of topics; one that is such a topic itself stays as it is.

    Example:
        >>> from vectis.core.letters.scan import dead_letter_topics
        >>> dead_letter_topics(["vectis.orders", "vectis.inventory.dlq"])
        ('vectis.inventory.dlq', 'vectis.orders.dlq')
    """
    return tuple(sorted({t if t.endswith(SUFFIX) else topic_of(t) for t in topics}))


def known_topics(hub: Hub) -> tuple[str, ...]:
    """Return every topic that a hub knows: of its config, its catalogue and its handlers."""
    named = {*hub.topics, *hub.consumer_settings.topics}
    named |= {known.topic for known in hub.catalogue if known.topic}
    for subscription in hub.subscriptions:
        if subscription.scope == "service":
            named |= {source.topic for source in topics_of_handler(hub, subscription)}
    return tuple(sorted(named))


async def scan(reader: Reader, group: str) -> Shelf:
    """Return what waits for a group.

    What is read of a letter is kept without its value and its original headers: there may be many.

    Args:
        reader: Reads the dead-letter topics from where `<group>.dlq` has committed, and has read
            nothing yet.
        group: The group whose letters are wanted.

    Raises:
        TransportError: The topics cannot be read.
    """
    records = [_light(read_record(one)) async for page in reader.pages() for one in page]
    return Shelf(group, reader.starts, records)


async def load(reader: Reader, record: Waiting) -> Delivery | None:
    """Return the whole record of what waits, or None when it is not there any more."""
    return await reader.record(record.where, record.offset)


def _light(record: Record) -> Record:
    if not isinstance(record, StoredLetter):
        return record
    letter = record.letter
    delivery = attrs.evolve(letter.delivery, value=None, headers=())
    return attrs.evolve(record, letter=attrs.evolve(letter, delivery=delivery))
