"""When the writing thread tidies up: retention while it writes, a checkpoint when it rests."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from vectis.core.exceptions import TransportError
from vectis_sqlite._jobs import Job
from vectis_sqlite._retention import retain

if TYPE_CHECKING:
    from pathlib import Path

    from vectis_sqlite._database import Database
    from vectis_sqlite.settings import SqliteSettings

__all__ = ["Upkeep"]

logger = logging.getLogger("vectis.sqlite")

REST = 0.25  # seconds without a new record after which there is time for a checkpoint
SELDOM, OFTEN = 30.0, 1.0  # bounds of the time between two looks at what is too old, in seconds


class Upkeep:
    """The timetable of one writing thread, which alone calls it.

    Args:
        path: The file, for what is logged.
        settings: Their retention decides.
    """

    def __init__(self, path: Path, settings: SqliteSettings) -> None:
        self._path = path
        self._settings = settings
        self._retain_at: float | None = None
        self._checkpoint_at: float | None = None
        self._complaint = ""

    def wrote(self, *, rows: bool) -> None:
        """Note that a transaction was committed: there is a file, and maybe something new in it."""
        now = time.monotonic()
        if rows:
            self._checkpoint_at = now + REST
        if self._retain_at is None and self._retains:
            self._retain_at = now

    def pause(self) -> float | None:
        """Return for how long there is nothing to do, in seconds; None for as long as it likes."""
        due = [at for at in (self._retain_at, self._checkpoint_at) if at is not None]
        return max(min(due) - time.monotonic(), 0.0) if due else None

    def retention(self) -> Job | None:
        """Return the job that deletes a little, when it is time."""
        if self._retain_at is None or time.monotonic() < self._retain_at:
            return None
        self._retain_at = None  # not twice at once
        future: Future[bool] = Future()
        future.add_done_callback(self._retained)
        return Job(
            [future],
            work=lambda connection, topics: retain(connection, self._settings, now=time.time()),
        )

    def tidy(self, database: Database) -> None:
        """Bring the -wal beside the file into it, when nobody wrote for a while."""
        if not database.is_open:  # after a failure: there is nothing to wait for
            self._checkpoint_at = None
        elif self._checkpoint_at is not None and time.monotonic() >= self._checkpoint_at:
            self._checkpoint_at = None
            with database as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    @property
    def _retains(self) -> bool:
        settings = self._settings
        return settings.retention_age is not None or settings.retention_bytes is not None

    def _retained(self, future: Future[bool]) -> None:
        """Plan the next time: at once while there is more."""
        complaint, more = "", False
        try:
            more = future.result()
        except TransportError as error:
            complaint = str(error)
            if complaint != self._complaint:
                logger.warning("retention waits, and is tried again: %s", error)
        except Exception:
            complaint = "an error of its own"
            logger.exception("SQLite file %s: retention failed, and is tried again", self._path)
        self._complaint = complaint
        age = self._settings.retention_age
        pause = OFTEN if age is None else min(max(age / 10, OFTEN), SELDOM)
        if self._settings.retention_bytes is not None:
            pause = OFTEN
        self._retain_at = time.monotonic() + (0.0 if more else pause)
