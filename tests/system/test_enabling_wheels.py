"""`vectis plugins disable` and `bisect` among plugins that were installed with pip."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.environments import Environment
from tests.system.wheels import wheel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HANDLER = """
from vectis.core import handles

@handles("order.*")
def record(event): ...
"""

# distribution: plugin, source
PLUGINS = {
    "acme-base": ("base", HANDLER),
    "acme-near": ("near", f"vectis_requires = ('base',)\n{HANDLER}"),
    "acme-broken": ("broken", "import acme_of_nowhere"),
}


@pytest.fixture(scope="module")
def hub(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("hub") / "env", wheelhouse)
    environment.install("vectis-core", "vectis-bus")
    folder = tmp_path_factory.mktemp("plugins")
    for name, (plugin, source) in PLUGINS.items():
        module = name.replace("-", "_")
        environment.install("--no-deps", wheel(folder, name, {plugin: module}, **{module: source}))
    return environment


def loaded(hub: Environment, cwd: Path) -> Mapping[str, Any]:
    rows = json.loads(hub.vectis("plugins", "--load", "--json", cwd=cwd).stdout)
    return {row["distribution"]: row for row in rows}


def test_what_one_needs_is_not_disabled_under_it(hub: Environment, tmp_path: Path) -> None:
    assert loaded(hub, tmp_path)["acme-near"]["requires"] == ["base"]
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
