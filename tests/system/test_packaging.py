"""Every distribution as its users meet it: built, opened, and installed into empty environments.

The wheels are built once, together with those of everything they depend on; the environments are
then filled from that folder alone, so that nothing can come from elsewhere.
"""

from __future__ import annotations

import email.parser
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.environments import FOLDERS, ROOT, Environment, run

if TYPE_CHECKING:
    from email.message import Message

PACKAGES = {
    "vectis-core": "vectis",
    "vectis-bus": "vectis_bus",
    "vectis-redpanda": "vectis_redpanda",
    "vectis-sqlite": "vectis_sqlite",
    "vectis-commerce": "vectis_commerce",
}
ENTRY_POINTS = {
    "vectis-core": {"console_scripts": ["vectis"], "pytest11": ["vectis"]},
    "vectis-bus": {"vectis.plugins": ["bus"]},
    "vectis-redpanda": {"vectis.plugins": ["redpanda"], "vectis.commands": ["topics"]},
    "vectis-sqlite": {"vectis.plugins": ["sqlite"]},
    "vectis-commerce": {"vectis.plugins": ["commerce"], "vectis.commands": ["demo"]},
    "vectis-hub": {},
}

IMPORT_CORE = "import vectis.core\n"

LOAD_ENTRY_POINTS = """
from importlib.metadata import entry_points

for group in ("vectis.plugins", "vectis.commands"):
    for point in entry_points(group=group):
        point.load()
"""

EMIT = """
import asyncio
from vectis.core.events import Event, event_bus

seen = []

async def on_order_created(event: Event):
    seen.append(event.data["order_id"])

event_bus.subscribe("order.created", on_order_created, priority=50)
asyncio.run(event_bus.emit(Event(type="order.created", data={"order_id": 7})))
assert seen == [7], seen
"""

EMIT_WITHOUT_BUS = """
import asyncio
from vectis.core.events import Event, event_bus
from vectis.core.exceptions import VectisError

async def on_order_created(event: Event): ...

try:
    event_bus.subscribe("order.created", on_order_created, priority=50)
    asyncio.run(event_bus.emit(Event(type="order.created", data={"order_id": 7})))
except VectisError as error:
    assert "vectis-bus" in str(error), error
else:
    raise SystemExit("the handler was silently skipped")
"""

PUBLISH_DISABLES_ITSELF = """
import asyncio
from vectis.core.events import publish_event

async def main():
    return await publish_event(
        topic="vectis.orders", event_type="order.created", payload={"order_id": 7}, key="7"
    )

assert asyncio.run(main()) is None
"""


def wheel_of(name: str, wheelhouse: Path) -> zipfile.ZipFile:
    (path,) = wheelhouse.glob(f"{name.replace('-', '_')}-*.whl")
    return zipfile.ZipFile(path)


def dist_info(wheel: zipfile.ZipFile, name: str) -> str | None:
    """Return a file of the wheel's metadata, None when it has none of that name."""
    found = [entry for entry in wheel.namelist() if entry.endswith(f".dist-info/{name}")]
    return wheel.read(found[0]).decode() if found else None


def metadata_of(wheel: zipfile.ZipFile) -> Message:
    return email.parser.Parser().parsestr(dist_info(wheel, "METADATA") or "")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_wheel_says_what_it_is(name: str, wheelhouse: Path) -> None:
    with wheel_of(name, wheelhouse) as wheel:
        metadata = metadata_of(wheel)
        licence = dist_info(wheel, "licenses/LICENSE")
    assert metadata["Name"] == name
    assert metadata["Version"] == "0.1.0"
    assert metadata["Summary"]
    assert metadata["License-Expression"] == "MIT"
    assert licence == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Author"] == "The Vectis developers"
    assert metadata["Keywords"]
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert metadata["Description-Content-Type"] == "text/markdown"
    readme = (ROOT / FOLDERS[name] / "README.md").read_text(encoding="utf-8")
    assert str(metadata.get_payload()).strip() == readme.strip()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_wheel_has_its_entry_points_and_no_others(name: str, wheelhouse: Path) -> None:
    with wheel_of(name, wheelhouse) as wheel:
        declared = ConfigParser()
        declared.read_string(dist_info(wheel, "entry_points.txt") or "")
    assert {group: list(declared[group]) for group in declared.sections()} == ENTRY_POINTS[name]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_holds_its_typed_package_and_nothing_beside_it(name: str, wheelhouse: Path) -> None:
    package = PACKAGES[name]
    with wheel_of(name, wheelhouse) as wheel:
        files = [entry for entry in wheel.namelist() if ".dist-info/" not in entry]
    assert {entry.split("/")[0] for entry in files} == {package}
    typed = "vectis/core/py.typed" if package == "vectis" else f"{package}/py.typed"
    assert typed in files
    source = ROOT / FOLDERS[name] / "src"
    modules = {str(path.relative_to(source)) for path in source.rglob("*.py")}
    assert modules == {entry for entry in files if entry.endswith(".py")}


def test_the_wheel_of_the_metadistribution_holds_no_code(wheelhouse: Path) -> None:
    with wheel_of("vectis-hub", wheelhouse) as wheel:
        assert [entry for entry in wheel.namelist() if ".dist-info/" not in entry] == []


def test_the_wheel_of_the_commerce_plugin_brings_the_orders_of_the_demo(wheelhouse: Path) -> None:
    with wheel_of("vectis-commerce", wheelhouse) as wheel:
        files = wheel.namelist()
    assert [
        entry for entry in files if entry.startswith("vectis_commerce/demo/") and "orders" in entry
    ]


@pytest.mark.parametrize("name", FOLDERS)
def test_an_sdist_brings_licence_readme_and_source(name: str, tmp_path: Path) -> None:
    folder = ROOT / FOLDERS[name]
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=folder)
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        files = {Path(*Path(entry).parts[1:]).as_posix() for entry in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "PKG-INFO"} <= files
    if name in PACKAGES:
        assert f"src/{PACKAGES[name]}/__init__.py" in files
    assert not [entry for entry in files if entry.startswith(("tests/", ".venv", ".nox"))]


class Installation:
    """What somebody installs, by name from wheels or by path from a checkout, and what it gives."""

    def __init__(self, names: list[str], extra: str, gives: set[str], scripts: list[str]) -> None:
        self.names = names
        self.extra = extra
        self.gives = gives
        self.scripts = scripts

    def from_wheels(self) -> list[str]:
        return [*self.names[:-1], self.names[-1] + self.extra]

    def from_checkout(self) -> list[str]:
        siblings = [name for name in FOLDERS if name in self.gives and name not in self.names]
        paths = [f"./{FOLDERS[name]}" for name in [*siblings, *self.names]]
        return [*paths[:-1], paths[-1] + self.extra]


HUB = {"vectis-core", "vectis-bus", "vectis-redpanda", "vectis-hub"}
INSTALLATIONS = {
    "core": Installation(["vectis-core"], "", {"vectis-core"}, [IMPORT_CORE, EMIT_WITHOUT_BUS]),
    "core and bus": Installation(
        ["vectis-core", "vectis-bus"], "", {"vectis-core", "vectis-bus"}, [IMPORT_CORE, EMIT]
    ),
    "hub": Installation(["vectis-hub"], "", HUB, [EMIT, PUBLISH_DISABLES_ITSELF]),
    "hub[redpanda]": Installation(
        ["vectis-hub"], "[redpanda]", HUB | {"aiokafka"}, [EMIT, PUBLISH_DISABLES_ITSELF]
    ),
    "hub[demo]": Installation(
        ["vectis-hub"], "[demo]", HUB | {"vectis-sqlite", "vectis-commerce"}, [EMIT]
    ),
}


def check(environment: Environment, wanted: Installation) -> None:
    """Check that it holds what was wanted, of ours and of the optional, and that it works."""
    environment.pip("check")
    assert environment.distributions() & {*FOLDERS, "aiokafka"} == wanted.gives
    for script in [LOAD_ENTRY_POINTS, *wanted.scripts]:
        environment.run_script(script)


@pytest.mark.parametrize("what", INSTALLATIONS)
def test_it_installs_from_wheels_into_an_empty_environment_and_works(
    what: str, wheelhouse: Path, tmp_path: Path
) -> None:
    wanted = INSTALLATIONS[what]
    environment = Environment(tmp_path / "env", wheelhouse)
    environment.install(*wanted.from_wheels())
    check(environment, wanted)


# The smallest and the largest: what lies between is made of the same wheels. The demo is left out,
# because the README's first command installs it from a checkout.
@pytest.mark.parametrize("what", ["core and bus", "hub[redpanda]"])
def test_it_installs_from_a_checkout_into_an_empty_environment_and_works(
    what: str, wheelhouse: Path, tmp_path: Path
) -> None:
    wanted = INSTALLATIONS[what]
    environment = Environment(tmp_path / "env", wheelhouse)
    environment.install(*wanted.from_checkout())
    check(environment, wanted)
