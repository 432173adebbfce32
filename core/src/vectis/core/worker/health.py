"""Serves how a worker is, over HTTP and from threads of its own: probes, status, metrics.

It answers while the event loop is blocked, because that is when it is asked in earnest. Everything
is bounded: how many are served at once, how long one may take, what can be asked for.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from time import monotonic
from typing import TYPE_CHECKING, Any

from vectis.core.exceptions import ConfigError
from vectis.core.jsontext import to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectis.core.worker.metrics import Metrics
    from vectis.core.worker.worker import Worker

__all__ = ["Health"]

logger = logging.getLogger("vectis.health")

_MOST = 16  # requests at once
_POLL = 0.1  # seconds between two looks at what takes too long
_STALE = 2.0  # seconds after which the metrics are told the status anew: the loop may be blocked
_TEXT = "text/plain; charset=utf-8"

_Page = tuple[int, str, bytes]
"""Status code, content type, body."""


class Health:
    """The health server of one process.

    Args:
        host: The address to listen at.
        port: The port; 0 takes a free one.
        metrics: What `/metrics` shows.
        timeout: Seconds that one request may take, the reading of it included.

    Attributes:
        worker: Whom it is about; None while there is none yet.
        address: `host:port`, once it was started.

    Example:
        >>> from urllib.request import urlopen
        >>> from vectis.core.worker.health import Health
        >>> from vectis.core.worker.metrics import Metrics
        >>> with Health("127.0.0.1", 0, Metrics()) as health:
        ...     with urlopen(f"http://{health.address}/livez") as answer:
        ...         print(answer.status, answer.read().decode().strip())
        200 live: it is starting
    """

    def __init__(self, host: str, port: int, metrics: Metrics, *, timeout: float = 5.0) -> None:
        self.worker: Worker | None = None
        self.address = ""
        self._host = host
        self._port = port
        self._timeout = timeout
        self._metrics = metrics
        self._server: _Server | None = None
        self._pages: dict[str, Callable[[], _Page]] = {
            "/livez": self._live,
            "/readyz": self._ready,
            "/status": self._status,
            "/metrics": self._shown_metrics,
        }

    def __enter__(self) -> Health:
        """Listen, and serve from now on.

        Raises:
            ConfigError: The address cannot be listened at.
        """
        try:
            family, *_, where = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self._server = server = _Server(family, where, self.page, self._timeout)
        except OSError as error:
            raise ConfigError(
                f"the health port cannot be served at {_joined(self._host, self._port)}: "
                f"{error.strerror or error}. Choose another with --health-port and --health-host, "
                "or with [consumer] health_port and health_host"
            ) from error
        self.address = _joined(self._host, server.server_address[1])
        threading.Thread(
            target=server.serve_forever, args=(_POLL,), name="vectis-health", daemon=True
        ).start()
        logger.info("health at http://%s: %s", self.address, ", ".join(self._pages))
        return self

    def __exit__(self, *error: object) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def page(self, path: str) -> _Page:
        """Return the answer for a path."""
        found = self._pages.get(path)
        if found is None:
            return _text(HTTPStatus.NOT_FOUND, f"there are {', '.join(self._pages)}")
        return found()

    def _live(self) -> _Page:
        dead = self.worker.status(blame=False).dead if self.worker else ""
        if dead:
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, f"dead: {dead}")
        return _text(HTTPStatus.OK, "live" if self.worker else "live: it is starting")

    def _ready(self) -> _Page:
        if self.worker is None:
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, "not ready: it is starting")
        status = self.worker.status(blame=False)
        if status.unready:
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, f"not ready: {status.unready}")
        reserve = "" if status.partitions else ": in reserve, others hold all partitions"
        return _text(HTTPStatus.OK, f"ready{reserve}")

    def _status(self) -> _Page:
        shown: Any = self.worker.status().as_dict() if self.worker else {"state": "starting"}
        return HTTPStatus.OK, "application/json", to_json(shown, "status") + b"\n"

    def _shown_metrics(self) -> _Page:
        from vectis.core.worker.metrics import CONTENT_TYPE

        if self.worker is not None and monotonic() - self._metrics.told > _STALE:
            self._metrics.vectis_worker_status(self.worker.status(blame=False))
        return HTTPStatus.OK, CONTENT_TYPE, self._metrics.text()


class _Server(ThreadingMixIn, TCPServer):
    """Threads for a bounded number of requests, each closed when its time is up."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self, family: int, where: Any, page: Callable[[str], _Page], longest: float
    ) -> None:
        self.address_family = family
        self.page = page
        self.longest = longest
        self._free = threading.BoundedSemaphore(_MOST)
        self._ends: dict[Any, float] = {}
        super().__init__(where, _Request)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a request in a thread, or close it when too many are under way."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        self._ends[request] = monotonic() + self.longest
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve it, and make room for another."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._ends.pop(request, None)
            self._free.release()

    def service_actions(self) -> None:
        """Close what takes too long, such as a request that arrives byte by byte."""
        now = monotonic()
        for request, end in self._ends.copy().items():
            if now > end:
                with suppress(OSError):  # it may just have ended
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say little: whoever asks may go away whenever they want."""
        logger.debug("a request could not be answered: %r", sys.exc_info()[1])


class _Request(BaseHTTPRequestHandler):
    """One request: GET or HEAD of one of the pages."""

    server: _Server
    server_version = "vectis"
    sys_version = ""

    def setup(self) -> None:
        """Give up when nothing comes."""
        super().setup()
        self.connection.settimeout(self.server.longest)

    def do_GET(self) -> None:
        """Answer."""
        self._answer(*self.server.page(self.path.partition("?")[0]))

    do_HEAD = do_GET  # noqa: N815 - likewise

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse in plain text; an unknown method with 405."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self._answer(*_text(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD"))
        else:
            self._answer(*_text(code, HTTPStatus(code).phrase))

    def _answer(self, code: int, content_type: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if code == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing: probes come every few seconds."""


def _text(code: int, line: str) -> _Page:
    return code, _TEXT, f"{line}\n".encode()


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
