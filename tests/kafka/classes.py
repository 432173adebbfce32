"""An archive of Kafka's classes, with which a broker starts in two thirds of the time.

It is made once, by a broker that is started and stopped for that, and kept beside the jars. Java
looks itself whether it fits; without one, or with one that does not, a broker starts as ever.
"""

from __future__ import annotations

import hashlib
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.kafka.broker import JAVA, Broker, NotStarted
from tests.kafka.jars import alone, cache_folder, java
from tests.kafka.node import PLAIN, nodes

__all__ = ["options"]


@cache
def options(jars: Path) -> tuple[str, ...]:
    """Return what Java is told, after the archive for it and these jars was made if need be."""
    version = subprocess.run([java(), "-version"], capture_output=True, check=False).stderr
    made_for = "\n".join([version.decode(errors="replace"), str(jars), *JAVA])
    digest = hashlib.sha256(made_for.encode()).hexdigest()[:12]
    folder = cache_folder().parent
    archive = folder / f"classes-{digest}.jsa"
    if not archive.exists():
        with suppress(OSError):  # nothing can be kept there
            folder.mkdir(parents=True, exist_ok=True)
            with alone(folder):
                if not archive.exists():
                    _make(archive, jars)
    return (f"-XX:SharedArchiveFile={archive}",) if archive.exists() else ()


def _make(archive: Path, jars: Path) -> None:
    with TemporaryDirectory(dir=archive.parent, prefix="archiving-") as folder:
        (node,) = nodes(1, (PLAIN,), {})
        unfinished = Path(folder, "classes.jsa")
        with suppress(NotStarted, subprocess.TimeoutExpired):
            broker = Broker(
                node,
                Path(folder, "node"),
                jars,
                options=[f"-XX:ArchiveClassesAtExit={unfinished}"],
            )
            broker.start()
            broker.stop()  # in order, because Java writes the archive as it ends
        if unfinished.exists():
            unfinished.rename(archive)
