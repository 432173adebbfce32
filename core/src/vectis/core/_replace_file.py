"""Write a file as a whole or not at all, with the mode and the owner that it had.

Whoever reads it meanwhile reads the old one. A link is followed, and stays a link.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from vectis.core.exceptions import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["replace_file"]


def replace_file(path: Path, before: bytes | None, after: bytes) -> None:
    """Put new content in the place of a file's old one.

    Args:
        path: The file.
        before: What it is known to hold; None when it is to be made.
        after: What it shall hold.

    Raises:
        ConfigError: It holds something else by now, or cannot be written; it is as it was then.
    """
    try:
        target = path.resolve(strict=before is not None)
        _check_unchanged(path, target, before)
        _write(target, after)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"{path}: the config file cannot be written ({reason}): make it and its folder "
            "writable, or edit it yourself"
        ) from error


def _check_unchanged(path: Path, target: Path, before: bytes | None) -> None:
    now = target.read_bytes() if target.exists() else None
    if now != before:
        raise ConfigError(f"{path}: the config file was changed meanwhile, so it is left as it is")
    if before is not None and not os.access(target, os.W_OK):
        # Putting another file in its place would be possible, and is not what its mode asks for.
        raise ConfigError(f"{path}: the config file is read-only: make it writable first")


def _write(target: Path, content: bytes) -> None:
    beside = target.with_name(f".{target.name}.{os.getpid()}.new")
    number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            if target.exists():
                _take_after(target, beside)
            os.fsync(file.fileno())
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _take_after(target: Path, beside: Path) -> None:
    had = target.stat()
    if sys.platform != "win32":
        with suppress(PermissionError):  # only root may give a file away
            os.chown(beside, had.st_uid, had.st_gid)
    beside.chmod(stat.S_IMODE(had.st_mode))
