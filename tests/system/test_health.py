"""`/status` tells the truth while a handler hangs: real workers, asked over HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.system.workers import DEADLINE

if TYPE_CHECKING:
    from tests.system.workers import Place, Started

HANGS = {
    "async": """
        async def hold():
            while not pathlib.Path("go").exists():
                await asyncio.sleep(0.01)

        @on_event("order.created")
        async def sync_erp(event_type: str, payload: dict) -> None:
            record("begun")
            await hold()
        """,
    "in a thread": """
        def hold():
            while not pathlib.Path("go").exists():
                time.sleep(0.01)

        @on_event("order.created")
        def sync_erp(event_type: str, payload: dict) -> None:
            record("begun")
            hold()
        """,
    "blocking the loop": """
        def hold():
            while not pathlib.Path("go").exists():
                time.sleep(0.01)

        @on_event("order.created")
        async def sync_erp(event_type: str, payload: dict) -> None:
            record("begun")
            hold()
        """,
}


def addresses(worker: Started) -> list[str]:
    return re.findall(r"health at (http://\S+):", worker.said())


def get(address: str, path: str) -> tuple[int, str]:
    try:
        with urlopen(address + path, timeout=DEADLINE) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def is_ready(address: str) -> bool:
    return get(address, "/readyz") == (200, "ready\n")


@pytest.mark.parametrize("kind", HANGS)
def test_the_status_tells_the_truth_while_a_handler_hangs(place: Place, kind: str) -> None:
    place.config(stuck_after=0.6)
    place.module(HANGS[kind])
    (receipt,) = place.publish({"key": "order 7", "n": 1})
    worker = place.start("shop_handlers", "--health-port", "0")
    place.until_handled(1)
    (address,) = addresses(worker)
    found: dict[str, Any] = {}
    blocks = kind == "blocking the loop"

    def stuck() -> object:
        found.update(json.loads(get(address, "/status")[1]))
        # A machine under load may keep the loop waiting, too.
        return found["stuck"] and (blocks or not found["loop"]["blocked"])

    place.until(stuck, "for the status to tell of it")
    (one,) = found["stuck"]
    assert (one["handler"], one["key"]) == ("app:sync_erp", "order 7")
    assert one["place"] == f"vectis.orders/{receipt.partition}@0" == found["oldest"]["place"]
    assert "shop_handlers.py" in one["where"]
    assert one["where"].endswith(" in hold")
    assert one["running"] > 0.6
    assert (found["state"], found["in_flight"], found["handled"]) == ("running", 1, 0)
    assert [h["handler"] for h in found["handlers"] if h["running"]] == ["app:sync_erp"]
    if blocks:
        place.until(lambda: get(address, "/livez")[0] == 503, "for it to be called dead")
        assert get(address, "/livez")[1].startswith("dead: the event loop has been blocked")
        found.update(json.loads(get(address, "/status")[1]))
        assert found["loop"]["by"] == f"app:sync_erp at {one['place']}"
        assert "in hold" in "\n".join(found["loop"]["stack"])
    else:
        place.until(lambda: get(address, "/livez") == (200, "live\n"), "for it to be live")
        place.until(partial(is_ready, address), "for it to be ready")
    place.until(lambda: "vectis_stuck 1.0" in get(address, "/metrics")[1], "for the metrics")
    begins, ends = "handler app:sync_erp at .* is stuck", "handler app:sync_erp is not stuck any mo"
    if blocks:
        begins, ends = "blocked for .* by handler app:sync_erp at ", "the event loop runs again"
    place.until(lambda: re.search(begins, worker.said()), "for the watchdog to say so")
    (place.folder / "go").touch()

    def healed() -> bool:
        status = json.loads(get(address, "/status")[1])
        return bool(status["handled"] == 1 and not status["stuck"] and not status["unready"])

    place.until(healed, "for it to go on")
    (blamed,) = json.loads(get(address, "/status")[1])["blame"]
    assert (blamed["handler"], blamed["calls"], blamed["failed"]) == ("app:sync_erp", 1, 0)
    assert blamed["longest"] > 0.6
    place.until(lambda: re.search(ends, worker.said()), "for it to say so")
    assert worker.stop() == 0
    assert len(re.findall(begins, worker.said())) == 1, "once, and not with every look"


def test_it_is_ready_when_it_fetches_and_not_any_more_while_it_drains(place: Place) -> None:
    place.module(HANGS["async"])
    worker = place.start("shop_handlers", "--health-port", "0")
    place.until(lambda: addresses(worker), "for its address")
    (address,) = addresses(worker)
    place.until(partial(is_ready, address), "for it to be ready")
    place.publish({"n": 1})
    place.until_handled(1)
    worker.signal(signal.SIGTERM)
    draining = (503, "not ready: it is draining\n")
    place.until(lambda: get(address, "/readyz") == draining, "for it to drain")
    place.until(lambda: get(address, "/livez")[0] == 200, "for it to be live nevertheless")
    (place.folder / "go").touch()
    assert worker.end() == 0


def test_a_health_port_in_use_ends_the_start_with_exit_code_2(place: Place) -> None:
    place.module("")
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        ended = place.run("shop_handlers", "--health-port", str(port))
    assert ended.returncode == 2
    assert f"the health port cannot be served at 127.0.0.1:{port}: " in ended.stderr
    assert "--health-port" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_ports_of_several_processes_must_all_be_ports(place: Place) -> None:
    ended = place.run("shop_handlers", "--health-port", "65535", "--processes", "2")
    assert ended.returncode == 2
    assert "2 processes cannot serve their health from port 65535 on" in ended.stderr


def test_every_process_serves_its_health_and_says_which_it_is(place: Place) -> None:
    place.config(health_port=0, log_format='"json"')
    place.module("""
        @on_event("order.created")
        async def handle(event_type: str, payload: dict) -> None:
            record("begun")
        """)
    worker = place.start("shop_handlers", "--processes", "2")
    place.until(lambda: len(set(addresses(worker))) == 2, "for both addresses")
    for address in addresses(worker):
        place.until(partial(is_ready, address), "for it to be ready")
    pids = {json.loads(get(address, "/status")[1])["pid"] for address in addresses(worker)}
    assert len(pids) == 2
    assert worker.stop() == 0
    records = [json.loads(line) for line in worker.said().splitlines()]
    assert {record.get("member") for record in records} == {None, 1, 2}


def test_in_json_every_line_is_a_record_whatever_an_error_says(place: Place) -> None:
    place.config(max_attempts=1)
    place.module("""
        @on_event("order.created")
        async def sync_erp(event_type: str, payload: dict) -> None:
            raise ValueError("lost\\n{}\\r\\n2026-01-01 INFO all is well")
        """)
    (receipt,) = place.publish({"n": 1})
    worker = place.start("shop_handlers", "--log-format", "json")
    worker.until_said("set aside to")
    assert worker.stop() == 0
    records = [json.loads(line) for line in worker.said().splitlines()]
    failed = next(r for r in records if "failed at" in r["message"])
    expected = {
        "level": "WARNING",
        "logger": "vectis.worker",
        "topic": "vectis.orders",
        "partition": receipt.partition,
        "offset": 0,
        "attempt": 1,
        "handler": "app:sync_erp",
    }
    assert {key: failed[key] for key in expected} == expected


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals like that here")
def test_on_a_terminal_there_is_a_line_below_the_log(place: Place) -> None:
    place.module("""
        @on_event("order.created")
        async def handle(event_type: str, payload: dict) -> None:
            record("begun")
        """)
    place.publish({"n": 1})
    ours, theirs = os.openpty()
    drawn = b""
    with subprocess.Popen(
        [sys.executable, "-m", "vectis.core.events.consumer", "shop_handlers"],
        cwd=place.folder,
        env={**place.environment(), "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as worker:
        try:
            while b"8 partitions" not in drawn:
                drawn += os.read(ours, 65536)
            worker.send_signal(signal.SIGTERM)
            while b"group shop stopped" not in drawn:
                drawn += os.read(ours, 65536)
            assert worker.wait(DEADLINE) == 0
        finally:
            worker.kill()
            os.close(theirs)
            os.close(ours)
    assert b"lag " in drawn
    assert b"in flight " in drawn
