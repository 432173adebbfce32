"""Passwords and certificates: every way in, no secret in a log, settings that cannot work.

What those are told who are not let in stands in `test_refusals`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests.core.cli_world import World
from tests.kafka.secured import MECHANISMS, PASSWORD, USER
from tests.kafka.topics import create_topic, unique_name
from tests.redpanda.connections import publish, read, refusal, settings_for, start_refused
from vectis.core.exceptions import PublishError, TransportError
from vectis_redpanda import RedpandaSettings, RedpandaTransport

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka.secured import Secured

WAYS = [
    ("SSL", None),
    ("MTLS", None),
    *(("SASL_PLAINTEXT", mechanism) for mechanism in MECHANISMS),
    *(("SASL_SSL", mechanism) for mechanism in MECHANISMS),
]


@pytest.mark.parametrize(("listener", "mechanism"), WAYS)
def test_every_way_in_carries_events_and_shows_no_password(
    secured_broker: Secured,
    listener: str,
    mechanism: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    topic = create_topic(secured_broker.broker.servers, unique_name(f"{listener}-{mechanism}"))
    settings = settings_for(secured_broker, listener, mechanism)
    with caplog.at_level(logging.DEBUG):
        receipt = publish(settings, topic)
        (delivery,) = read(settings, topic, unique_name("group"))
        (seen,) = read(settings, topic, None)
    assert (delivery.partition, delivery.offset) == (receipt.partition, receipt.offset)
    assert seen == delivery
    assert caplog.records
    assert PASSWORD not in caplog.text + repr(settings)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_wrong_password_is_said_at_once_and_to_everybody(
    secured_broker: Secured, mechanism: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(secured_broker, "SASL_SSL", mechanism, sasl_password="hunter2")
    address = secured_broker.broker.node.address("SASL_SSL")
    with caplog.at_level(logging.DEBUG):
        error = refusal(settings, "any")
        others = [start_refused(settings, "any", group) for group in ("shop", None)]
    assert error.fate == "not_sent"
    for said in (error, *others):
        assert address in str(said)
        assert "does not let user 'shop' in: see [redpanda] sasl_username, sasl_password" in str(
            said
        )
    assert "hunter2" not in caplog.text + str(error)


def test_no_password_where_one_is_wanted_is_said(secured_broker: Secured) -> None:
    address = secured_broker.broker.node.address("SASL_PLAINTEXT")
    error = refusal(RedpandaSettings(bootstrap_servers=address), "t")
    assert "has not logged in: set [redpanda] security_protocol to SASL_PLAINTEXT" in str(error)


def test_a_password_where_none_is_wanted_is_said(secured_broker: Secured) -> None:
    plain = secured_broker.broker.servers
    settings = settings_for(secured_broker, "SASL_PLAINTEXT", "PLAIN", bootstrap_servers=plain)
    error = refusal(settings, "t")
    assert "does not ask anybody to log in: set [redpanda] security_protocol to PLAINTEXT" in str(
        error
    )


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a user without a password": (
        {"security_protocol": "SASL_SSL", "sasl_username": "shop"},
        "needs sasl_password: set it, or VECTIS_REDPANDA_SASL_PASSWORD",
    ),
    "a password that nobody asks for": (
        {"sasl_username": "shop", "sasl_password": "hunter2"},
        "set security_protocol = 'SASL_PLAINTEXT', or remove them",
    ),
    "a certificate without encryption": (
        {"ssl_cafile": "ca.pem"},
        "ssl_cafile is set, and security_protocol = 'PLAINTEXT' does not encrypt",
    ),
    "a key without its certificate": (
        {"security_protocol": "SSL", "ssl_keyfile": "key.pem"},
        "a key is of no use without the certificate",
    ),
    "a file that is not there": (
        {"security_protocol": "SSL", "ssl_cafile": "nowhere.pem"},
        "nowhere.pem cannot be read",
    ),
    "a file that is something else": (
        {"security_protocol": "SSL", "ssl_cafile": "text.pem"},
        "ssl_cafile = 'text.pem' has no certificates in PEM format",
    ),
    "a server that is none": ({"bootstrap_servers": "http://one:9092"}, "is no server"),
    "a port that is none": ({"bootstrap_servers": "one:90920"}, "is no server"),
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_cannot_work_are_refused_before_connecting(case: str, tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("no certificate")
    changes, said = WRONG[case]
    settings = RedpandaSettings(**{"bootstrap_servers": "one:9092", **changes})
    with pytest.raises(TransportError) as caught:
        RedpandaTransport(settings, config_file=tmp_path / "vectis.toml")
    assert "[redpanda]" in str(caught.value)
    assert said in str(caught.value)
    assert not isinstance(caught.value, PublishError)


def test_a_wrong_password_is_told_as_one_when_there_is_little_time(
    secured_broker: Secured,
) -> None:
    settings = settings_for(secured_broker, "SASL_SSL", "SCRAM-SHA-256", sasl_password="hunter2")
    assert "does not let user 'shop' in" in str(refusal(settings, "any", timeout=2))


def test_no_command_shows_a_password(secured_broker: Secured, tmp_path: Path) -> None:
    client = secured_broker.authority.issue("commands", password="key-secret")
    world = World(tmp_path)
    world.config(
        f"""
        [redpanda]
        bootstrap_servers = "{secured_broker.broker.node.address("SASL_SSL")}"
        security_protocol = "SASL_SSL"
        sasl_username = "{USER}"
        ssl_cafile = "{secured_broker.authority.file}"
        ssl_certfile = "{client.certificate}"
        ssl_keyfile = "{client.key}"
        ssl_password = "key-secret"
        """
    )
    for command, code in (
        (("config",), 0),
        (("config", "--json"), 0),
        (("doctor",), 1),
        (("--debug", "publish", "vectis.orders", "order.created", "{}"), 1),
    ):
        answer = world.vectis(*command, VECTIS_REDPANDA_SASL_PASSWORD="hunter2")
        assert answer.code == code, answer.err
        shown = answer.out + answer.err
        assert "shop" in shown, "who is not let in"
        assert "hunter2" not in shown, command
        assert "key-secret" not in shown, command


def test_a_key_with_a_password_is_read_with_it_only(
    secured_broker: Secured, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = secured_broker.authority.issue("with-password", password="key-secret")
    given = {"ssl_certfile": str(client.certificate), "ssl_keyfile": str(client.key)}
    topic = create_topic(secured_broker.broker.servers, unique_name("key-password"))
    settings = settings_for(secured_broker, "MTLS", ssl_password="key-secret", **given)
    with caplog.at_level(logging.DEBUG):
        publish(settings, topic)
    assert "key-secret" not in caplog.text + repr(settings)
    for wrong in ("other-secret", None):
        with pytest.raises(TransportError, match="ssl_password is the key's") as caught:
            RedpandaTransport(settings_for(secured_broker, "MTLS", ssl_password=wrong, **given))
        assert "secret" not in str(caught.value)
