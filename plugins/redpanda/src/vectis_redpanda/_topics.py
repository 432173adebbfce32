"""Topics as a cluster has them, and as they are made: for the command line and a worker's start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from aiokafka import errors
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from vectis.core.dead_letter import SUFFIX, topic_of
from vectis.core.exceptions import TransportError
from vectis.core.redact import one_line
from vectis_redpanda._faults import explained
from vectis_redpanda._internals import knows_controller
from vectis_redpanda._needs import HEADROOM, KEEPING, is_dead_letters

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from aiokafka.admin import AIOKafkaAdminClient

    from vectis_redpanda._link import Link
    from vectis_redpanda.settings import RedpandaSettings

__all__ = ["Topic", "create", "existing", "largest_message", "missing_dead_letters"]

_LARGEST = "max.message.bytes"
_USUAL = 1_048_588  # bytes, where the broker does not tell
_COPIES = 3  # of a topic, when there are as many brokers and the settings do not say


@attrs.frozen(kw_only=True)
class Topic:
    """A topic, there or to be made.

    Args:
        name: The topic's name.
        partitions: How many it has.
        replication: On how many brokers each of them is kept.
        config: Its settings, as Kafka names them; all of one that is there.
    """

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def largest(self) -> int:
        """Bytes that a batch of messages may have in it."""
        return int(self.config.get(_LARGEST, _USUAL))

    @property
    def retention(self) -> float | None:
        """Seconds for which records are kept; None: for ever."""
        kept = int(self.config.get("retention.ms", -1))
        return None if kept < 0 else kept / 1000


async def existing(link: Link, names: Collection[str] | None = None) -> dict[str, Topic]:
    """Return the topics that there are, by name; those that brokers keep for themselves left out.

    Args:
        link: Connects to the brokers.
        names: Only these; None for all of them.

    Raises:
        TransportError: No broker can be reached, or none lets this user look.
    """
    async with link.admin() as admin:
        return await _existing(admin, names)


async def largest_message(link: Link, name: str) -> int | None:
    """Return how many bytes a message of a topic may have; None when this user may not know.

    Raises:
        TransportError: No broker can be reached, or it does not say.
    """
    async with link.admin() as admin:
        try:
            config = (await _configs(admin, [name])).get(name, {})
        except errors.KafkaError as error:
            raise TransportError(f"{name}: {explained(error, topic=name)}") from error
    return int(config[_LARGEST]) if _LARGEST in config else None


async def create(
    link: Link,
    names: Sequence[str],
    *,
    partitions: int | None = None,
    replication: int | None = None,
    dry_run: bool = False,
) -> dict[str, Topic | TransportError]:
    """Make those of the topics that are not there, and return each with how it is now, or why not.

    A topic of dead letters takes messages larger by `HEADROOM` than the topic it belongs to, and
    keeps them until somebody deletes them.

    Args:
        link: Connects to the brokers; its settings say how topics are to be.
        names: The topics.
        partitions: In place of `[redpanda] partitions`.
        replication: In place of `[redpanda] replication`.
        dry_run: Only have the brokers check whether they would do it.

    Raises:
        TransportError: No broker can be reached.
    """
    # A letter's topic takes its measure from the topic of the message.
    ordered = sorted(dict.fromkeys(names), key=is_dead_letters)
    done: dict[str, Topic | TransportError] = {}
    async with link.admin() as admin:
        there = await _existing(admin, None)
        copies = replication or link.settings.replication
        if copies is None:
            copies = min(_COPIES, len((await admin.describe_cluster())["brokers"]))
        for name in ordered:
            if name in there:
                done[name] = there[name]
                continue
            source = there.get(name.removesuffix(SUFFIX))
            topic = Topic(
                name=name,
                partitions=partitions or (source or link.settings).partitions,
                replication=copies,
                config=_config(link.settings, name, source),
            )
            problem = await _made(admin, topic, dry_run)
            if problem is None and not dry_run:
                there |= await _existing(admin, [name])
            elif problem is None:
                there[name] = topic
            done[name] = problem or there.get(name, topic)
    return done


async def missing_dead_letters(link: Link, topics: Iterable[str]) -> dict[str, TransportError]:
    """Make the dead-letter topics of topics, and return those that could not be made, with why.

    Raises:
        TransportError: No broker can be reached.
    """
    names = [topic_of(topic) for topic in topics if not is_dead_letters(topic)]
    if not names:
        return {}
    done = await create(link, names)
    return {name: found for name, found in done.items() if isinstance(found, TransportError)}


def _config(settings: RedpandaSettings, name: str, source: Topic | None) -> dict[str, str]:
    if is_dead_letters(name):
        largest = (_USUAL if source is None else source.largest) + HEADROOM
        return {_LARGEST: str(largest), **KEEPING}
    config = {}
    if settings.retention_age is not None:
        config["retention.ms"] = str(int(settings.retention_age * 1000))
    if settings.retention_bytes is not None:
        config["retention.bytes"] = str(settings.retention_bytes)
    return config


async def _made(admin: AIOKafkaAdminClient, topic: Topic, dry_run: bool) -> TransportError | None:
    wanted = NewTopic(
        topic.name, topic.partitions, topic.replication, topic_configs=dict(topic.config)
    )
    try:
        if not await knows_controller(admin):
            return TransportError(
                f"{topic.name} was not created: no broker is ready for that yet, try again soon"
            )
        response = await admin.create_topics([wanted], validate_only=dry_run)
    except errors.KafkaError as error:
        return TransportError(f"{topic.name}: {explained(error, topic=topic.name)}")
    for name, code, *said in response.topic_errors:
        kind = errors.for_code(code)
        if kind in (errors.NoError, errors.TopicAlreadyExistsError):
            continue
        why = explained(kind(), topic=name)
        if said and said[0] and not issubclass(kind, errors.TopicAuthorizationFailedError):
            why = one_line(str(said[0]))
        return TransportError(f"{name} was not created: {why}")
    return None


async def _existing(admin: AIOKafkaAdminClient, names: Collection[str] | None) -> dict[str, Topic]:
    try:
        # All of them, always: asked for one by name, the broker may create it.
        described = await admin.describe_topics()
        found = [
            topic
            for topic in described
            if not topic["error_code"]
            and not topic["is_internal"]
            and (names is None or topic["topic"] in names)
        ]
        configs = await _configs(admin, [topic["topic"] for topic in found])
    except (errors.KafkaError, TimeoutError) as error:
        raise TransportError(f"topics could not be listed: {explained(error)}") from error
    return {
        topic["topic"]: Topic(
            name=topic["topic"],
            partitions=len(topic["partitions"]),
            replication=min((len(p["replicas"]) for p in topic["partitions"]), default=0),
            config=configs.get(topic["topic"], {}),
        )
        for topic in found
    }


async def _configs(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    configs: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(asked):
        for code, _, _, name, entries, *_ in response.resources:
            if code == 0:  # else this user may not see them
                configs[name] = {key: value for key, value, *_ in entries if value is not None}
    return configs
