"""What `vectis new-plugin` writes, from its wheel: installed into a fresh environment and tested.

Everything is done by what is installed there: the command, the build, the tests as generated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.environments import Environment, run

if TYPE_CHECKING:
    from pathlib import Path

NAME = "acme-loyalty"


@pytest.fixture(scope="module")
def generated(
    wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Environment, Path]:
    """An environment with the wheel of a generated plugin, and the folder it was made from."""
    folder = tmp_path_factory.mktemp("generated")
    environment = Environment(folder / "env", wheelhouse)
    environment.install("vectis-core")
    run(environment.python.with_name("vectis"), "new-plugin", NAME, cwd=folder)
    project = folder / NAME
    wheels = folder / "wheels"
    environment.pip(
        *("wheel", "-q", "--no-deps", "--no-index", "--find-links", wheelhouse, "-w", wheels),
        project,
    )
    (wheel,) = wheels.glob("*.whl")
    environment.install(f"{NAME}[test] @ {wheel.as_uri()}")
    return environment, project


def test_its_tests_pass_as_generated(generated: tuple[Environment, Path]) -> None:
    environment, project = generated
    printed = run(environment.python, "-m", "pytest", "-p", "no:cacheprovider", cwd=project)
    assert "8 passed" in printed


def test_they_tested_the_wheel(generated: tuple[Environment, Path]) -> None:
    environment, _ = generated
    where = environment.run_script("import acme_loyalty; print(acme_loyalty.__file__)")
    assert "site-packages" in where
    assert NAME in environment.distributions()


def test_it_is_listed_and_conforms(generated: tuple[Environment, Path]) -> None:
    environment, project = generated
    vectis = environment.python.with_name("vectis")
    assert NAME in run(vectis, "plugins", cwd=project)
    assert f"{NAME} conforms" in run(vectis, "plugins", "check", NAME, "--call", cwd=project)
    assert "acme-loyalty.noted" in run(vectis, "catalog", cwd=project)
