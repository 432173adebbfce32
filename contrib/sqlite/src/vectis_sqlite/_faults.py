"""What SQLite's errors mean here, in words: which file, what happened, what to do."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from vectis.core.exceptions import PublishError, TransportError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Fault", "cause_of", "explain", "foreign_file", "newer_file"]


class Fault(TransportError):
    """A transaction that failed as a whole.

    Args:
        message: What happened and what to do.
        fate: What became of the messages in it.
    """

    def __init__(self, message: str, *, fate: str) -> None:
        super().__init__(message)
        self.fate = fate

    def for_publisher(self) -> PublishError:
        """Return the error for somebody whose message was in the transaction."""
        if self.fate == "unknown":
            return PublishError(f"{self} The message may be stored all the same.", fate="unknown")
        fate = self.fate
        return PublishError(
            f"{self} The message is not stored.",
            fate="not_sent" if fate == "not_sent" else "rejected",
        )

    def for_caller(self) -> TransportError:
        """Return the error for anybody else."""
        return TransportError(str(self))


def explain(error: sqlite3.Error, path: Path, *, busy_timeout: float, phase: str) -> Fault:
    """Return the fault for an error of SQLite.

    Args:
        error: What SQLite raised.
        path: The file.
        busy_timeout: How long it waited for a lock, in seconds.
        phase: `open`, `begin`, `work` or `commit`: how far the transaction had come.
    """
    code = getattr(error, "sqlite_errorcode", 0)
    primary = code & 0xFF
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    fate = "not_sent" if phase in ("open", "begin") else "rejected"
    if phase == "commit" and primary not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
        fate = "unknown"  # the commit may have reached the disk before the error did
    return Fault(
        f"SQLite file {path}: {_cause(primary, error, path, busy_timeout)} [{name}]", fate=fate
    )


def _cause(primary: int, error: sqlite3.Error, path: Path, busy_timeout: float) -> str:
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return (
            f"another process had it locked for longer than busy_timeout = {busy_timeout:g} s. "
            "Look for a backup or a database browser that keeps a transaction open, "
            "or raise [sqlite] busy_timeout."
        )
    return cause_of(primary, path) or f"{error}."


def cause_of(primary: int, path: Path) -> str:
    """Return what an error code of SQLite means for the file, and what to do; empty if unknown."""
    if primary == sqlite3.SQLITE_CANTOPEN:
        if not path.parent.is_dir():
            return f"the folder {path.parent} does not exist. Make it, or change [sqlite] path."
        if path.is_dir():
            return "it is a folder. Change [sqlite] path."
        return "it cannot be opened. This user must be able to write the file and its folder."
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return (
            "it is read-only. This user must be able to write the file, its folder, "
            "and the files beside it that end in -wal and -shm."
        )
    return _CAUSES.get(primary, "")


_CAUSES = {
    sqlite3.SQLITE_FULL: "the disk is full. Free some space; the same process then goes on.",
    sqlite3.SQLITE_IOERR: (
        "the system refused to read or write it. Look at the disk, its free space and quota, "
        "and the limit on file sizes (ulimit -f); the same process then goes on."
    ),
    sqlite3.SQLITE_CORRUPT: (
        "it is damaged. Move it away together with its -wal and -shm files and put a backup in its "
        "place; `sqlite3 FILE .recover` saves what can be read."
    ),
    sqlite3.SQLITE_NOTADB: ("it is not a SQLite database. Move it away, or change [sqlite] path."),
}


def foreign_file(path: Path) -> Fault:
    """Return the fault for a database that another program made."""
    return Fault(
        f"SQLite file {path}: it is the database of another program, and is left untouched. "
        "Change [sqlite] path.",
        fate="not_sent",
    )


def newer_file(path: Path, version: int, known: int) -> Fault:
    """Return the fault for a file that a newer release wrote."""
    return Fault(
        f"SQLite file {path}: a newer vectis-sqlite wrote it (schema {version}, this one knows "
        f"{known}). Upgrade vectis-sqlite here, or change [sqlite] path.",
        fate="not_sent",
    )
