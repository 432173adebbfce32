"""Every check of this repository: `nox` runs lint, types and tests; `nox -l` lists all sessions.

It needs nothing but Python with pip. Interpreters that this machine lacks are skipped and named in
the summary, never downloaded.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "venv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.stop_on_first_error = False

ROOT = Path(__file__).parent
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
DISTRIBUTIONS = [
    "core",
    "plugins/bus",
    "plugins/redpanda",
    "contrib/sqlite",
    "contrib/commerce",
    ".",
]
SOURCES = [str(ROOT / folder / "src") for folder in DISTRIBUTIONS if folder != "."]
WORKSPACE = ["-r", "requirements.txt"]
WITH_AIOKAFKA = [*WORKSPACE, "-e", "./plugins/redpanda[aiokafka]"]
# By the groups of tests/sharing.py, in the order of the files: brokers, the longest, come early.
# For two cores, of which one would have little to do beside those who wait for a broker.
IN_THREE_PROCESSES = ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
PYPROJECT = nox.project.load_toml("pyproject.toml")


def pyenv_interpreters() -> list[str]:
    """Return the folders of the interpreters behind pyenv's shims.

    A shim such as `python3.12` is on PATH but runs only where pyenv has that version selected; the
    interpreter itself always runs.
    """
    shims = [Path(entry) for entry in os.get_exec_path() if Path(entry).name == "shims"]
    return [
        str(folder)
        for version in PYTHONS
        for shim in shims
        for folder in sorted(shim.parent.glob(f"versions/{version}.*/bin"), reverse=True)
    ]


os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *pyenv_interpreters()])


# No line of ours asks for the version of Python (tests/system/test_repository.py holds that), so
# one Python measures for all: the newest here, where measuring costs least.
MEASURED = next((one for one in reversed(PYTHONS) if shutil.which(f"python{one}")), PYTHONS[-1])


def install(session: nox.Session, *what: str, groups: tuple[str, ...] = ()) -> None:
    """Install requirements and dependency groups with the pinned versions."""
    wanted = nox.project.dependency_groups(PYPROJECT, *groups)
    session.install("-q", "-c", "constraints.txt", *what, *wanted)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests and the examples in docstrings, or what `-- PATH` selects.

    On the newest Python here with coverage, which of a part would say nothing about the whole.
    """
    install(session, *WITH_AIOKAFKA, groups=("test",))
    if session.posargs or session.python != MEASURED:
        session.run("pytest", *(session.posargs or IN_THREE_PROCESSES))
        return
    env = {"COVERAGE_FILE": str(ROOT / f".coverage.{session.python}")}
    session.run("coverage", "erase", env=env)
    session.run("coverage", "run", "-m", "pytest", *IN_THREE_PROCESSES, env=env)
    session.run("coverage", "combine", "-q", env=env)
    session.run("coverage", "report", env=env)


@nox.session
def faults(session: nox.Session) -> None:
    """Kill, stop and pause real processes in full; FAULT_SEED repeats, FAULT_ORDERS feeds a run."""
    install(session, *WITH_AIOKAFKA, groups=("test",))
    # A scenario waits for conditions and gives up by itself; the limit is for a hang.
    arguments = session.posargs or ["tests/faults"]
    session.run("pytest", "-s", "--timeout=3600", *arguments, env={"FAULT_FULL": "1"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and the import contract."""
    install(session, groups=("lint",))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", env={"PYTHONPATH": os.pathsep.join(SOURCES)})


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of all packages and tests, strictly."""
    install(session, *WITH_AIOKAFKA, "nox", groups=("test", "types"))
    session.run("mypy", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into site/; a broken link or a page without a place in it fails."""
    install(session, groups=("docs",))
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build wheels and sdists into dist/, then try them in empty environments."""
    install(session, *WORKSPACE, groups=("test", "build"))
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    for folder in DISTRIBUTIONS:
        session.run("python", "-m", "build", "-o", str(ROOT / "dist"), folder, silent=True)
    session.run("pytest", "tests/system/test_packaging.py", *session.posargs)


@nox.session(python=PYTHONS)
def bench(session: nox.Session) -> None:
    """Measure the speed beside other ways, on a broker as well; `-- emit` measures one part."""
    install(session, *WITH_AIOKAFKA, groups=("bench",))
    session.run("python", "tests/bench/run.py", *session.posargs)


@nox.session(venv_backend="none")
def dev(session: nox.Session) -> None:
    """Install the workspace and every tool into the environment that nox itself runs in."""
    wanted = nox.project.dependency_groups(PYPROJECT, "dev")
    pip = [sys.executable, "-m", "pip", "install", "-q", "-c", "constraints.txt"]
    session.run(*pip, *WITH_AIOKAFKA, *wanted, external=True)


@nox.session(python=PYTHONS[0])
def pin(session: nox.Session) -> None:
    """Write constraints.txt anew: the newest versions that are there for the oldest Python."""
    wanted = [*nox.project.dependency_groups(PYPROJECT, "dev", "bench", "build")]
    for folder in DISTRIBUTIONS:
        project = nox.project.load_toml(Path(folder) / "pyproject.toml")["project"]
        extras = project.get("optional-dependencies", {})
        wanted += [*project["dependencies"], *(name for extra in extras.values() for name in extra)]
    session.install("-q", *(name for name in wanted if not name.startswith("vectis-")))
    pins = session.run("pip", "freeze", silent=True)
    heading = "# What the checks run on, the same on every Python; written by `nox -s pin`.\n"
    (ROOT / "constraints.txt").write_text(f"{heading}{pins}", encoding="utf-8")
