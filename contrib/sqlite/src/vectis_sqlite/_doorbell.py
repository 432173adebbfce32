"""A bell beside the file for each consumer: whoever commits news rings it, from any process.

A bell is a unix datagram socket in the folder `<file>-bells`, and its name stands in the member's
row. Where there is none, or a ring is lost, `_watch` looks at the file now and then instead.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Doorbell", "Ringer", "bells_folder"]

logger = logging.getLogger("vectis.sqlite")

_NAME = re.compile(r"[0-9a-f]{16}")
_LONGEST = 100  # bytes; what every system takes as the path of a socket
_FAMILY = getattr(socket, "AF_UNIX", None)


def bells_folder(file: Path) -> Path:
    """Return the folder in which the bells for a file hang."""
    return file.with_name(f"{file.name}-bells")


class Doorbell:
    """The bell of one consumer.

    Args:
        file: The file whose news it is rung for.
    """

    def __init__(self, file: Path) -> None:
        self.name: str | None = None
        self.socket: socket.socket | None = None
        self._file = file
        self._folder = bells_folder(file)
        self._process = os.getpid()

    def open(self) -> None:
        """Hang the bell up, once the file is there; without one where that is not possible."""
        if self.socket is not None or _FAMILY is None:
            return
        name = secrets.token_hex(8)
        bell: socket.socket | None = None
        try:
            bell = socket.socket(_FAMILY, socket.SOCK_DGRAM)
            bell.setblocking(False)
            self._bind(bell, name)
        except OSError as error:
            if bell is not None:
                bell.close()
            logger.debug("no bell in %s, looking at the file instead: %s", self._folder, error)
            return
        self.name, self.socket = name, bell
        _clear_away_the_dead(self._folder)

    def close(self) -> None:
        """Take the bell down, and the folder with the last one."""
        bell, self.socket = self.socket, None
        if bell is None:
            return
        bell.close()
        if self.name is not None and self._process == os.getpid():
            _remove(self._folder, self.name)

    def _bind(self, bell: socket.socket, name: str) -> None:
        bits = self._file.stat().st_mode
        for attempt in range(3):
            with suppress(FileExistsError):
                self._folder.mkdir()
                self._folder.chmod(_like(bits, 0o7))
            try:
                with _Address(self._folder) as address:
                    bell.bind(address / name)
                (self._folder / name).chmod(_like(bits, 0o6))
            except FileNotFoundError:  # another one took down the last bell, and the folder
                if attempt == 2:
                    raise
            else:
                return


class Ringer:
    """Rings the bells of other processes.

    Args:
        folder: Where they hang.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket: socket.socket | None = None

    def ring(self, names: Iterable[str]) -> None:
        """Ring these bells, without waiting for anybody; those of dead processes are removed."""
        if _FAMILY is None:
            return
        with suppress(OSError):  # this process may have no descriptor left
            if self._socket is None:
                self._socket = socket.socket(_FAMILY, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            with _Address(self._folder) as address:
                for name in names:
                    if _NAME.fullmatch(name):  # it comes from the file, and becomes part of a path
                        _ring(self._socket, self._folder, address, name)

    def close(self) -> None:
        """Release the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class _Address:
    """Makes the addresses of the sockets in a folder, also where its path is too long for one."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder)
        self._descriptor: int | None = None

    def __enter__(self) -> _Address:
        if len(os.fsencode(self._path)) + 17 > _LONGEST:
            self._descriptor = os.open(self._path, os.O_RDONLY)
            self._path = f"/proc/self/fd/{self._descriptor}"  # an OSError later where there is none
        return self

    def __truediv__(self, name: str) -> str:
        return f"{self._path}/{name}"

    def __exit__(self, *error: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


def _ring(ringer: socket.socket, folder: Path, address: _Address, name: str) -> None:
    try:
        ringer.sendto(b"\0", address / name)
    except BlockingIOError:
        return  # it is ringing already
    except ConnectionRefusedError:  # its process was killed
        _remove(folder, name)
    except OSError:
        return  # no bell, or not ours to ring: its owner looks at the file now and then


def _clear_away_the_dead(folder: Path) -> None:
    """Remove the bells that killed processes left behind; the living get a ring for nothing."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return
    ringer = Ringer(folder)
    ringer.ring(names)
    ringer.close()


def _remove(folder: Path, name: str) -> None:
    path = folder / name
    with suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    with suppress(OSError):  # others hang in it, or it is gone
        folder.rmdir()


def _like(bits: int, full: int) -> int:
    """Return the mode that gives `full` rights to all who may write a file with these bits."""
    mode = full << 6
    for shift in (3, 0):
        if bits >> shift & 0o2:
            mode |= full << shift
    return mode
