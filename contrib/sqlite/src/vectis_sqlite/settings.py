"""The `[sqlite]` table of the config."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import attrs
from attrs import validators

__all__ = ["SqliteSettings"]


def _no_memory(settings: object, attribute: object, path: str | None) -> None:
    if path == ":memory:":
        raise ValueError(
            "path must name a file that other processes can open, not ':memory:'; "
            "for tests there is vectis.core.testing.MemoryTransport"
        )


@attrs.frozen
class SqliteSettings:
    """Where the events are kept, and how safely.

    Args:
        path: The file. A relative path starts at the config file's folder, or at the working
            directory when there is no config file. None switches the transport off.
        partitions: How many partitions a topic gets when it is first used. The file remembers it:
            a later change is for new topics only.
        synchronous: What is acknowledged survives `kill -9` of every process either way. `FULL`
            also survives a power cut or a crash of the system; `NORMAL` may lose the last moments
            then, and keeps the file whole. It is faster for lone publishers only.
        busy_timeout: How long to wait for another process that has the file locked, in seconds.
        lease: How long the partitions of a member that died stay its own, in seconds.
        retention_age: How long records are kept, in seconds. None keeps them for ever.
        retention_bytes: How much of each topic is kept at least, in bytes of keys, values and
            headers as they are stored plus 32 a record; the oldest beyond it go. None keeps
            everything. Like a broker's, retention waits for no group: one that is further behind
            reports the gap.

    Example:
        >>> from vectis_sqlite import SqliteSettings
        >>> SqliteSettings(path="events.db").synchronous
        'FULL'
    """

    path: str | None = attrs.field(default=None, validator=_no_memory)
    partitions: int = attrs.field(default=8, validator=[validators.ge(1), validators.le(10_000)])
    synchronous: Literal["FULL", "NORMAL"] = attrs.field(
        default="FULL", validator=validators.in_(("FULL", "NORMAL"))
    )
    busy_timeout: float = attrs.field(default=5.0, validator=validators.gt(0))
    lease: float = attrs.field(default=2.0, validator=validators.ge(0.1))

    retention_age: float | None = attrs.field(
        default=None, validator=validators.optional(validators.gt(0))
    )
    retention_bytes: int | None = attrs.field(
        default=None, validator=validators.optional(validators.ge(1))
    )

    def file(self, config_file: Path | None = None) -> Path | None:
        """Return the absolute path of the file, or None when the transport is switched off.

        Args:
            config_file: The config file that the settings came from, if one was found.
        """
        if self.path is None:
            return None
        folder = Path.cwd() if config_file is None else config_file.parent
        return (folder / Path(self.path).expanduser()).resolve()
