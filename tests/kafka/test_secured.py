"""That passwords and certificates are really asked for, so that a test of them says something."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from aiokafka.helpers import create_ssl_context

from tests.kafka.leftovers import run
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


def refused(**settings: object) -> type[KafkaError]:
    """Return how a client is refused; the error itself would keep its connection alive."""

    async def main() -> type[KafkaError]:
        producer = AIOKafkaProducer(**settings)
        try:
            await producer.start()
        except KafkaError as error:
            return type(error)
        finally:  # `async with` does not close one that did not start
            await producer.stop()
        pytest.fail("let in")

    return run(main())


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_wrong_password_is_refused(
    secured_broker: Secured,
    mechanism: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Whoever has used our transport in this process has had aiokafka told to repeat less.
    monkeypatch.setattr(logging.getLogger("aiokafka"), "filters", [])
    settings = secured_broker.client_settings("SASL_SSL", mechanism)
    assert refused(**{**settings, "sasl_plain_password": "wrong"}) is KafkaConnectionError
    assert "SaslAuthenticationFailed" in caplog.text  # the reason is nowhere else


@pytest.mark.parametrize("listener", ["EXPIRED", "ELSEWHERE"])
def test_bad_certificates_are_bad(secured_broker: Secured, listener: str) -> None:
    assert refused(**secured_broker.client_settings(listener)) is KafkaConnectionError


def test_another_authority_is_not_trusted(secured_broker: Secured) -> None:
    other = create_ssl_context(cafile=str(secured_broker.stranger.file))
    settings = {**secured_broker.client_settings("SSL"), "ssl_context": other}
    assert refused(**settings) is KafkaConnectionError


def test_a_client_without_a_certificate_is_refused_where_one_is_asked_for(
    secured_broker: Secured,
) -> None:
    settings = secured_broker.client_settings("SSL")
    settings["bootstrap_servers"] = secured_broker.broker.node.address("MTLS")
    assert refused(**settings) is KafkaConnectionError


def test_the_forbidden_topic_is(secured_broker: Secured) -> None:
    settings = secured_broker.client_settings("SASL_PLAINTEXT", "PLAIN")
    servers = settings.pop("bootstrap_servers")
    with pytest.raises(TopicAuthorizationFailedError):
        write(servers, FORBIDDEN, [b"trespassing"], **settings)
