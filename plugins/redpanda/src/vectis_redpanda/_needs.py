"""What an application needs of the topics on the brokers, and what they lack: one answer for all.

`vectis topics check`, `vectis doctor` and `vectis topics create` ask here; nothing is connected to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from vectis.core.dead_letter import SUFFIX, topic_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vectis.core.topics import UsedTopic
    from vectis_redpanda._topics import Topic

__all__ = ["HEADROOM", "Verdict", "compared", "is_dead_letters", "needed"]

HEADROOM = 65_536
"""Bytes that a dead letter may be larger than the message in it: the headers that say why."""


@attrs.frozen
class Verdict:
    """What became of one topic when it was compared.

    Args:
        topic: The topic's name.
        problem: What is wrong with it; empty when nothing is.
        remedy: What to do about it.
    """

    topic: str
    problem: str = ""
    remedy: str = ""


def is_dead_letters(name: str) -> bool:
    """Tell whether a topic is one of dead letters, by its name."""
    return name.endswith(SUFFIX)


def needed(topic: UsedTopic) -> list[str]:
    """Return the topics that have to be there: it, and one for its dead letters if it has any."""
    if not topic.consumed or is_dead_letters(topic.name):
        return [topic.name]
    return [topic.name, topic_of(topic.name)]


def compared(topics: Iterable[UsedTopic], found: Mapping[str, Topic]) -> list[Verdict]:
    """Return a verdict for each topic that is needed.

    Args:
        topics: What the application uses.
        found: What there is, by name.
    """
    return [_verdict(topic, name, found) for topic in topics for name in needed(topic)]


def _verdict(topic: UsedTopic, name: str, found: Mapping[str, Topic]) -> Verdict:
    if name not in found:
        return Verdict(name, "missing", f"`vectis topics create {topic.name}`")
    if name == topic.name or topic.name not in found:
        return Verdict(name)
    wanted = found[topic.name].largest + HEADROOM
    if found[name].largest >= wanted:
        return Verdict(name)
    return Verdict(
        name,
        f"a dead letter of a message that {topic.name} takes may be too large for it",
        f"set its max.message.bytes to {wanted:,}",
    )
