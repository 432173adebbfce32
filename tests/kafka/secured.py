"""A broker with passwords and certificates, good and bad ones: a listener for each.

Who is not identified may do everything, and so may every user, with one exception: nobody may
touch the topic `FORBIDDEN`.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import attrs
from aiokafka import AIOKafkaClient
from aiokafka.helpers import create_ssl_context
from aiokafka.protocol.admin import CreateAclsRequest

from tests.kafka.broker import brokers
from tests.kafka.certificates import Authority
from tests.kafka.leftovers import run
from tests.kafka.node import PLAIN, Listener
from tests.kafka.ports import HOST
from tests.kafka.topics import create_topic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kafka.broker import Broker
    from tests.kafka.certificates import Issued

__all__ = ["FORBIDDEN", "PASSWORD", "USER", "Secured", "secured"]

USER = "shop"
PASSWORD = "correct-horse-battery-staple"
FORBIDDEN = "forbidden"
_TOPIC, _GROUP = 2, 3  # Kafka's numbers for these kinds

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_MODULES = "org.apache.kafka.common.security"
_JAAS = {
    "PLAIN": f'{_MODULES}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
    "SCRAM-SHA-256": f"{_MODULES}.scram.ScramLoginModule required;",
    "SCRAM-SHA-512": f"{_MODULES}.scram.ScramLoginModule required;",
}


@attrs.frozen
class Secured:
    """The broker, and what a client needs.

    Args:
        broker: With the listeners `SSL`, `MTLS` (which wants a certificate of the client, too),
            `SASL_PLAINTEXT`, `SASL_SSL`, `EXPIRED` and `ELSEWHERE` (whose certificates are bad).
        authority: Has signed all of them.
        stranger: Has signed none.
        client: A client's certificate.
    """

    broker: Broker
    authority: Authority
    stranger: Authority
    client: Issued

    def client_settings(self, listener: str, mechanism: str | None = None) -> dict[str, Any]:
        """Return what aiokafka needs to be let in.

        Args:
            listener: Which way in.
            mechanism: For one that asks for a password.
        """
        settings: dict[str, Any] = {"bootstrap_servers": self.broker.node.address(listener)}
        secrecy = "PLAINTEXT" if listener == "SASL_PLAINTEXT" else "SSL"
        settings["security_protocol"] = f"SASL_{secrecy}" if mechanism else secrecy
        if secrecy == "SSL":
            own = (str(self.client.certificate), str(self.client.key))
            certificates = own if listener == "MTLS" else (None, None)
            settings["ssl_context"] = create_ssl_context(
                cafile=str(self.authority.file),
                certfile=certificates[0],
                keyfile=certificates[1],
            )
        if mechanism:
            user = {"sasl_plain_username": USER, "sasl_plain_password": PASSWORD}
            settings |= {"sasl_mechanism": mechanism, **user}
        return settings


@contextmanager
def secured(folder: Path, jars: Path) -> Iterator[Secured]:
    """Start such a broker, and end it afterwards.

    Args:
        folder: An empty one.
        jars: The folder of Kafka's jars.
    """
    authority, stranger = Authority(folder, "authority"), Authority(folder, "stranger")
    good = authority.issue("broker", HOST, "localhost")
    expired = authority.issue("expired", HOST, "localhost", valid=timedelta(days=-1))
    elsewhere = authority.issue("elsewhere", "broker.example")
    ssl = _certified(good, authority)
    listeners = (
        PLAIN,
        Listener("SSL", "SSL", settings=ssl),
        Listener("MTLS", "SSL", settings={**ssl, "ssl.client.auth": "required"}),
        Listener("EXPIRED", "SSL", settings=_certified(expired, authority)),
        Listener("ELSEWHERE", "SSL", settings=_certified(elsewhere, authority)),
        Listener("SASL_PLAINTEXT", "SASL_PLAINTEXT", settings=_identified()),
        Listener("SASL_SSL", "SASL_SSL", settings={**ssl, **_identified()}),
    )
    rights = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
        "super.users": "User:ANONYMOUS",
    }
    with brokers(
        folder / "secured", jars, listeners=listeners, settings=rights, passwords={USER: PASSWORD}
    ) as (broker,):
        create_topic(broker.servers, FORBIDDEN)
        for kind in (_TOPIC, _GROUP):
            run(_forbid(broker.servers, kind, FORBIDDEN))
        yield Secured(broker, authority, stranger, authority.issue("client"))


def _certified(certificate: Issued, authority: Authority) -> dict[str, str]:
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificate.both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.file),
    }


def _identified() -> dict[str, str]:
    mechanisms = {f"{name.lower()}.sasl.jaas.config": jaas for name, jaas in _JAAS.items()}
    return {"sasl.enabled.mechanisms": ",".join(MECHANISMS), **mechanisms}


async def _forbid(servers: str, kind: int, name: str) -> None:
    """Give a topic or a group to nobody: whoever is not on its list is refused."""
    literal, every_operation, allowed = 3, 2, 3  # Kafka's numbers for these words
    request = CreateAclsRequest(kind, name, literal, "User:nobody", "*", every_operation, allowed)
    client = AIOKafkaClient(bootstrap_servers=servers)
    await client.bootstrap()
    try:
        answer = await client.send(client.get_random_node(), request)
        assert [words[0] for words in answer.creation_responses] == [0], answer
    finally:
        await client.close()
