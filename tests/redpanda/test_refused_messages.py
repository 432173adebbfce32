"""A message that the broker refuses fails alone, and leaves nothing behind that hinders others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.kafka.records import read_all
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


def batches_of(servers: str, topic: str) -> int:
    """Return how many batches there are at least: the messages of one have the same time."""
    return len({record.timestamp for record in read_all(servers, topic)})


def test_one_that_is_too_large_leaves_no_small_batches_behind(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1, config={"max.message.bytes": "100000"})
    some = [Message(topic, b"7", bytes(300))] * 20
    too_large = Message(topic, b"7", bytes(200_000))
    many = [Message(topic, b"7", bytes(300))] * 10_000
    results = published(broker.servers, [*some, too_large, *some], many)
    assert results.pop(20).fate == "rejected"
    assert [receipt.offset for receipt in results] == [*range(10_040)]
    assert batches_of(broker.servers, topic) < 300


def test_one_that_is_given_up_before_it_was_found_leaves_none_either(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1, config={"max.message.bytes": "100000"})
    some = [Message(topic, b"7", bytes(300))] * 20

    async def main() -> None:
        transport = RedpandaTransport(RedpandaSettings(bootstrap_servers=broker.servers))
        send = transport.carrier(topic).send
        before = [send(message) for message in some]
        too_large: Any = send(Message(topic, b"7", bytes(200_000)))
        # The batch was refused, and a smaller one in front of this one was written.
        before[0].add_done_callback(lambda _: too_large.cancel())  # type: ignore[attr-defined]
        await asyncio.gather(*before)
        assert too_large.cancelled()
        await asyncio.gather(*(send(message) for message in some * 500))
        await transport.close()

    asyncio.run(main())
    assert batches_of(broker.servers, topic) < 300


class Ending(asyncio.SelectorEventLoop):
    """A loop that ends as soon as somebody is to look how large a message may be.

    Attributes:
        ended: How many tasks were cancelled for it before they began.
    """

    ended = 0

    def create_task(self, coro: Any, **options: Any) -> Any:
        task = super().create_task(coro, **options)
        if "large" in coro.__qualname__ or "room" in coro.__qualname__:
            self.ended += task.cancel()
        return task


def test_who_waits_for_one_is_told_also_when_everything_ends(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1, config={"max.message.bytes": "1000"})

    async def main() -> Any:
        transport = RedpandaTransport(RedpandaSettings(bootstrap_servers=broker.servers))
        answer: Any = transport.carrier(topic).send(Message(topic, b"7", bytes(5_000)))
        await asyncio.wait([answer], timeout=20)
        await transport.close()
        return answer.exception()

    with asyncio.Runner(loop_factory=Ending) as runner:
        error = runner.run(main())
        loop: Any = runner.get_loop()
        assert loop.ended == 1
    assert error.fate == "rejected"


def test_one_without_a_key_fails_alone_on_a_compacted_topic(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1, config={"cleanup.policy": "compact"})
    good = [Message(topic, b"%d" % n, b"{}") for n in range(10)]
    bad = Message(topic, None, b"{}")
    messages = [*good, bad, good[5], bad, good[6]]
    *before, refused, five, also, six = published(broker.servers, messages)
    assert [error.fate for error in (refused, also)] == ["rejected"] * 2
    assert "a compacted topic takes none without a key" in str(refused)
    assert [receipt.offset for receipt in (*before, five, six)] == [*range(12)]
