"""What is said, and what becomes of the tests, where a broker cannot be started."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kafka.jars import JARS, Missing, fetch, java

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
CHOSEN = ["tests/kafka/test_broker.py", "tests/redpanda/test_groups.py"]
OURS = ("CI", "COVERAGE", "JAVA_HOME", "PYTEST", "VECTIS_")


def test_jars_that_are_given_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(JARS, str(tmp_path))
    with pytest.raises(Missing, match=f"{JARS}=.* has no jar of Kafka"):
        fetch()
    (tmp_path / "kafka_2.13-4.2.0.jar").touch()
    assert fetch() == tmp_path


def test_without_maven_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(JARS, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match=r"Java 17 or later and Maven .* there is no mvn"):
        fetch()


def test_two_that_fetch_at_once_get_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maven = tmp_path / "mvn"
    maven.write_text(
        "#!/bin/sh\n"
        'for word; do case "$word" in -DoutputDirectory=*) to="${word#*=}";; esac; done\n'
        'mkdir -p "$to" && : > "$to/kafka_2.13-4.2.0.jar"\n'
    )
    maven.chmod(0o755)
    monkeypatch.delenv(JARS, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    with ThreadPoolExecutor() as both:
        one, other = both.map(lambda _: fetch(), range(2))
    assert one == other
    assert [jar.name for jar in one.iterdir()] == ["kafka_2.13-4.2.0.jar"]
    assert [place.name for place in one.parent.iterdir()] == [one.name]


def test_a_java_that_is_too_old_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(Missing, match=r"needs Java 17 or later .*bin/java is .*11\.0\.2"):
        java()


def run_tests(**environment: str) -> subprocess.CompletedProcess[str]:
    """Run a few tests that want a broker, in an environment without ours."""
    kept: Mapping[str, str] = {
        name: value for name, value in os.environ.items() if not name.startswith(OURS)
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *CHOSEN],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_newcomer_without_java_reads_one_line(tmp_path: Path) -> None:
    done = run_tests(PATH=str(tmp_path))
    assert done.returncode == 0, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert "Java 17 or later and Maven" in line
    assert "there is no java" in line


def test_with_ci_set_that_is_a_failure(tmp_path: Path) -> None:
    done = run_tests(PATH=str(tmp_path), CI="true")
    assert done.returncode == 1, done.stdout
    assert "with CI set nothing is skipped for that" in done.stdout


def test_on_a_broker_of_somebody_elses_only_those_are_skipped_that_would_end_it() -> None:
    done = run_tests(VECTIS_TEST_BOOTSTRAP_SERVERS="127.0.0.1:1", PYTEST_ADDOPTS="-k killed")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert "needs a broker of its own" in line
