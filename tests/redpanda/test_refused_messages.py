"""A message that the broker refuses fails alone, and leaves nothing behind that hinders others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.kafka.topics import unique_name
from vectis.core.message import Message
from vectis_redpanda import RedpandaSettings, RedpandaTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kafka.fixtures import Shared


def published(servers: str, *rounds: list[Message], **settings: Any) -> list[Any]:
    """Publish the messages of one round after another; return each receipt, or error."""

    async def main() -> list[Any]:
        transport = RedpandaTransport(RedpandaSettings(bootstrap_servers=servers, **settings))
        results: list[Any] = []
        for messages in rounds:
            answers = [transport.carrier(one.topic).send(one) for one in messages]
            results += await asyncio.gather(*answers, return_exceptions=True)
        await transport.close()
        return results

    return asyncio.run(main())


def test_it_does_not_hinder_a_topic_whose_partitions_are_looked_up_meanwhile(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    small = new_topic(partitions=1, config={"max.message.bytes": "1000"})
    first, too_large = Message(small, b"7", b"first"), Message(small, b"7", bytes(5_000))
    # The broker makes them when they are looked up, which takes longer than a refusal.
    others = [Message(unique_name("other"), b"7", b"{}") for _ in range(5)]
    rounds = [[other, too_large] for other in others]
    _, *results = published(broker.servers, [first], *rounds)
    assert [error.fate for error in results[1::2]] == ["rejected"] * 5
    assert [receipt.offset for receipt in results[::2]] == [0] * 5
