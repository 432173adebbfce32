"""The health server, asked over HTTP: what it answers, and what it does not put up with."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.core.worker_world import TOPIC, Shop, eventually
from vectis.core import Hub
from vectis.core.events import Event
from vectis.core.exceptions import ConfigError, PluginError
from vectis.core.hookspecs import hookimpl
from vectis.core.testing import MemoryTransport
from vectis.core.worker import Worker
from vectis.core.worker.health import Health
from vectis.core.worker.metrics import Metrics
from vectis_bus import Bus

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE = 30.0


@pytest.fixture
def health() -> Iterator[Health]:
    with Health("127.0.0.1", 0, Metrics()) as health:
        yield health


def get(health: Health, path: str, method: str = "GET") -> tuple[int, str, Any]:
    """Return status code, body and headers of an answer."""
    request = Request(f"http://{health.address}{path}", method=method)
    try:
        with urlopen(request, timeout=DEADLINE) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


def raw(health: Health, sent: bytes) -> bytes:
    """Return everything that is answered to some bytes, until the connection is closed."""
    host, port = health.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
        connection.sendall(sent)
        answer = b""
        while more := connection.recv(65536):
            answer += more
        return answer


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Return metrics by name and label values, parsed as Prometheus does, labels in their order."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


# ---------------------------------------------------------------- the server


def test_before_there_is_a_worker_it_is_alive_and_not_ready(health: Health) -> None:
    assert get(health, "/livez")[:2] == (200, "live: it is starting\n")
    assert get(health, "/readyz")[:2] == (503, "not ready: it is starting\n")
    assert json.loads(get(health, "/status")[1]) == {"state": "starting"}
    assert "process_resident_memory_bytes" in get(health, "/metrics")[1]


def test_another_path_is_404_and_lists_those_that_there_are(health: Health) -> None:
    for path in ("/", "/../etc/passwd", "/livez/", "/favicon.ico"):
        code, body, headers = get(health, path)
        assert (code, body) == (404, "there are /livez, /readyz, /status, /metrics\n")
        assert headers["Content-Type"] == "text/plain; charset=utf-8"


def test_a_query_is_put_up_with_and_head_has_no_body(health: Health) -> None:
    assert get(health, "/livez?verbose=1")[0] == 200
    code, body, headers = get(health, "/livez", "HEAD")
    assert (code, body, headers["Content-Length"]) == (200, "", "21")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "BREW"])
def test_another_method_is_405(health: Health, method: str) -> None:
    code, body, headers = get(health, "/livez", method)
    assert (code, body, headers["Allow"]) == (405, "only GET and HEAD\n", "GET, HEAD")


@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET\r\n\r\n", b"GET /" + b"x" * 70_000 + b"\r\n\r\n"],
    ids=["TLS", "half a request", "too long"],
)
def test_what_is_no_request_is_refused_and_the_next_one_answered(
    health: Health, sent: bytes
) -> None:
    assert b"Traceback" not in raw(health, sent)
    assert get(health, "/livez")[0] == 200


def test_connections_that_say_nothing_keep_nobody_out_for_long() -> None:
    with ExitStack() as stack:
        health = stack.enter_context(Health("127.0.0.1", 0, Metrics(), timeout=0.3))
        host, port = health.address.rsplit(":", 1)
        for _ in range(40):
            stack.enter_context(socket.create_connection((host, int(port)), timeout=DEADLINE))

        def answered() -> bool:
            try:
                return get(health, "/livez")[0] == 200
            except (OSError, http.client.HTTPException):
                return False

        asyncio.run(eventually(answered))
    assert threading.active_count() < 40


def test_a_port_in_use_is_a_config_error_that_says_what_to_do(health: Health) -> None:
    port = int(health.address.rsplit(":", 1)[1])
    with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}: .*in use.*--health-port"):
        Health("127.0.0.1", port, Metrics()).__enter__()


def test_a_host_that_is_none_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"cannot be served at no-such-host\.invalid:0"):
        Health("no-such-host.invalid", 0, Metrics()).__enter__()


def test_it_stops() -> None:
    with Health("127.0.0.1", 0, Metrics()) as health:
        pass
    with pytest.raises(URLError, match="refused"):
        get(health, "/livez")


# ---------------------------------------------------------------- with a worker


def test_the_pages_follow_the_worker_while_its_loop_is_blocked(health: Health) -> None:
    metrics = Metrics()
    shop, go = Shop(stuck_after=0.5, observers=[metrics]), threading.Event()
    shop.transport.failing = {"fetch"}
    found: dict[str, Any] = {}

    async def blocks(event_type: str, payload: dict[str, Any]) -> None:
        go.wait(DEADLINE)

    shop.on("order.created", blocks)
    health.worker = worker = Worker(shop.hub)

    def ask(loop: asyncio.AbstractEventLoop) -> None:
        patience = threading.Event()

        def until(path: str, code: int) -> str:
            while (answer := get(health, path))[0] != code:
                patience.wait(0.005)
            return answer[1]

        try:
            while "the broker is away" not in get(health, "/readyz")[1]:
                patience.wait(0.005)
            found["away"] = until("/livez", 200)
            shop.transport.failing = set()
            found["dead"] = until("/livez", 503)
            found["unready"] = until("/readyz", 503)
            found["status"] = json.loads(get(health, "/status")[1])
            go.set()
            found["ready"] = until("/readyz", 200)
            found["live"] = until("/livez", 200)
        finally:
            go.set()
            loop.call_soon_threadsafe(worker.stop)

    async def main() -> None:
        await shop.publish(1)
        thread = threading.Thread(target=ask, args=(asyncio.get_running_loop(),), daemon=True)
        thread.start()
        await worker.run()
        await asyncio.to_thread(thread.join, DEADLINE)

    asyncio.run(main())
    assert found["away"] == "live\n"
    assert "blocks at vectis.orders/0@0" in found["dead"]
    assert found["unready"].startswith("not ready: the event loop has been blocked")
    assert found["status"]["loop"]["by"] == "app:blocks at vectis.orders/0@0"
    assert [stuck["handler"] for stuck in found["status"]["stuck"]] == ["app:blocks"]
    oldest = found["status"]["oldest"]
    assert (oldest["handler"], oldest["running"] > 0.25) == ("app:blocks", True)
    assert "blocks" in oldest["where"]
    assert (found["ready"], found["live"]) == ("ready\n", "live\n")
    assert get(health, "/readyz")[:2] == (503, "not ready: it is stopped\n")


def test_a_member_without_partitions_is_ready_in_reserve(health: Health) -> None:
    shop = Shop()
    shop.on("order.created", lambda event_type, payload: None)
    first, health.worker = Worker(shop.hub), Worker(shop.hub)

    async def main() -> None:
        await shop.publish(1)
        both = [asyncio.ensure_future(first.run())]
        await eventually(lambda: not first.status().unready)
        assert health.worker is not None
        both.append(asyncio.ensure_future(health.worker.run()))
        await eventually(lambda: health.worker is not None and not health.worker.status().unready)
        answer = await asyncio.to_thread(get, health, "/readyz")
        first.stop()
        health.worker.stop()
        await asyncio.wait(both)
        assert answer[:2] == (200, "ready: in reserve, others hold all partitions\n")

    asyncio.run(main())


# ---------------------------------------------------------------- metrics


def test_the_metrics_are_what_the_hooks_told() -> None:
    metrics = Metrics()
    shop = Shop(max_attempts=2, observers=[metrics])

    async def works(event_type: str, payload: dict[str, Any]) -> None:
        await shop.hub.emit(Event("stock.low"))

    async def fails(event_type: str, payload: dict[str, Any]) -> None:
        raise ValueError("no")

    def low(event: Event) -> None:
        raise KeyError("stock")

    shop.on("order.created", works)
    shop.on("order.created", fails)
    shop.hub.subscribe("stock.low", low)

    async def main() -> None:
        await shop.publish(1)
        await shop.publish(2, event_type="order.unknown")
        await shop.work(shop.finished(2))

    asyncio.run(main())
    found = samples(metrics.text().decode())
    expected = {
        ("vectis_deliveries_total", "app:works", "handled", TOPIC): 1,
        ("vectis_deliveries_total", "app:fails", "dead_lettered", TOPIC): 1,
        ("vectis_deliveries_total", "", "skipped", TOPIC): 1,
        ("vectis_delivery_seconds_count", TOPIC): 2,
        ("vectis_handler_failures_total", "app:fails", "worker"): 2,
        ("vectis_handler_failures_total", "app:low", "emit"): 1,
        ("vectis_retries_total", "app:fails"): 1,
        ("vectis_dead_letters_total", "app:fails", TOPIC): 1,
        ("vectis_publishes_total", "acknowledged", TOPIC): 2,
        ("vectis_emits_total", "stock.low", "completed"): 1,
        ("vectis_emit_seconds_count", "stock.low"): 1,
        ("vectis_worker_info", "shop", "stopped", "memory"): 1,
        ("vectis_ready",): 0,
        ("vectis_live",): 1,
        ("vectis_in_flight",): 0,
        ("vectis_quarantined_plugins",): 0,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert found["vectis_last_commit_timestamp_seconds",] > 1_700_000_000


def test_made_up_event_types_do_not_make_endless_metrics() -> None:
    metrics = Metrics()
    hub = Hub({}, plugins={"bus": Bus()}, observers=[metrics], discover=False)
    hub.subscribe("*", lambda event: None)

    async def main() -> None:
        for number in range(250):
            await hub.emit(Event(f"order.n{number}"))

    asyncio.run(main())
    emitted = {k: v for k, v in samples(metrics.text().decode()).items() if "emits_total" in k[0]}
    assert len(emitted) == 201
    assert emitted["vectis_emits_total", "other", "completed"] == 50


# ---------------------------------------------------------------- observers of a program


class Observer:
    """Sees emits, and whatever else it should not."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @hookimpl
    def vectis_after_emit(self, event: Event) -> None:
        self.seen.append(event.type)


def test_observers_are_no_plugins_so_that_no_config_switches_them_off() -> None:
    first, second = Observer(), Observer()
    hub = Hub(
        {"plugins": {"enable": ["bus"]}},
        plugins={"bus": Bus(), "memory": MemoryTransport()},
        observers=[first, second],
        discover=False,
    )
    asyncio.run(hub.emit(Event("order.created")))
    assert first.seen == second.seen == ["order.created"]
    assert [plugin.name for plugin in hub.plugins] == ["bus", "memory"]


def test_an_observer_that_fails_is_not_told_to_be_a_plugin(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        @hookimpl
        def vectis_after_emit(self, event: Event) -> None:
            raise ValueError("no disk")

    hub = Hub({}, plugins={"bus": Bus()}, observers=[Broken()], discover=False)
    asyncio.run(hub.emit(Event("order.created")))
    assert "vectis_after_emit of observer 1, Broken failed, and everything" in caplog.text
    assert "Mend it: it is the program's own" in caplog.text
    assert "disable" not in caplog.text


def test_an_observer_with_a_hook_of_plugins_is_refused() -> None:
    class Wrong:
        @hookimpl
        def vectis_settings(self) -> None:
            pass

    with pytest.raises(PluginError, match="observer 1, Wrong: vectis_settings is for plugins"):
        Hub({}, observers=[Wrong()], discover=False)
