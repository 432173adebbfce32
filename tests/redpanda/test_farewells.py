"""Nothing stays open after a client, also where the other side says no goodbye."""

from __future__ import annotations

import asyncio
import gc
import socketserver
import ssl
import struct
import warnings
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.kafka.certificates import Authority
from tests.kafka.ports import HOST
from tests.kafka.proxy import Proxy
from tests.kafka.topics import create_topic, unique_name
from tests.redpanda.connections import publish, refusal, settings_for, start_refused
from vectis.core.exceptions import TransportError
from vectis_redpanda import RedpandaSettings, RedpandaTransport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kafka.secured import Secured

VERSIONS = struct.pack(">hihhhhhh", 0, 2, 3, 0, 1, 18, 0, 0)  # no error; two requests are taken
NONSENSE = b"\xff" * 16


class Deaf(socketserver.StreamRequestHandler):
    """Answers the first request, and after that nothing, no goodbye either, until it is left."""

    answer = b""

    def handle(self) -> None:
        context: ssl.SSLContext | None = getattr(self.server, "context", None)
        first = self.request.recv(1, 2)  # MSG_PEEK
        if context is None or first != b"\x16":
            return self.serve(self.request)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        secret = context.wrap_bio(incoming, outgoing, server_side=True)

        def done(step: Any) -> Any:
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    self.request.sendall(outgoing.read())
                    incoming.write(self.request.recv(65_536) or b"")
                finally:
                    self.request.sendall(outgoing.read())

        done(secret.do_handshake)
        request = done(lambda: secret.read(65_536))
        done(lambda: secret.write(framed(request, self.answer)))
        return self.wait(self.request)

    def serve(self, connection: Any) -> None:
        if request := connection.recv(65_536):
            connection.sendall(framed(request, self.answer))
        self.wait(connection)

    def wait(self, connection: Any) -> None:
        while connection.recv(65_536):
            pass


def framed(request: bytes, answer: bytes) -> bytes:
    return struct.pack(">i", len(answer) + 4) + request[8:12] + answer


@contextmanager
def deaf(answer: bytes, context: ssl.SSLContext | None) -> Iterator[str]:
    """Run such a server, and give its address."""
    handler = type("Answering", (Deaf,), {"answer": answer})
    with socketserver.ThreadingTCPServer((HOST, 0), handler) as server:
        server.daemon_threads = True
        server.context = context  # type: ignore[attr-defined]
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"{HOST}:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def nothing_left_open() -> Iterator[None]:
    """See that whatever was opened was closed, and not by the garbage collector."""
    gc.collect()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(one.message) for one in seen if one.category is ResourceWarning] == []


@pytest.mark.parametrize("answer", [VERSIONS, NONSENSE], ids=["silence", "nonsense"])
@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
def test_a_broker_that_says_no_goodbye(protocol: str, answer: bytes, tmp_path: Path) -> None:
    options: dict[str, Any] = {"security_protocol": protocol, "request_timeout": 1.0}
    context = None
    if protocol == "SSL":
        authority = Authority(tmp_path, "authority")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.issue("server", HOST).both)
        options["ssl_cafile"] = str(authority.file)
    with deaf(answer, context) as address, nothing_left_open():
        settings = RedpandaSettings(bootstrap_servers=address, **options)
        assert refusal(settings, "any", timeout=1.5).fate == "not_sent"
        for group in ("shop", None):
            assert address in str(start_refused(settings, "any", group))
        with pytest.raises(TransportError, match=address):
            asyncio.run(ask(settings))


async def ask(settings: RedpandaSettings) -> None:
    async with RedpandaTransport(settings).link.admin():
        """Nobody gets here."""


def test_a_broker_that_is_slow_to_say_goodbye_to_who_began_there(secured_broker: Secured) -> None:
    topic = create_topic(secured_broker.broker.servers, unique_name("farewell"))
    with Proxy() as proxy, nothing_left_open():
        proxy.target = secured_broker.broker.node.ports["SSL"]
        proxy.delay(0.15)  # only on the way that it begins on: the broker names its own port
        servers = f"{HOST}:{proxy.port}"
        publish(settings_for(secured_broker, "SSL", bootstrap_servers=servers), topic)


def test_who_is_cancelled_at_the_moment_of_closing_leaves_nothing_open_either(
    secured_broker: Secured,
) -> None:
    settings = RedpandaSettings(bootstrap_servers=secured_broker.broker.servers)

    async def ask_and_give_up() -> None:
        async with RedpandaTransport(settings).link.admin() as client:
            await client.list_topics()
            task = asyncio.current_task()
            assert task is not None
            task.cancel()  # the next thing that it waits for is the end of what it opened

    with nothing_left_open(), pytest.raises(asyncio.CancelledError):
        asyncio.run(ask_and_give_up())
