"""What becomes of messages when producers are closed, and of those that are sent meanwhile."""

from __future__ import annotations

import asyncio
import socket
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from tests.kafka.records import read_all
from vectis.core.exceptions import PublishError
from vectis.core.message import Message, Receipt
from vectis_redpanda import RedpandaSettings, RedpandaTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kafka.fixtures import Shared

PADDING = bytes(200_000)  # so that a batch takes one of them, and the rest waits


def transport_to(servers: str, **settings: Any) -> RedpandaTransport:
    return RedpandaTransport(RedpandaSettings(bootstrap_servers=servers, **settings))


def test_what_is_sent_while_closing_is_written_after_what_was_sent_before(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)

    async def main() -> None:
        transport = transport_to(broker.servers)
        send = transport.carrier(topic).send
        await send(Message(topic, b"7", b"0"))
        before = [send(Message(topic, b"7", b"%d" % n + PADDING)) for n in range(1, 21)]
        closing = asyncio.create_task(transport.close())
        await asyncio.sleep(0)
        meanwhile = send(Message(topic, b"7", b"21"))
        again = asyncio.create_task(transport.close())
        await asyncio.sleep(0)
        last = send(Message(topic, b"7", b"22"))
        await asyncio.gather(*before, meanwhile, last, closing, again)
        await transport.close()

    asyncio.run(main())
    values = [int(record.value.rstrip(b"\0")) for record in read_all(broker.servers, topic)]
    assert values == [*range(23)]


def test_whoever_closes_as_well_waits_for_the_same(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)

    async def main() -> list[bool]:
        transport = transport_to(broker.servers)
        send = transport.carrier(topic).send
        answers: list[Any] = [send(Message(topic, b"7", PADDING)) for _ in range(10)]
        first = asyncio.create_task(transport.close())
        await asyncio.sleep(0)
        await transport.close()
        done = [answer.done() for answer in answers]
        await first
        return done

    assert asyncio.run(main()) == [True] * 10


def test_closing_that_is_cancelled_says_so_and_nothing_of_a_deadline(
    broker: Shared, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=1)

    async def main() -> list[Any]:
        transport = transport_to(broker.servers)
        send = transport.carrier(topic).send
        await send(Message(topic, b"7", b"first"))
        answers: list[Any] = [send(Message(topic, b"7", PADDING)) for _ in range(10)]
        closing = asyncio.create_task(transport.close())
        # Cancelled while a batch is under way and others wait.
        answers[0].add_done_callback(lambda _: closing.cancel())
        await asyncio.wait([closing])
        return await asyncio.gather(*answers, return_exceptions=True)

    results = asyncio.run(main())
    failed = [result for result in results if isinstance(result, PublishError)]
    assert isinstance(results[0], Receipt)
    assert failed[-1].fate == "not_sent"
    assert {error.fate for error in failed} <= {"not_sent", "unknown"}
    for error in failed:
        assert f"the connection to {broker.servers} was closed" in str(error)
        assert "within" not in str(error)


def test_closing_waits_for_no_more_to_come(broker: Shared, new_topic: Callable[..., str]) -> None:
    topic = new_topic(partitions=1)

    async def main() -> Receipt:
        transport = transport_to(broker.servers, linger_ms=8_000)
        answer = transport.carrier(topic).send(Message(topic, b"7", b"{}"))
        await asyncio.sleep(0)
        began = monotonic()
        await transport.close()
        assert monotonic() - began < 8
        receipt: Receipt = await answer
        return receipt

    assert asyncio.run(main()).offset == 0


class Watched(asyncio.SelectorEventLoop):
    """A loop that lets something happen in another thread when somebody looks at it.

    Attributes:
        meanwhile: What happens, once.
    """

    meanwhile: Callable[[], object] | None = None

    def is_closed(self) -> bool:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            thread = threading.Thread(target=meanwhile)
            thread.start()
            thread.join()
        return super().is_closed()


def test_a_loop_sends_its_first_message_while_another_one_does() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = free.getsockname()[1]
    settings = RedpandaSettings(bootstrap_servers=f"127.0.0.1:{nobody}")
    transport = RedpandaTransport(settings, publish_timeout=1)  # so long closing waits for nobody
    sent = []

    async def send() -> None:
        answer: Any = transport.carrier("orders").send(Message("orders", b"7", b"{}"))
        sent.append(answer.cancel())
        await asyncio.wait([answer])

    first = Watched()
    first.run_until_complete(send())
    first.meanwhile = lambda: asyncio.run(send())
    asyncio.run(send())
    first.run_until_complete(transport.close())
    first.close()
    assert sent == [True] * 3
