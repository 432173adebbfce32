"""The folder that a demo works in, with a `vectis.toml`, so that one can look around afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from pathlib import Path

    from vectis_commerce.demo.transport import Transport

__all__ = ["AUDIT", "CONSUMER", "EVENTS", "LEDGER", "Folder", "FolderError", "prepare"]

EVENTS = "events.db"
LEDGER = "ledger.db"
AUDIT = "audit.jsonl"
DEMO_LOG = "demo.log"
WORKER_LOG = "worker.log"
CONSUMER = "vectis_commerce.demo.consumer"
_INSIDE = "vectis_commerce.demo.inside"

_MARK = "# Written by `vectis demo`"
_CONFIG = """\
{mark}, which starts anew in this folder each time.
# Here, `vectis explain order.created`, `vectis handlers` and `vectis config` show what it ran on.

[hub]
source = "vectis-demo"
transport = "{plugin}"

{tables}
[consumer]
group = "{group}"
# The first has what the worker runs. The second shows the commands what ran inside emit: guard,
# audit and cache, which are not installed, the demo hands them to its hub.
modules = ["{consumer}", "{inside}"]
commit_interval = 0.1  # the demo is over soon, and --kill-worker wants to show what a commit saves
"""


class FolderError(Exception):
    """The folder cannot be used; the message says why and what to do."""


@attrs.frozen
class Folder:
    """Where the files of a demo are.

    Args:
        path: The folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The `vectis.toml`."""
        return self.path / "vectis.toml"

    @property
    def ledger(self) -> Path:
        """What the worker received."""
        return self.path / LEDGER

    @property
    def audit(self) -> Path:
        """What the audit plugin wrote."""
        return self.path / AUDIT

    @property
    def log(self) -> Path:
        """What the hub of the demo itself had to say, such as a handler over its budget."""
        return self.path / DEMO_LOG

    @property
    def worker_log(self) -> Path:
        """What the worker said."""
        return self.path / WORKER_LOG


def prepare(path: Path, transport: Transport) -> Folder:
    """Make a folder ready for a new demo; the files of an earlier one are removed.

    Args:
        path: The folder.
        transport: What the demo runs on.

    Raises:
        FolderError: It holds something else, or cannot be written.
    """
    folder = Folder(path.resolve())
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()) and not _is_ours(folder):
            raise FolderError(
                f"{path} holds files that are not of a demo: name another folder with --directory"
            )
        for name in (EVENTS, LEDGER):
            for file in path.glob(f"{name}*"):  # SQLite's -wal and -shm beside it, too
                file.unlink()
        for file in (folder.audit, folder.log, folder.worker_log):
            file.unlink(missing_ok=True)
        folder.config.write_text(_config(transport), encoding="utf-8")
        (path / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise FolderError(
            f"{path} cannot be used ({error.strerror or error}): name a folder that can be written "
            "with --directory"
        ) from error
    return folder


def _config(transport: Transport) -> str:
    return _CONFIG.format(
        mark=_MARK,
        plugin=transport.plugin,
        tables=transport.config,
        group=transport.group,
        consumer=CONSUMER,
        inside=_INSIDE,
    )


def _is_ours(folder: Folder) -> bool:
    if not folder.config.is_file():
        return False
    return folder.config.read_text(encoding="utf-8", errors="replace").startswith(_MARK)
