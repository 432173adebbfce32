"""On which topics an event type travels, and who says so.

A handler may name its own topic; else `[topics]` in the config decides, else the catalogue, else
the event class that the handler names. Nothing here reads or publishes anything.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from vectis.core.catalogue import described
from vectis.core.exceptions import PublishError
from vectis.core.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vectis.core.hub import Hub
    from vectis.core.subscription import Subscription

__all__ = [
    "TopicSource",
    "UsedTopic",
    "check_topic",
    "topics_in_use",
    "topics_of",
    "topics_of_handler",
    "unread",
]


@attrs.frozen
class TopicSource:
    """A topic, and where it was named.

    Args:
        topic: The topic's name.
        origin: Who named it: `vectis.toml:12`, `catalogue of commerce`, `@on_event of app:sync`.
    """

    topic: str
    origin: str


@attrs.frozen
class UsedTopic:
    """A topic that an application uses.

    Args:
        name: The topic's name.
        consumed: Whether its worker reads it, and so may write dead letters.
    """

    name: str
    consumed: bool


_TOPIC = re.compile(r"(?!\.{1,2}\Z)[a-zA-Z0-9._-]{1,249}")


def check_topic(topic: object) -> None:
    """Refuse a topic's name that Kafka would refuse, whatever the transport: so none surprises.

    Raises:
        PublishError: It has other characters than letters, digits, `.`, `_` and `-`, or more than
            249 of them, or none, or is `.` or `..`.

    Example:
        >>> from vectis.core.topics import check_topic
        >>> check_topic("vectis.orders")
    """
    if not isinstance(topic, str) or not _TOPIC.fullmatch(topic):
        raise PublishError(
            f"{one_line(repr(topic))} is no topic's name: it has 1 to 249 letters a-z and A-Z, "
            "digits, '.', '_' and '-', and is not '.' or '..'",
            fate="not_sent",
        )


def topics_of(hub: Hub, event_type: str) -> tuple[TopicSource, ...]:
    """Return the topics of an event type, as `[topics]` or else the catalogue names them.

    Args:
        hub: Its config and its catalogue are asked.
        event_type: The event type.

    Example:
        >>> from vectis.core import Hub
        >>> hub = Hub({"topics": {"vectis.orders": ["order.created"]}}, discover=False)
        >>> [source.topic for source in topics_of(hub, "order.created")]
        ['vectis.orders']
    """
    named = tuple(
        TopicSource(topic, hub.config.origin("topics", topic))
        for topic, types in hub.topics.items()
        if event_type in types
    )
    known = hub.catalogue.find(event_type)
    if named or known is None or known.topic is None:
        return named
    return (TopicSource(known.topic, f"catalogue of {known.plugin}"),)


def topics_of_handler(hub: Hub, subscription: Subscription) -> tuple[TopicSource, ...]:
    """Return the topics that a consuming handler's events arrive on; its own word comes first.

    `[consumer] topics` is not looked at: it says what one worker reads, whatever the type.

    Args:
        hub: Its config and its catalogue are asked.
        subscription: The handler, of scope `service`.
    """
    if subscription.topic is not None:
        return (TopicSource(subscription.topic, f"@on_event of {subscription.id}"),)
    named = topics_of(hub, subscription.pattern)
    cls = subscription.event_class
    known = None if named or cls is None else described(cls)
    if cls is None or known is None or known.topic is None:
        return named
    return (TopicSource(known.topic, f"{cls.__qualname__} of {subscription.id}"),)


def topics_in_use(hub: Hub) -> list[UsedTopic]:
    """Return the topics that an application publishes to or consumes, sorted by name.

    Args:
        hub: Its config, its catalogue and its handlers are asked.

    Example:
        >>> from vectis.core import Hub
        >>> hub = Hub({"topics": {"vectis.orders": ["order.created"]}}, discover=False)
        >>> topics_in_use(hub)
        [UsedTopic(name='vectis.orders', consumed=False)]
    """
    consumed = {
        source.topic
        for subscription in hub.subscriptions
        if subscription.scope == "service" and subscription.enabled
        for source in topics_of_handler(hub, subscription)
    }
    consumed |= set(hub.consumer_settings.topics)
    published = {*hub.topics, *(known.topic for known in hub.catalogue if known.topic)}
    return [UsedTopic(name, name in consumed) for name in sorted(consumed | published)]


def unread(hub: Hub) -> Iterator[str]:
    """Yield a sentence for each consuming handler whose topic `[consumer] topics` leaves out.

    Args:
        hub: Its config, its catalogue and its handlers are asked.
    """
    read = hub.consumer_settings.topics
    if not read:
        return
    for subscription in hub.subscriptions:
        if subscription.scope != "service" or not subscription.enabled:
            continue
        for source in topics_of_handler(hub, subscription):
            if source.topic not in read:
                yield (
                    f"{subscription.id} handles {subscription.pattern}, which arrives on "
                    f"{source.topic} ({source.origin}), and [consumer] topics "
                    f"({hub.config.origin('consumer', 'topics')}) leaves that topic out"
                )
