"""What `vectis doctor` is told about the brokers: whether they answer, and have the topics."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vectis.core.exceptions import TransportError
from vectis.core.transport import Finding
from vectis_redpanda._needs import compared, needed
from vectis_redpanda._topics import existing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vectis.core.topics import UsedTopic
    from vectis_redpanda._link import Link
    from vectis_redpanda._topics import Topic

__all__ = ["examine"]

_ENOUGH = 20.0  # seconds for everything


async def examine(link: Link, topics: Sequence[UsedTopic]) -> list[Finding]:
    """Connect, and tell what is there.

    Args:
        link: Connects to the brokers.
        topics: Those that the application uses.
    """
    try:
        async with asyncio.timeout(_ENOUGH):
            return await _examined(link, topics)
    except TransportError as error:
        return [Finding("fail", str(error), "mend that: until then publishing and consuming fail")]
    except TimeoutError:
        said = f"{link.named}: no answer within {_ENOUGH:g} s"
        return [Finding("fail", said, "see how the brokers are")]


async def _examined(link: Link, topics: Sequence[UsedTopic]) -> list[Finding]:
    async with link.admin() as admin:
        brokers = len((await admin.describe_cluster())["brokers"])
    some = "1 broker" if brokers == 1 else f"{brokers} brokers"
    answers = Finding("ok", f"{link.named} answers, a cluster of {some}")
    found = await existing(link, [name for topic in topics for name in needed(topic)])
    return [answers, *_findings(topics, found)]


def _findings(topics: Sequence[UsedTopic], found: dict[str, Topic]) -> Iterator[Finding]:
    """Sum up what `vectis topics check` shows line by line."""
    verdicts = compared(topics, found)
    missing = [verdict.topic for verdict in verdicts if verdict.topic not in found]
    if missing:
        remedy = f"`vectis topics create {' '.join(missing)}`, unless the brokers create them"
        yield Finding("warn", f"missing topics: {', '.join(missing)}", remedy)
    for verdict in verdicts:
        if verdict.topic in found and verdict.problem:
            yield Finding("warn", f"{verdict.topic}: {verdict.problem}", verdict.remedy)
    if verdicts and not any(verdict.problem for verdict in verdicts):
        yield Finding("ok", f"topics are there: {', '.join(one.topic for one in verdicts)}")
