"""What holds for every file that is committed, and for what a newcomer reads and runs first."""

from __future__ import annotations

import re
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

from vectis.core.obtaining import FOLDERS

ROOT = Path(__file__).parents[2]

# In two halves, so that this file passes its own test.
REGISTRIES = ["py" + "pi.org", "python" + "hosted.org", "anaconda" + ".org", "artifact" + "ory"]
MACHINE_PATHS = ["/ro" + "ot/", "/ho" + "me/", "/Us" + "ers/", "/wo" + "rk/"]


def committed_files() -> list[Path]:
    """Return what is committed, or would be by `git add`."""
    # The owner of the checkout may be another user, as in a container.
    git = ["git", "-c", "safe.directory=*"]
    listing = subprocess.run(
        [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def lines_with(words: list[str]) -> list[str]:
    pattern = re.compile("|".join(re.escape(word) for word in words).encode(), re.IGNORECASE)
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in committed_files()
        for number, line in enumerate(path.read_bytes().splitlines(), 1)
        if pattern.search(line)
    ]


def distributions() -> list[Path]:
    return sorted(path.parent for path in committed_files() if path.name == "pyproject.toml")


def readme_commands() -> list[str]:
    """Return the lines of the README that start on a machine with nothing but Python and git."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^python3 -m venv .*$", readme, re.MULTILINE)


def test_no_file_names_a_package_registry() -> None:
    assert lines_with(REGISTRIES) == []


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    assert lines_with([*MACHINE_PATHS, str(ROOT)]) == []


def test_no_lock_file_is_committed_because_it_records_index_addresses() -> None:
    locks = {"uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock"}
    assert [path for path in committed_files() if path.name in locks] == []


def test_the_two_commands_of_the_readme_run_the_demo_and_the_tests() -> None:
    demo, tests = readme_commands()
    assert demo.endswith(".venv/bin/vectis demo")
    assert tests.endswith(".venv/bin/nox")


def test_ci_runs_the_second_command_of_the_readme_to_the_letter() -> None:
    script = ROOT / ".ci" / "run"
    assert readme_commands()[1] in script.read_text(encoding="utf-8").splitlines()
    assert script.stat().st_mode & stat.S_IXUSR


def test_no_line_depends_on_the_version_of_python_so_one_measures_the_coverage_for_all() -> None:
    asks = re.compile(r"version_info|hexversion")
    sources = [path for path in committed_files() if path.suffix == ".py" and "src" in path.parts]
    assert len(sources) > 100
    asking = [path.name for path in sources if asks.search(path.read_text(encoding="utf-8"))]
    assert asking == []


def test_requirements_name_every_distribution_and_nothing_from_an_index() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert wanted[0] == "-c constraints.txt"
    assert all(line.startswith("-e .") for line in wanted[1:])
    named = {(ROOT / line.removeprefix("-e ")).resolve() for line in wanted[1:]}
    assert named == set(distributions())


def test_constraints_are_plain_pins() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    assert [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.!+-]+", line)] == []


@pytest.mark.parametrize("folder", distributions(), ids=lambda folder: folder.name)
def test_every_distribution_says_the_same_about_version_licence_and_python(folder: Path) -> None:
    ours, hub = (
        tomllib.loads((where / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for where in (folder, ROOT)
    )
    shared = ("version", "license", "license-files", "authors", "requires-python", "classifiers")
    assert {key: ours[key] for key in shared} == {key: hub[key] for key in shared}
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize(
    "folder", [folder for folder in distributions() if folder != ROOT], ids=lambda path: path.name
)
def test_every_package_is_marked_as_typed(folder: Path) -> None:
    packages = [path for path in (folder / "src").iterdir() if (path / "__init__.py").is_file()]
    assert packages
    for package in packages:
        typed = package / "core" if package.name == "vectis" else package
        assert (typed / "py.typed").is_file()


def test_where_the_distributions_are_in_a_clone_is_what_remedies_say() -> None:
    folders = {
        tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]: (
            "." if folder == ROOT else f"./{folder.relative_to(ROOT)}"
        )
        for folder in distributions()
    }
    assert folders == FOLDERS
