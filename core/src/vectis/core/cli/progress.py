"""How a worker gets on, for people: a live line on a terminal, else a log line now and then.

Both observe `vectis_worker_status`, and know what any plugin knows.
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from vectis.core.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from rich.console import Console, RenderableType

    from vectis.core.worker.status import WorkerStatus
    from vectis.core.worker.worker import Worker

__all__ = ["LogAbove", "Rate", "StatusLine", "Summary", "parts_of"]

logger = logging.getLogger("vectis.worker")

_WINDOW = 5.0  # seconds over which the rate is taken
_STALE = 2.0  # seconds after which the line looks for itself: the loop may be blocked
_REFRESH = 2.0  # a second
_GAP = "  "


class Rate:
    """Finished deliveries a second, over the last seconds.

    Example:
        >>> from vectis.core.cli.progress import Rate
        >>> rate = Rate()
        >>> rate.note(finished=100, now=0.0), rate.note(finished=160, now=2.0)
        (0.0, 30.0)
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, finished: int, now: float) -> float:
        """Note how many are finished by now, and return the rate.

        Args:
            finished: Since the start.
            now: Seconds of a clock that never goes back.
        """
        seen = self._seen
        seen.append((now, finished))
        while len(seen) > 2 and now - seen[1][0] >= _WINDOW:
            seen.popleft()
        since, before = seen[0]
        return (finished - before) / (now - since) if now > since else 0.0


def finished(status: WorkerStatus) -> int:
    """Return how many deliveries a worker has finished, in whatever way."""
    return status.handled + status.skipped + status.dead_lettered


def parts_of(status: WorkerStatus, rate: float) -> list[tuple[str, str]]:
    """Return what is worth saying about a worker, the most important first, each with its style.

    Args:
        status: The worker's.
        rate: Finished deliveries a second.
    """
    parts = [(f"{status.group}{'' if status.state == 'running' else f' {status.state}'}", "bold")]
    parts += [(trouble, "bold red") for trouble in _troubles(status)]
    parts.append((f"{rate:,.0f}/s", ""))
    if status.lag is not None:
        parts.append((f"lag {status.lag:,}", ""))
    counts = [
        ("dead letters", status.dead_lettered),
        ("not published", status.published.get("failed", 0)),
        ("hook errors", sum(status.hook_errors.values())),
        ("retries", status.retried),
    ]
    # What happened stands before what did not: in a narrow window the rest is left out.
    parts += [(f"{name} {count:,}", "yellow") for name, count in counts if count]
    parts.append((f"in flight {status.in_flight:,}", ""))
    always = ("retries", "dead letters")
    parts += [(f"{name} 0", "") for name in always if not dict(counts)[name]]
    count = len(status.partitions)
    parts.append((f"{count} partition{'' if count == 1 else 's'}", ""))
    return parts


def _troubles(status: WorkerStatus) -> list[str]:
    troubles = []
    if status.loop.blocked:
        troubles.append(f"blocked {status.loop.blocked:.0f} s by {status.loop.by or 'no handler'}")
    elif status.stuck:
        troubles.append(f"{status.stuck_count:,} stuck in {status.stuck[0].handler}")
    if status.fetch_error:
        troubles.append("transport away")
    if status.commit_error:
        troubles.append("not committing")
    return troubles


class Summary:
    """Logs one line when something has changed, and not more often than every minute.

    Args:
        every: Seconds between two lines.
    """

    def __init__(self, every: float = 60.0) -> None:
        self._every = every
        self._rate = Rate()
        self._next: float | None = None
        self._said: Sequence[object] = ()

    @hookimpl
    def vectis_worker_status(self, status: WorkerStatus) -> None:
        """Log it when its time has come."""
        now = status.uptime
        rate = self._rate.note(finished(status), now)
        if self._next is None:
            self._next = now + self._every
        if now < self._next or status.state != "running":
            return
        self._next = now + self._every
        parts = parts_of(status, rate)
        state = [finished(status), status.lag, *_troubles(status)[:1], len(status.partitions)]
        if state == self._said:
            return
        self._said = state
        logger.info(
            "group %s",
            ", ".join(text for text, _ in parts),
            extra={"lag": status.lag, "in_flight": status.in_flight, "finished": state[0]},
        )


class StatusLine:
    """One line below the log lines of a terminal, alive until the end.

    Args:
        console: The terminal, on standard error.
    """

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self.worker: Worker | None = None
        self._console = console
        self._status: WorkerStatus | None = None
        self._told = 0.0
        self._rate = Rate()
        self._live = Live(
            get_renderable=self._line,
            console=console,
            refresh_per_second=_REFRESH,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )

    def __enter__(self) -> StatusLine:
        self._live.start()
        # A worker may have to leave without any clean-up: it must not take the cursor along.
        self._console.show_cursor(True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    @hookimpl
    def vectis_worker_status(self, status: WorkerStatus) -> None:
        """Show this from now on."""
        self._status, self._told = status, monotonic()

    def _line(self) -> RenderableType:
        from rich.text import Text

        status, worker = self._status, self.worker
        if worker is not None and monotonic() - self._told > _STALE:
            status = worker.status(blame=False)
        if status is None:
            return Text("starting", "dim")
        line = Text(no_wrap=True, overflow="ellipsis")
        room = self._console.width - 1  # a full line would make some terminals begin another
        for text, style in parts_of(status, self._rate.note(finished(status), status.uptime)):
            if line and line.cell_len + len(_GAP) + len(text) > room:
                continue  # a shorter one may still fit
            line.append(_GAP if line else "").append(text, style)
        return line


class LogAbove(logging.Handler):
    """Writes log records above the status line.

    Args:
        console: The terminal that the line is on.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        from rich.text import Text

        try:
            self._console.print(Text(self.format(record)), soft_wrap=True)
        except Exception:  # as every handler of the standard library
            self.handleError(record)
