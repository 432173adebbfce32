"""The README's plugin in ten lines, as somebody who has never seen Vectis would try it.

Its two files are taken out of the README, installed as a wheel into an environment that has nothing
but the hub, looked at with every command that the README names, broken, and disabled.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.system.environments import ROOT, Environment


def file_of_the_readme(name: str) -> str:
    """Return the code block of the README that begins with a comment of this name."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"```\w+\n(# {re.escape(name)}\n.*?)```", readme, re.S)
    return str(block)


class Shop:
    """An environment with the hub, and a folder to work in."""

    def __init__(self, environment: Environment, folder: Path) -> None:
        self.environment = environment
        self.folder = folder

    def vectis(self, *arguments: str, expect: int = 0, **variables: str) -> str:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE", "VECTIS_"))}
        command = self.environment.python.with_name("vectis")
        done = subprocess.run(
            [str(command), *arguments],
            cwd=self.folder,
            env=env | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == expect, printed
        return printed


@pytest.fixture(scope="module")
def shop(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    environment = Environment(tmp_path_factory.mktemp("newcomer") / "env", wheelhouse)
    environment.install("vectis-hub[demo]")
    plugin = folder / "acme-audit"
    plugin.mkdir()
    for name in ("acme_audit.py", "pyproject.toml"):
        (plugin / name).write_text(file_of_the_readme(name), encoding="utf-8")
    wheels = folder / "wheels"
    environment.pip(
        "wheel", "-q", "--no-deps", "--no-index", "--find-links", wheelhouse, "-w", wheels, plugin
    )
    (wheel,) = wheels.glob("*.whl")
    environment.install(wheel)
    return Shop(environment, folder)


def test_the_plugin_is_listed_and_explained_after_pip_install_alone(shop: Shop) -> None:
    assert "acme-audit" in shop.vectis("plugins")
    explained = shop.vectis("explain", "order.created")
    assert re.search(r"20 .*acme-audit:record", explained)
    assert re.search(r"vectis_after_emit +acme-audit", explained)


def test_it_conforms_and_its_handler_is_called_with_what_other_plugins_register(
    shop: Shop,
) -> None:
    checked = shop.vectis("plugins", "check", "acme-audit", "--call")
    assert "made up by hypothesis: pip install hypothesis" in checked
    shop.environment.install("hypothesis")
    checked = shop.vectis("plugins", "check", "acme-audit", "--call")
    assert checked.count("ok ") == 5
    assert "acme-audit conforms" in checked


def test_its_handler_and_its_hook_run(shop: Shop) -> None:
    printed = shop.environment.run_script(
        "import asyncio\n"
        "from vectis.core.events import Event, event_bus\n"
        "asyncio.run(event_bus.emit(Event('order.created', {'order_id': 7})))\n"
    )
    assert printed.splitlines() == ["audit: order.created", "audit: order.created completed"]


def test_a_demo_on_a_broker_says_what_has_to_be_installed_for_that(shop: Shop) -> None:
    said = shop.vectis("demo", "--broker", expect=2)
    assert "aiokafka is not installed: pip install aiokafka" in said


def test_the_readme_s_consumer_works_without_the_events_of_any_plugin(shop: Shop) -> None:
    (shop.folder / "warehouse.py").write_text(file_of_the_readme("warehouse.py"), encoding="utf-8")
    variables: dict[str, Any] = {
        "VECTIS_SQLITE_PATH": "events.db",
        "VECTIS_CONSUMER_GROUP": "warehouse",
        "VECTIS_PLUGINS_DISABLE": "commerce",
    }
    shop.vectis("publish", "vectis.orders", "order.created", '{"order_id": 7}', **variables)
    worker = subprocess.Popen(
        [shop.environment.python, "-u", "-m", "vectis.core.events.consumer", "warehouse"],
        cwd=shop.folder,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert worker.stdout is not None
        printed = worker.stdout.readline()
    finally:
        worker.terminate()
        _, said = worker.communicate(timeout=60)
    assert printed == "to the ERP: 7\n", said
    assert worker.returncode == 0, said


def test_once_disabled_it_is_gone_and_explain_says_by_which_line(shop: Shop) -> None:
    explained = shop.vectis("explain", "order.created", VECTIS_PLUGINS_DISABLE="acme-audit")
    assert "acme-audit:record" not in explained
    assert "VECTIS_PLUGINS_DISABLE" in explained
    config = shop.folder / "vectis.toml"
    config.write_text('[plugins]\ndisable = [\n  "acme-audit",\n]\n', encoding="utf-8")
    try:
        assert re.search(r"acme-audit .*disabled .*vectis\.toml:3", shop.vectis("plugins"))
    finally:
        config.unlink()


def test_once_broken_doctor_says_what_is_wrong_with_it_and_the_rest_works(shop: Shop) -> None:
    where = shop.environment.run_script("import acme_audit; print(acme_audit.__file__)").strip()
    broken = file_of_the_readme("acme_audit.py").replace("(event, outcome)", "(event, outcomes)")
    module = Path(where)
    whole = module.read_text(encoding="utf-8")
    try:
        module.write_text(broken, encoding="utf-8")
        diagnosis = shop.vectis("doctor", expect=1)
        assert "acme-audit" in diagnosis
        assert "'outcomes'" in diagnosis
        assert "acme-audit" in shop.vectis("explain", "order.created")
        assert "commerce" in shop.vectis("plugins", "--load", expect=1)
    finally:
        module.write_text(whole, encoding="utf-8")
