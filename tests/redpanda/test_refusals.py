"""What answers is no broker, shows a bad certificate, or refuses: the error says what to change.

Passwords are in `test_security`, sizes and brokers that are away in `test_publishing`.
"""

from __future__ import annotations

import asyncio
import socketserver
import time
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.kafka.ports import HOST, free_port
from tests.kafka.secured import FORBIDDEN, PASSWORD, USER
from tests.kafka.topics import create_topic, unique_name
from tests.redpanda.counter import LONGEST, hub_on, publishing_fails
from vectis.core.exceptions import TransportError
from vectis.core.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.secured import Secured
    from vectis.core import Hub


def words_for_both(servers: str, topic: str = "vectis.orders", **redpanda: Any) -> tuple[str, str]:
    """Return what somebody who publishes and what a worker are told."""
    published = publishing_fails(hub_on(servers, **redpanda), topic)
    assert published.fate == "not_sent"
    return str(published), working_fails(worker_hub(servers, topic, **redpanda))


def worker_hub(servers: str, topic: str, group: str | None = None, **redpanda: Any) -> Hub:
    config = {"consumer": {"group": group or unique_name("shop")}}
    hub = hub_on(servers, config=config, **redpanda)
    hub.on_event("order.created", lambda event_type, payload: None, topic=topic)
    return hub


def working_fails(hub: Hub) -> str:
    async def main() -> str:
        try:
            await asyncio.wait_for(Worker(hub).run(), 30)
        except TransportError as error:
            return str(error)
        finally:
            await hub.shutdown()
        raise AssertionError("the worker ended without an error")

    return asyncio.run(main())


def assert_said(words: tuple[str, str], *wanted: str) -> None:
    for said in words:
        assert [word for word in wanted if word not in said] == [], said
        assert PASSWORD not in said
        assert "\n" not in said


# ---------------------------------------------------------------- the address


class Web(socketserver.StreamRequestHandler):
    """Answers anything as a web server does."""

    def handle(self) -> None:
        self.request.recv(1024)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


class Silence(socketserver.StreamRequestHandler):
    """Takes connections and never says anything."""

    def handle(self) -> None:
        while self.request.recv(1024):
            pass


class Nonsense(socketserver.StreamRequestHandler):
    """Answers as a broker does, and then with what means nothing."""

    filling = b"\xff"

    def handle(self) -> None:
        while size := int.from_bytes(self.rfile.read(4)):
            number = self.rfile.read(size)[4:8]
            self.request.sendall(b"\0\0\0\x14" + number + self.filling * 16)


class Zeros(Nonsense):
    """Says that it can do nothing at all."""

    filling = b"\0"


@pytest.fixture(params=[Web, Silence, Nonsense, Zeros], ids=lambda handler: handler.__name__)
def something_else(request: pytest.FixtureRequest) -> Iterator[str]:
    with socketserver.ThreadingTCPServer((HOST, 0), request.param) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"{HOST}:{server.server_address[1]}"
        server.shutdown()


def test_something_else_is_at_the_port(something_else: str) -> None:
    begun = time.monotonic()
    error = publishing_fails(hub_on(something_else), "vectis.orders")
    assert time.monotonic() - begun < LONGEST + 2
    assert error.fate == "not_sent"
    told = working_fails(worker_hub(something_else, "vectis.orders", request_timeout=1.0))
    assert_said((str(error), told), something_else, "[redpanda] bootstrap_servers")


def test_nobody_is_there() -> None:
    nobody = f"{HOST}:{free_port()}"
    words = words_for_both(nobody)
    assert_said(words, f"{nobody} cannot be reached (nothing listens there)", "[redpanda]")


# ---------------------------------------------------------------- certificates


def test_an_authority_that_is_not_trusted(secured_broker: Secured) -> None:
    servers = secured_broker.broker.node.address("SSL")
    other = str(secured_broker.stranger.file)
    words = words_for_both(servers, security_protocol="SSL", ssl_cafile=other)
    assert_said(words, servers, "not trusted", "[redpanda] ssl_cafile")


@pytest.mark.parametrize(
    ("listener", "wanted"), [("EXPIRED", "expired"), ("ELSEWHERE", "for another host")]
)
def test_a_certificate_that_is_no_good(secured_broker: Secured, listener: str, wanted: str) -> None:
    servers = secured_broker.broker.node.address(listener)
    trusted = str(secured_broker.authority.file)
    words = words_for_both(servers, security_protocol="SSL", ssl_cafile=trusted)
    assert_said(words, servers, wanted)


def test_a_client_without_the_certificate_that_is_asked_for(secured_broker: Secured) -> None:
    servers = secured_broker.broker.node.address("MTLS")
    trusted = str(secured_broker.authority.file)
    words = words_for_both(servers, security_protocol="SSL", ssl_cafile=trusted)
    assert_said(words, servers, "[redpanda]", "ssl_certfile")


@pytest.mark.parametrize(("listener", "protocol"), [("SSL", "PLAINTEXT"), ("PLAINTEXT", "SSL")])
def test_encryption_on_one_side_only(secured_broker: Secured, listener: str, protocol: str) -> None:
    servers = secured_broker.broker.node.address(listener)
    trusted = str(secured_broker.authority.file) if protocol == "SSL" else None
    words = words_for_both(servers, security_protocol=protocol, ssl_cafile=trusted)
    assert_said(words, servers, "[redpanda] security_protocol")


# ---------------------------------------------------------------- topics


def test_a_topic_that_does_not_exist_names_the_command_that_makes_it(
    secured_broker: Secured,
) -> None:
    topic = unique_name("nowhere")
    begun = time.monotonic()
    error = publishing_fails(hub_on(secured_broker.broker.servers), topic)
    assert time.monotonic() - begun < LONGEST + 2
    assert f"vectis topics create {topic}" in str(error)
    assert error.fate in ("not_sent", "rejected")


def as_shop(secured_broker: Secured) -> dict[str, Any]:
    return {
        "security_protocol": "SASL_SSL",
        "ssl_cafile": str(secured_broker.authority.file),
        "sasl_username": USER,
        "sasl_password": PASSWORD,
    }


def test_a_topic_that_this_user_may_not_use(secured_broker: Secured) -> None:
    settings = as_shop(secured_broker)
    servers = secured_broker.broker.node.address("SASL_SSL")
    published = publishing_fails(hub_on(servers, **settings), FORBIDDEN)
    assert published.fate in ("not_sent", "rejected")
    told = str(published), working_fails(worker_hub(servers, FORBIDDEN, **settings))
    assert_said(told, FORBIDDEN, "may not use", "[redpanda] sasl_username")


def test_a_group_that_this_user_may_not_join(secured_broker: Secured) -> None:
    topic = create_topic(secured_broker.broker.servers, unique_name("open"))
    servers = secured_broker.broker.node.address("SASL_SSL")
    hub = worker_hub(servers, topic, group=FORBIDDEN, **as_shop(secured_broker))
    said = working_fails(hub)
    assert f"may not join group {FORBIDDEN}" in said
    assert "[redpanda] sasl_username" in said
