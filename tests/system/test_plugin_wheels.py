"""Plugins of others as their users meet them: real wheels, installed with pip, that get on badly.

One needs another, two have one name, one is for another core, one is broken, and three hundred do
nothing at all. Everything is looked at through the installed command line.
"""

from __future__ import annotations

import json
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.environments import Environment, run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0"
dependencies = {requires}

[project.entry-points."vectis.plugins"]
{plugin} = "{module}"
"""

HANDLER = """
from vectis.core import handles

@handles("order.*")
def record(event): ...
"""

# distribution: plugin, requirements, source
PLUGINS = {
    "acme-base": ("base", ["vectis-core>=0.1"], HANDLER),
    "acme-near": ("near", ["vectis-core>=0.1"], "vectis_requires = ('base',)\n" + HANDLER),
    "acme-twin": ("twin", ["vectis-core"], HANDLER),
    "other-twin": ("twin", ["vectis-core"], HANDLER),
    "acme-future": ("future", ["vectis-core>=77"], "raise SystemExit('imported')"),
    "acme-broken": ("broken", ["vectis-core"], "import acme_of_nowhere"),
}
COUNT = 300


def build(folder: Path, name: str, plugin: str, requires: list[str], source: str) -> Path:
    module = name.replace("-", "_")
    project = folder / name
    (project / module).mkdir(parents=True)
    (project / module / "__init__.py").write_text(source)
    text = PROJECT.format(name=name, plugin=plugin, module=module, requires=json.dumps(requires))
    (project / "pyproject.toml").write_text(text)
    return project


def trivial(number: int, wheels: Path) -> None:
    """Write a wheel by hand: three hundred runs of a build backend would take minutes."""
    name = f"trivial_{number:03}"
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[vectis.plugins]\n{name} = {name}\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(wheels / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    projects = [build(folder, name, *what) for name, what in PLUGINS.items()]
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    run(*pip, "-w", folder / "wheels", *projects)
    return folder / "wheels"


@pytest.fixture(scope="module")
def hub(wheelhouse: Path, wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("hub") / "env", wheelhouse)
    environment.install("vectis-core", "vectis-bus")
    # Without dependencies: pip would refuse the one for another core, as it should.
    environment.pip("install", "-q", "--no-deps", "--no-index", *sorted(wheels.glob("*.whl")))
    return environment


def loaded(hub: Environment, cwd: Path) -> Mapping[str, Any]:
    rows = json.loads(hub.vectis("plugins", "--load", "--json", cwd=cwd).stdout)
    return {row["distribution"]: row for row in rows}


def test_each_is_loaded_or_set_aside_with_its_reason(hub: Environment, tmp_path: Path) -> None:
    rows = loaded(hub, tmp_path)
    assert {name: row["state"] for name, row in rows.items()} == {
        "vectis-bus": "loaded",
        "acme-base": "loaded",
        "acme-near": "loaded",
        "acme-twin": "quarantined",
        "other-twin": "quarantined",
        "acme-future": "quarantined",
        "acme-broken": "quarantined",
    }
    assert rows["acme-near"]["requires"] == ["base"]
    assert "both called 'twin'" in rows["other-twin"]["reason"]
    assert "it requires vectis-core>=77, and vectis-core 0.1.0" in rows["acme-future"]["reason"]
    assert "No module named 'acme_of_nowhere'" in rows["acme-broken"]["reason"]


def test_what_one_needs_is_not_disabled_under_it(hub: Environment, tmp_path: Path) -> None:
    refused = hub.vectis("plugins", "disable", "base", cwd=tmp_path)
    assert refused.returncode == 1
    assert "base is not disabled: plugin near (acme-near 1.0) needs it" in refused.stderr
    assert hub.vectis("plugins", "disable", "base", "--force", cwd=tmp_path).returncode == 0
    rows = loaded(hub, tmp_path)
    assert rows["acme-base"]["reason"] == "disabled by vectis.toml:2"
    assert rows["acme-near"]["reason"] == (
        "it needs plugin base (acme-base 1.0), which is disabled by vectis.toml:2"
    )


def test_bisect_finds_the_broken_one_through_the_command_line_itself(
    hub: Environment, tmp_path: Path
) -> None:
    checked = "from vectis.core import Hub; import sys; "
    checked += "sys.exit(any('nowhere' in plugin.reason for plugin in Hub().plugins))"
    command = [str(hub.python), "-c", checked]
    done = hub.vectis("plugins", "bisect", "--json", "--", *command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["culprits"], found["others_fail"]) == (["broken"], False)


def test_three_hundred_at_once_are_listed_loaded_and_searched(
    hub: Environment, tmp_path: Path
) -> None:
    for number in range(COUNT):
        trivial(number, tmp_path)
    added = tmp_path / "site"
    arguments = ["install", "-q", "--no-deps", "--no-index", "--no-compile", "--target"]
    hub.pip(*arguments, added, *sorted(tmp_path.glob("*.whl")))
    path = {"PYTHONPATH": str(added)}
    rows = json.loads(hub.vectis("plugins", "--load", "--json", cwd=tmp_path, environ=path).stdout)
    states = {row["name"]: row["state"] for row in rows}
    assert sum(name.startswith("trivial_") for name in states) == COUNT
    assert {state for name, state in states.items() if name.startswith("trivial_")} == {"loaded"}
    breaks = "import os, sys; sys.exit('trivial_217' not in os.environ['VECTIS_PLUGINS_DISABLE'])"
    command = ["plugins", "bisect", "--json", "--", str(hub.python), "-c", breaks]
    found = json.loads(hub.vectis(*command, cwd=tmp_path, environ=path).stdout)
    assert found["culprits"] == ["trivial_217"]
    assert len(found["runs"]) <= 2 + 9 + 2
