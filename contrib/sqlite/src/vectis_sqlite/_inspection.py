"""What is wrong with the file, found by reading it: for `vectis doctor` and `require`."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from vectis_sqlite._database import Database
from vectis_sqlite._faults import Fault, cause_of, explain

if TYPE_CHECKING:
    from pathlib import Path

    from vectis_sqlite.settings import SqliteSettings

__all__ = ["problem_with"]

THOROUGH = 64 * 1024 * 1024
"""Bytes up to which every page is looked at, which takes a fraction of a second."""


def problem_with(path: Path, settings: SqliteSettings) -> str | None:
    """Say why the file cannot be worked with, and what to do; None when it can.

    It stores nothing, and makes no file where there is none.

    Args:
        path: The file; one that nobody has made yet is fine when its folder is there.
        settings: How to open it.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        if path.parent.is_dir() and os.access(path.parent, os.W_OK):
            return None
        return f"SQLite file {path}: {cause_of(sqlite3.SQLITE_CANTOPEN, path)}"
    except OSError as error:
        return f"SQLite file {path}: {error.strerror}. This user must be able to reach it."
    database = Database(path, settings, query_only=True)
    phase = "open"
    try:
        with database as connection:
            phase = "work"
            if status.st_size <= THOROUGH:
                (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                if verdict != "ok":
                    return f"SQLite file {path}: {cause_of(sqlite3.SQLITE_CORRUPT, path)}"
            else:
                connection.execute("SELECT count(*) FROM partitions").fetchall()
    except sqlite3.Error as error:
        return str(explain(error, path, busy_timeout=settings.busy_timeout, phase=phase))
    except Fault as fault:
        return str(fault)
    finally:
        database.close()
    if not all(os.access(place, os.W_OK) for place in (path, path.parent)):
        return f"SQLite file {path}: {cause_of(sqlite3.SQLITE_READONLY, path)}"
    return None
