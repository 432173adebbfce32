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

__all__ = ["HEADROOM", "KEEPING", "Verdict", "compared", "is_dead_letters", "needed"]

HEADROOM = 65_536
"""Bytes that a dead letter may be larger than the message in it: the headers that say why."""

KEEPING = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
"""How a topic keeps dead letters until somebody deletes them. A compacted one would take none
without a key, and keep one of each; a cluster may have any of it otherwise by default."""


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
    problems, remedies = [], []
    wanted = found[topic.name].largest + HEADROOM
    if found[name].largest < wanted:
        problems.append(f"a dead letter of a message that {topic.name} takes may be too large")
        remedies.append(f"max.message.bytes to {wanted}")
    # What this user may not see is not there, and nothing is said of it.
    lost = {k: v for k, v in KEEPING.items() if found[name].config.get(k, v) != v}
    if lost:
        problems.append("it does not keep dead letters until somebody has seen to them")
        remedies += [f"{key} to {value}" for key, value in lost.items()]
    return Verdict(name, "; ".join(problems), f"set its {', '.join(remedies)}" if remedies else "")
