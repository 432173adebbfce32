"""What a demo found, as data: the screen shows it, `--json` writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from vectis_commerce.demo.check import Reckoning
    from vectis_commerce.demo.letters import Letter
    from vectis_commerce.demo.orders import OrdersFile
    from vectis_commerce.demo.producer import Cancelled

__all__ = ["Kill", "Report", "Speed", "as_json", "speed_of"]


@attrs.frozen
class Speed:
    """How fast something was.

    Args:
        messages: How many messages.
        seconds: How long all of them took together.
        p50: Seconds that half of them took at most.
        p99: Seconds that 99 of 100 took at most.
    """

    messages: int
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds if self.seconds else 0.0


def speed_of(messages: int, seconds: float, latencies: Iterable[float]) -> Speed:
    """Return the speed of messages whose latencies were measured, of all or of some of them.

    Args:
        messages: How many there were.
        seconds: How long all of them took together.
        latencies: Seconds of single ones.

    Example:
        >>> from vectis_commerce.demo.report import speed_of
        >>> speed_of(200, 4.0, [0.25, 0.5, 1.0]).p50
        0.5
    """
    ranked = sorted(latencies) or [0.0]
    p99 = min(len(ranked) * 99 // 100, len(ranked) - 1)
    return Speed(messages, seconds, ranked[len(ranked) // 2], ranked[p99])


@attrs.frozen
class Kill:
    """What had been done when a worker was killed.

    Args:
        entered: Entries in the ledger.
        committed: Messages whose end was committed: they do not come again.
        who: The worker.
    """

    entered: int
    committed: int
    who: str = "the worker"


@attrs.frozen(kw_only=True)
class Report:
    """Everything there is to show at the end.

    Args:
        file: The orders that were read, and the lines that were not.
        folder: Where the demo worked.
        broker: The servers of the broker that it ran on, if it did.
        topics: What was published to.
        handlers: Who handled what inside `emit`, as event type, priority and handler, in order.
        cancelled: What the guard cancelled, and why.
        publish: The sending side; its latencies are those of single publishes.
        end_to_end: From a publish to the entry in the ledger, in another process.
        letters: What was set aside.
        processes: How many workers shared the work.
        kills: The state in which a worker was killed, each time.
        redeliveries: How many events came again and were absorbed by the ledger.
        reckoning: Whether everything adds up.
    """

    file: OrdersFile
    folder: Path
    broker: str | None = None
    topics: tuple[str, ...]
    handlers: tuple[tuple[str, int, str], ...]
    cancelled: tuple[Cancelled, ...] = attrs.field(repr=False)
    publish: Speed
    end_to_end: Speed
    letters: tuple[Letter, ...]
    processes: int = 1
    kills: tuple[Kill, ...]
    redeliveries: int
    reckoning: Reckoning


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as plain JSON values; money stays exact, as strings."""
    reckoning = report.reckoning
    return {
        "matches": reckoning.matches,
        "differences": list(reckoning.differences),
        "totals": {
            row.what: {
                "file": str(row.file),
                "ledger": str(row.ledger),
                "cancelled": str(row.cancelled),
                "difference": str(row.difference),
            }
            for row in reckoning.rows
        },
        "orders_file": str(report.file.path),
        "broken_lines": [attrs.asdict(line) for line in report.file.broken],
        "cancelled": [
            {
                "order_id": cancelled.order.order_id,
                "grand_total": str(cancelled.order.grand_total),
                "reason": cancelled.reason,
                "plugin": cancelled.plugin,
            }
            for cancelled in report.cancelled
        ],
        "handlers": [
            dict(zip(("event_type", "priority", "handler"), row, strict=True))
            for row in report.handlers
        ],
        "publish": _speed(report.publish),
        "end_to_end": _speed(report.end_to_end),
        "dead_letters": [
            {
                "place": letter.place,
                "kept": list(letter.kept),
                "error": letter.error,
                "bytes": letter.value.hex(),
            }
            for letter in report.letters
        ],
        "processes": report.processes,
        "kills": len(report.kills),
        "killed_at": [attrs.asdict(kill) for kill in report.kills],
        "redeliveries": report.redeliveries,
        "folder": str(report.folder),
        "broker": report.broker,
        "topics": list(report.topics),
    }


def _speed(speed: Speed) -> dict[str, float]:
    return {
        "messages": speed.messages,
        "seconds": round(speed.seconds, 3),
        "per_second": round(speed.rate),
        "p50_ms": round(speed.p50 * 1000, 3),
        "p99_ms": round(speed.p99 * 1000, 3),
    }
