"""What tests of connections share: settings for a secured broker, one publish, one start."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.kafka.secured import PASSWORD, USER
from vectis.core.exceptions import PublishError, TransportError
from vectis.core.message import Message
from vectis_redpanda import RedpandaSettings, RedpandaTransport

if TYPE_CHECKING:
    from tests.kafka.secured import Secured
    from vectis.core.message import Delivery, Receipt

__all__ = ["publish", "read", "refusal", "settings_for", "start_refused"]


def settings_for(
    secured: Secured, listener: str, mechanism: str | None = None, **changes: Any
) -> RedpandaSettings:
    """Return the settings with which the broker lets somebody in at a listener."""
    encrypted = listener != "SASL_PLAINTEXT"
    settings: dict[str, Any] = {
        "bootstrap_servers": secured.broker.node.address(listener),
        "security_protocol": ("SASL_" if mechanism else "") + ("SSL" if encrypted else "PLAINTEXT"),
    }
    if encrypted:
        settings["ssl_cafile"] = str(secured.authority.file)
    if listener == "MTLS":
        settings["ssl_certfile"] = str(secured.client.certificate)
        settings["ssl_keyfile"] = str(secured.client.key)
    if mechanism:
        settings |= {"sasl_mechanism": mechanism, "sasl_username": USER, "sasl_password": PASSWORD}
    return RedpandaSettings(**{**settings, **changes})


def publish(settings: RedpandaSettings, topic: str, *, timeout: float = 10.0) -> Receipt:
    """Publish one message and close."""

    async def main() -> Receipt:
        transport = RedpandaTransport(settings, publish_timeout=timeout)
        try:
            receipt: Receipt = await transport.carrier(topic).send(Message(topic, b"7", b"{}"))
            return receipt
        finally:
            await transport.close()

    return asyncio.run(main())


def read(settings: RedpandaSettings, topic: str, group: str | None) -> list[Delivery]:
    """Return the first deliveries that come."""

    async def main() -> list[Delivery]:
        consumer = RedpandaTransport(settings).consumer([topic], group)
        await consumer.start(on_assigned=_nothing, on_revoked=_nothing)
        try:
            async with asyncio.timeout(30):
                while not (found := await consumer.fetch(max_records=10, timeout=1)):
                    pass
            return found
        finally:
            await consumer.close()

    return asyncio.run(main())


def refusal(settings: RedpandaSettings, topic: str, *, timeout: float = 10.0) -> PublishError:
    """Return the error with which publishing fails."""
    with pytest.raises(PublishError) as caught:
        publish(settings, topic, timeout=timeout)
    return caught.value


def start_refused(settings: RedpandaSettings, topic: str, group: str | None) -> TransportError:
    """Return the error with which a consumer does not start."""

    async def main() -> None:
        consumer = RedpandaTransport(settings).consumer([topic], group)
        try:
            await consumer.start(on_assigned=_nothing, on_revoked=_nothing)
        finally:
            await consumer.close()

    with pytest.raises(TransportError) as caught:
        asyncio.run(main())
    return caught.value


async def _nothing(partitions: object) -> None:
    """Nobody is interested."""
