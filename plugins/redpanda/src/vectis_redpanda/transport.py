"""The transport itself: carriers and consumers over the brokers of one cluster."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vectis.core.exceptions import PublishError, TransportError
from vectis.core.forks import after_fork
from vectis.core.transport import Carrier
from vectis_redpanda._examination import examine
from vectis_redpanda._link import Link
from vectis_redpanda._member import Member
from vectis_redpanda._producer import Producer
from vectis_redpanda._reader import Reader
from vectis_redpanda._security import lingers_too_long, patience_of
from vectis_redpanda.settings import LONGEST

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from vectis.core.message import Message, Receipt
    from vectis.core.transport import Consumer
    from vectis_redpanda.settings import RedpandaSettings

__all__ = ["RedpandaTransport"]

_inherited: list[object] = []
"""What belongs to the parent, in the child of a fork: never finalised, since closing a connection
here would end the parent's."""


class RedpandaTransport:
    """Topics and groups on the brokers of one cluster, Redpanda's or Apache Kafka's.

    Making one connects to nothing. It may be used from several event loops and threads, one after
    another or at once, and in the child after a fork: each loop has a producer of its own.

    Args:
        settings: The `[redpanda]` settings; their servers must be set.
        config_file: The config file they came from: relative paths start at its folder.
        publish_timeout: Seconds within which a message is acknowledged or has failed; what is
            known of a failure is told a little before that.
        drain: Seconds that a member of a group may take to finish what is in hand.

    Raises:
        TransportError: Settings that cannot work.

    Example:
        >>> from vectis_redpanda import RedpandaSettings, RedpandaTransport
        >>> settings = RedpandaSettings(bootstrap_servers="localhost:9092")
        >>> RedpandaTransport(settings).carrier("vectis.orders").describe
        'brokers localhost:9092, PLAINTEXT'
    """

    def __init__(
        self,
        settings: RedpandaSettings,
        *,
        config_file: Path | None = None,
        publish_timeout: float = 10.0,
        drain: float = 25.0,
    ) -> None:
        folder = Path.cwd() if config_file is None else config_file.parent
        self.link = Link(settings, folder)
        self._patience = patience_of(publish_timeout)
        if said := lingers_too_long(settings, publish_timeout):
            raise TransportError(said)
        self._rebalance = settings.rebalance_timeout or min(drain + 10, LONGEST)
        self._producers: dict[asyncio.AbstractEventLoop, Producer] = {}
        self._carrier = Carrier(
            keeps_deadline=True,
            send=self._send,
            send_many=self._send_many,
            close=self.close,
            describe=f"brokers {self.link.named}, {settings.security_protocol}",
            examine=partial(examine, self.link),
        )
        after_fork(self._forget)

    def carrier(self, topic: str) -> Carrier:
        """Return what takes messages to a topic. It makes no difference to this transport which."""
        return self._carrier

    def consumer(self, topics: Sequence[str], group: str | None) -> Consumer:
        """Return a new member of a group, or a reader without one, not yet started.

        Args:
            topics: The topics it reads.
            group: The group's name; None for a reader.
        """
        if group is None:
            return Reader(self.link, topics)
        return Member(self.link, topics, group, self._rebalance)

    async def close(self) -> None:
        """Wait until what was sent on this event loop is acknowledged, and close its producer.

        Raises:
            TransportError: Some of it was not; whoever sent it has been told.
        """
        loop = asyncio.get_running_loop()
        producer = self._producers.get(loop)
        if producer is None:
            return
        try:
            # It stays known meanwhile: what is sent now is written after what was sent before.
            await producer.close()
        finally:
            if self._producers.get(loop) is producer:
                del self._producers[loop]

    def _send(self, message: Message) -> asyncio.Future[Receipt]:
        # Not a coroutine: the order of the calls is the order of the records.
        return self._here().send(message)

    def _send_many(
        self, messages: Sequence[Message]
    ) -> Coroutine[Any, Any, list[Receipt | BaseException]]:
        # Everything is queued before it returns, for the same reason.
        send = self._here().send
        return _collect([send(message) for message in messages])

    def _here(self) -> Producer:
        loop = asyncio.get_running_loop()
        producer = self._producers.get(loop)
        if producer is None or not producer.accepts:
            # A list first: other threads put theirs in meanwhile.
            for other in [known for known in list(self._producers) if known.is_closed()]:
                self._producers.pop(other, None)
            producer = self._producers[loop] = Producer(self.link, self._patience, before=producer)
        return producer

    def _forget(self) -> None:
        _inherited.append(self._producers)
        self._producers = {}


async def _collect(
    answers: Sequence[asyncio.Future[Receipt]],
) -> list[Receipt | BaseException]:
    results: list[Receipt | BaseException] = []
    try:
        for answer in answers:
            try:
                results.append(await answer)
            except PublishError as error:
                results.append(error)
    finally:
        for answer in answers[len(results) :]:
            if answer.done() and not answer.cancelled():
                answer.exception()  # nobody is going to look at it any more
            else:
                answer.cancel()
    return results
