"""What lets people and programs watch a worker: its log, the status line, the health server."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Literal

from vectis.core.cli.logs import formatter
from vectis.core.cli.progress import LogAbove, StatusLine, Summary

if TYPE_CHECKING:
    from contextlib import ExitStack

    from vectis.core.blame import Blame
    from vectis.core.worker.health import Health
    from vectis.core.worker.worker import Worker

__all__ = ["Watching"]


class Watching:
    """Puts together what one command wants.

    Args:
        stack: Ends it all.

    Attributes:
        observers: To be given to the hub.
    """

    def __init__(self, stack: ExitStack) -> None:
        self.observers: list[object] = []
        self._stack = stack
        self._about: list[StatusLine | Health] = []
        self._blame: Blame | None = None

    def log(
        self, kind: Literal["text", "json"], level: int, member: int | None, *, line: bool
    ) -> None:
        """Let every logger write to standard error.

        Args:
            kind: How.
            level: The least level that is written.
            member: The number of this process among several, which every record then tells.
            line: Whether a status line may be shown below; on a terminal it is.
        """
        handler: logging.Handler = logging.StreamHandler(sys.stderr)
        if line and kind == "text" and member is None and _on_terminal():
            from rich.console import Console

            console = Console(stderr=True, highlight=False, markup=False, emoji=False)
            status_line = self._stack.enter_context(StatusLine(console))
            self.observers.append(status_line)
            self._about.append(status_line)
            handler = LogAbove(console)
        elif line:
            self.observers.append(Summary())
        numbered = {} if member is None else {"member": member}
        handler.setFormatter(
            formatter(kind, prefix="" if member is None else f"[{member}] ", **numbered)
        )
        logging.basicConfig(level=level, handlers=[handler])

    def serve(self, host: str, port: int) -> None:
        """Serve probes, status and metrics.

        Raises:
            ConfigError: That address cannot be listened at.
        """
        from vectis.core.blame import Blame
        from vectis.core.worker.health import Health
        from vectis.core.worker.metrics import Metrics

        metrics = Metrics()
        self._blame = Blame()
        self.observers += [metrics, self._blame]
        self._about.append(self._stack.enter_context(Health(host, port, metrics)))

    def made(self, worker: Worker) -> None:
        """Take note of the worker that all this is about."""
        for one in self._about:
            one.worker = worker
        if self._blame is not None:
            worker.measure(self._blame)


def _on_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
