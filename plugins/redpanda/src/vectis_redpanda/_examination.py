"""What `vectis doctor` is told about the brokers: whether they answer, and have the topics."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vectis.core.exceptions import TransportError
from vectis.core.transport import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectis_redpanda._link import Link

__all__ = ["examine"]

_ENOUGH = 20.0  # seconds for everything


async def examine(link: Link, topics: Sequence[str]) -> list[Finding]:
    """Connect, and tell what is there.

    Args:
        link: Connects to the brokers.
        topics: Those that the application uses.
    """
    try:
        async with asyncio.timeout(_ENOUGH):
            return await _examined(link, topics)
    except TransportError as error:
        return [Finding("fail", str(error), "until then publishing and consuming fail")]
    except TimeoutError:
        said = f"{link.named}: no answer within {_ENOUGH:g} s"
        return [Finding("fail", said, "see how the brokers are")]


async def _examined(link: Link, topics: Sequence[str]) -> list[Finding]:
    from vectis_redpanda._topics import existing

    async with link.admin() as admin:
        cluster = await admin.describe_cluster()
    brokers = len(cluster["brokers"])
    some = "1 broker" if brokers == 1 else f"{brokers} brokers"
    findings = [Finding("ok", f"{link.named} answers, a cluster of {some}")]
    there = await existing(link, topics)
    if missing := [topic for topic in topics if topic not in there]:
        findings.append(
            Finding(
                "warn",
                f"missing topics: {', '.join(missing)}",
                f"`vectis topics create {' '.join(missing)}`, unless the brokers create them",
            )
        )
    elif topics:
        findings.append(Finding("ok", f"topics are there: {', '.join(topics)}"))
    return findings
