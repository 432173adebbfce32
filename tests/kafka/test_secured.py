"""That passwords and certificates are really asked for, so that a test of them says something."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAuthorizationFailedError
from aiokafka.helpers import create_ssl_context

from tests.kafka.records import read, write
from tests.kafka.secured import FORBIDDEN, MECHANISMS
from tests.kafka.topics import create_topic, unique_name

if TYPE_CHECKING:
    from tests.kafka.secured import Secured

WAYS = [
    ("SSL", None),
    ("MTLS", None),
    *(("SASL_PLAINTEXT", mechanism) for mechanism in MECHANISMS),
    *(("SASL_SSL", mechanism) for mechanism in MECHANISMS),
]


@pytest.mark.parametrize(("listener", "mechanism"), WAYS)
def test_who_has_what_it_takes_is_let_in(
    secured_broker: Secured, listener: str, mechanism: str | None
) -> None:
    topic = create_topic(secured_broker.broker.servers, unique_name(f"{listener}-{mechanism}"))
    settings = secured_broker.client_settings(listener, mechanism)
    servers = settings.pop("bootstrap_servers")
    write(servers, topic, [b"secret"], **settings)
    assert read(servers, topic, 1, **settings) == [b"secret"]


def refused(**settings: object) -> KafkaError:
    async def main() -> None:
        producer = AIOKafkaProducer(**settings)
        try:
            await producer.start()
        finally:  # `async with` does not close one that did not start
            await producer.stop()

    with pytest.raises(KafkaError) as caught:
        asyncio.run(main())
    return caught.value


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_wrong_password_is_refused(secured_broker: Secured, mechanism: str) -> None:
    settings = secured_broker.client_settings("SASL_SSL", mechanism)
    refused(**{**settings, "sasl_plain_password": "wrong"})


@pytest.mark.parametrize("listener", ["EXPIRED", "ELSEWHERE"])
def test_bad_certificates_are_bad(secured_broker: Secured, listener: str) -> None:
    error = refused(**secured_broker.client_settings(listener))
    assert isinstance(error, KafkaConnectionError)


def test_another_authority_is_not_trusted(secured_broker: Secured) -> None:
    other = create_ssl_context(cafile=str(secured_broker.stranger.file))
    settings = {**secured_broker.client_settings("SSL"), "ssl_context": other}
    assert isinstance(refused(**settings), KafkaConnectionError)


def test_a_client_without_a_certificate_is_refused_where_one_is_asked_for(
    secured_broker: Secured,
) -> None:
    settings = secured_broker.client_settings("SSL")
    refused(**{**settings, "bootstrap_servers": secured_broker.broker.node.address("MTLS")})


def test_the_forbidden_topic_is(secured_broker: Secured) -> None:
    settings = secured_broker.client_settings("SASL_PLAINTEXT", "PLAIN")
    servers = settings.pop("bootstrap_servers")
    with pytest.raises(TopicAuthorizationFailedError):
        write(servers, FORBIDDEN, [b"trespassing"], **settings)
