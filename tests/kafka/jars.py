"""The jars of Apache Kafka: fetched once by Maven, kept outside the tree, found offline ever after.

VECTIS_TEST_KAFKA_JARS names a folder that has them already, whatever their version.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["JARS", "Missing", "alone", "cache_folder", "fetch", "java"]

JARS = "VECTIS_TEST_KAFKA_JARS"

POM = Path(__file__).with_name("pom.xml")
OLDEST_JAVA = 17
INSTALL = f"Java {OLDEST_JAVA} or later and Maven (Debian: default-jre-headless and maven)"
PATIENCE = 600.0  # seconds for forty jars over a slow line


class Missing(Exception):
    """A real broker cannot be started here; the text says what to install."""


def cache_folder() -> Path:
    """Return where the jars of this pom belong, be they there or not."""
    pom = POM.read_bytes()
    version = re.search(rb"<version>(\d+\.\d+\.\d+)</version>", pom)
    assert version is not None, "the pom pins Kafka's version"
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(pom).hexdigest()[:12]
    return caches / "vectis-kafka" / f"{version[1].decode()}-{digest}"


def java() -> str:
    """Return the command that runs Java; raise `Missing` without one that is new enough."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else None
    found = found or shutil.which("java")
    if found is None:
        raise Missing(f"a real broker needs {INSTALL}; there is no java")
    told = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', told)
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise Missing(f"a real broker needs {INSTALL}; {found} is {told.partition(chr(10))[0]}")
    return found


def fetch() -> Path:
    """Return a folder with the jars, which takes a minute the first time; else raise `Missing`."""
    given = os.environ.get(JARS)
    if given:
        if not any(Path(given).glob("kafka_*.jar")):
            raise Missing(f"{JARS}={given} has no jar of Kafka")
        return Path(given)
    folder = cache_folder()
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with alone(folder.parent):
        if not folder.is_dir():
            _download(folder)
    return folder


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process after another in here: Maven's own folder of jars is for one at a time."""
    import fcntl  # not everywhere, as brokers are not

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _download(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Missing(f"a real broker needs {INSTALL}; there is no mvn")
    with TemporaryDirectory(dir=folder.parent, prefix="fetching-") as fetching:
        jars = Path(fetching) / "jars"
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime"]
        try:
            done = subprocess.run(
                [maven, "-q", "-B", "-f", str(POM), *goal, f"-DoutputDirectory={jars}"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Missing(f"Maven did not fetch the broker within {PATIENCE:.0f} s") from None
        if done.returncode != 0:
            said = done.stdout.strip().partition("\n")[0] or done.stderr.strip()
            raise Missing(f"Maven could not fetch the broker: {said}")
        # Whoever sees the folder sees all that is in it.
        jars.rename(folder)
