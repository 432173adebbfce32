"""That the proxy does to connections what it says, tried with a server that echoes."""

from __future__ import annotations

import socket
import socketserver
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from tests.kafka.ports import HOST
from tests.kafka.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTHING_COMES = 0.2  # seconds; an answer that is not held back takes a thousandth of it


class Echo(socketserver.BaseRequestHandler):
    """Sends back what it gets, and tells of it."""

    heard: SimpleQueue[bytes] = SimpleQueue()

    def handle(self) -> None:
        with suppress(ConnectionError):
            while chunk := self.request.recv(1024):
                Echo.heard.put(chunk)
                self.request.sendall(chunk)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    Echo.heard = SimpleQueue()
    with socketserver.ThreadingTCPServer((HOST, 0), Echo) as server, Proxy() as proxy:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(NOTHING_COMES / 10,), daemon=True).start()
        proxy.target = server.server_address[1]
        yield proxy
        server.shutdown()


@contextmanager
def connected(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, proxy.port), timeout=10) as connection:
        yield connection


def answers(connection: socket.socket, word: bytes) -> bool:
    connection.sendall(word)
    return hears(connection, word)


def hears(connection: socket.socket, word: bytes) -> bool:
    heard = b""
    while len(heard) < len(word):
        chunk = connection.recv(len(word) - len(heard))
        if not chunk:
            return False
        heard += chunk
    return heard == word


def is_silent(connection: socket.socket) -> bool:
    connection.settimeout(NOTHING_COMES)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(10)
    return False


def test_it_passes_on_in_both_directions(proxy: Proxy) -> None:
    with connected(proxy) as connection:
        assert answers(connection, b"x" * 200_000)
    assert proxy.accepted == 1


def test_cut_breaks_connections_and_takes_new_ones(proxy: Proxy) -> None:
    with connected(proxy) as connection:
        assert answers(connection, b"here")
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            answers(connection, b"gone")
    with connected(proxy) as connection:
        assert answers(connection, b"again")


def test_refuse_is_like_nobody_listening(proxy: Proxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, proxy.port), timeout=10)
    proxy.accept()
    with connected(proxy) as connection:
        assert answers(connection, b"back")


def test_a_stall_takes_connections_and_passes_nothing_on_until_it_flows(proxy: Proxy) -> None:
    with connected(proxy) as old:
        assert answers(old, b"before")
        proxy.stall()
        with connected(proxy) as new:
            old.sendall(b"held")
            new.sendall(b"also")
            assert is_silent(old)
            assert is_silent(new)
            assert Echo.heard.get(timeout=10) == b"before"
            assert Echo.heard.empty()
            proxy.flow()
            assert hears(old, b"held")
            assert hears(new, b"also")


def test_stalled_answers_leave_the_other_side_at_work(proxy: Proxy) -> None:
    with connected(proxy) as connection:
        proxy.stall(answers_only=True)
        connection.sendall(b"done")
        assert Echo.heard.get(timeout=10) == b"done"
        assert is_silent(connection)
        proxy.flow()
        assert hears(connection, b"done")


def test_a_delay_holds_back_for_its_time(proxy: Proxy) -> None:
    proxy.delay(0.1)
    with connected(proxy) as connection:
        begun = monotonic()
        assert answers(connection, b"later")
        assert monotonic() - begun >= 0.2, "a tenth of a second there and a tenth back"
