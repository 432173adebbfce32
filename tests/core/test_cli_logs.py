"""Log lines that nothing from outside can forge, and what the status line and the summary say."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from datetime import datetime
from typing import Any

import pytest
from rich.console import Console

from tests.core.worker_world import a_status
from vectis.core.cli.logs import formatter
from vectis.core.cli.progress import LogAbove, Rate, StatusLine, Summary, parts_of
from vectis.core.worker.status import DeliveryStatus, LoopStatus, PartitionStatus, WorkerStatus

FORGED = "lost\n2026-01-01 00:00:00,000 INFO    vectis.worker: all is well\r\x1b[2J\u2028x\ud800"


def record(message: str, *args: object, error: bool = False, **extra: object) -> logging.LogRecord:
    exc_info = None
    if error:
        try:
            raise ValueError(FORGED)
        except ValueError:
            exc_info = sys.exc_info()
    logger = logging.getLogger("shop")
    return logger.makeRecord(
        "shop", logging.ERROR, __file__, 7, message, args, exc_info, extra=extra
    )


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize("error", [False, True], ids=["in the message", "in the traceback"])
def test_in_text_no_line_but_the_first_begins_where_a_record_does(error: bool) -> None:
    text = formatter("text").format(record("it is %s", FORGED, error=error))
    first, *more = text.split("\n")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ERROR   shop: it is lost", first)
    assert more
    assert all(line.startswith("  ") for line in more)
    assert all(line.isprintable() for line in more)


@pytest.mark.parametrize("error", [False, True], ids=["in the message", "in the traceback"])
def test_in_json_a_record_is_one_object_on_one_line(error: bool) -> None:
    text = formatter("json", member=2).format(
        record("it is %s", FORGED, error=error, topic="vectis.orders", offset=7)
    )
    assert text.isascii()
    assert "\n" not in text
    shown = json.loads(text)
    assert shown["message"] == f"it is {FORGED}"
    assert (shown["level"], shown["logger"]) == ("ERROR", "shop")
    assert (shown["topic"], shown["offset"], shown["member"]) == ("vectis.orders", 7, 2)
    assert datetime.fromisoformat(shown["time"]).tzinfo is not None
    assert ("ValueError" in shown.get("error", "")) is error


def test_a_prefix_stands_in_front_of_every_record() -> None:
    assert formatter("text", prefix="[2] ").format(record("up")).startswith("[2] 20")


# ---------------------------------------------------------------- what a worker is about


def busy(**values: Any) -> WorkerStatus:
    partitions = tuple(PartitionStatus(topic="t", partition=n) for n in range(8))
    return a_status(**{"lag": 12_345, "in_flight": 2_000, "partitions": partitions, **values})


def shown(status: WorkerStatus, rate: float = 1_234.4) -> str:
    return " | ".join(text for text, _ in parts_of(status, rate))


def test_the_line_tells_rate_lag_in_flight_retries_dead_letters_and_assignment() -> None:
    assert shown(busy()) == (
        "shop | 1,234/s | lag 12,345 | in flight 2,000 | retries 0 | dead letters 0 | 8 partitions"
    )


@pytest.mark.parametrize(
    ("values", "trouble"),
    [
        ({"state": "draining"}, "shop draining | "),
        ({"loop": LoopStatus(blocked=12.4, by="app:sync at t/0@7")}, "| blocked 12 s by app:sync "),
        ({"loop": LoopStatus(blocked=12.4)}, "| blocked 12 s by no handler |"),
        (
            {"stuck": (DeliveryStatus(place="t/0@7", handler="app:sync"),), "stuck_count": 1_000},
            "| 1,000 stuck in app:sync |",
        ),
        ({"fetch_error": "gone"}, "| transport away |"),
        ({"commit_error": "gone"}, "| not committing |"),
        ({"published": {"failed": 3, "acknowledged": 4}}, "| not published 3"),
        ({"hook_errors": {"acme vectis_after_emit": 2}}, "| hook errors 2"),
    ],
)
def test_the_line_tells_what_is_wrong(values: dict[str, Any], trouble: str) -> None:
    assert trouble in shown(busy(**values))


def test_what_happened_stands_before_what_did_not() -> None:
    assert shown(busy(dead_lettered=7)) == (
        "shop | 1,234/s | lag 12,345 | dead letters 7 | in flight 2,000 | retries 0 | 8 partitions"
    )


def test_the_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate()
    assert [rate.note(100 * second, second) for second in range(20)][1:] == [100.0] * 19
    assert [round(rate.note(1_900, second)) for second in range(20, 27)][-1] == 0


def terminal(width: int) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_the_status_line_is_one_line_however_narrow_the_terminal(width: int) -> None:
    console = terminal(width)
    with StatusLine(console) as line:
        line.vectis_worker_status(busy(retried=3, dead_lettered=1))
    assert isinstance(console.file, io.StringIO)
    drawn = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", console.file.getvalue())
    lines = [line.strip() for line in re.split(r"[\r\n]+", drawn) if line.strip()]
    assert lines[-1].startswith("shop")
    assert all(len(line) < width for line in lines)
    assert ("8 partitions" in lines[-1]) is (width >= 80)


def test_log_lines_go_above_the_status_line_and_are_not_broken() -> None:
    console = terminal(40)
    logger = logging.getLogger("tests.above")
    handler = LogAbove(console)
    handler.setFormatter(formatter("text"))
    logger.addHandler(handler)
    with StatusLine(console) as line:
        line.vectis_worker_status(busy())
        logger.error("[bold]%s[/bold] %s", "x" * 100, FORGED)
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue()
    assert "[bold]" + "x" * 100 + "[/bold] lost\n  2026" in drawn
    assert drawn.count("\x1b[?25h") > 0, "the cursor is shown even when the process is killed"


def test_the_summary_is_logged_now_and_then_and_only_when_something_changed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    summary = Summary(every=60.0)
    with caplog.at_level(logging.INFO, "vectis.worker"):
        for second in range(400):
            handled = 10 * min(second, 150)
            summary.vectis_worker_status(busy(uptime=float(second), handled=handled, lag=0))
        summary.vectis_worker_status(busy(uptime=999.0, handled=1, state="draining"))
    said = [r.getMessage() for r in caplog.records]
    assert said == [
        "group shop, 10/s, lag 0, in flight 2,000, retries 0, dead letters 0, 8 partitions",
        "group shop, 10/s, lag 0, in flight 2,000, retries 0, dead letters 0, 8 partitions",
        "group shop, 0/s, lag 0, in flight 2,000, retries 0, dead letters 0, 8 partitions",
    ]
    assert [vars(r)["finished"] for r in caplog.records] == [600, 1_200, 1_500]
