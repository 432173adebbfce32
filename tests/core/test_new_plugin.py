"""`vectis new-plugin`: names, refusals, and what is written; its wheel is for tests/system."""

from __future__ import annotations

import ast
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.core.cli_world import World
from vectis.core.exceptions import PluginError
from vectis.core.scaffold import Names, new_plugin

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.conftest import Install


@pytest.mark.parametrize("name", ["acme-loyalty", "Acme_Loyalty", "acme.loyalty", "acme--LOYALTY"])
def test_a_name_is_normalised_as_package_indexes_do(name: str) -> None:
    assert Names.of(name) == Names("acme-loyalty", "acme_loyalty", "AcmeLoyalty")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "no name of a distribution"),
        ("../acme", "no name of a distribution"),
        ("acme/loyalty", "no name of a distribution"),
        ("-acme", "no name of a distribution"),
        ("acmé", "no name of a distribution"),
        ("acme\n", "no name of a distribution"),
        ("a" * 101, "no name of a distribution"),
        ("2048", "no Python module: begin the name with a letter"),
        ("class", "a word of the language.* as in acme-class"),
        ("json", "module 'json' is there already.* as in acme-json"),
        ("vectis", "there already.* as in acme-vectis"),
        ("test", "module 'test' is there already.* as in acme-test"),
        ("attr", "module 'attr' is there already.* as in acme-attr"),  # of the distribution attrs
        ("consumer", "Vectis's own.* as in acme-consumer"),
        ("bus", "plugin called 'bus' is installed.* as in acme-bus"),
        ("Redpanda", "plugin called 'redpanda' is installed"),
        ("vectis-core", "begins with 'vectis-'.* as in acme-core"),
        ("Vectis.Audit", "begins with 'vectis-'.* as in acme-audit"),
        ("Pluggy", "distribution called 'pluggy' is installed.* as in acme-pluggy"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=said):
        new_plugin(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("installed", "name", "said"),
    [
        (["acme-audit"], "acme-audit", "take another name, as in acme-audit-2"),
        (["acme-audit", "acme-audit-2"], "acme-audit", "as in acme-audit-3"),
        (["acme-audit"], "vectis-acme-audit", "take another name, as in acme-audit-2"),
        ([], "vectis-acme-audit", "take another name, as in acme-audit"),
        (["acme-bus"], "bus", "put your company's name before it, as in acme-bus-2"),
    ],
)
def test_the_name_that_is_advised_is_a_sensible_and_free_one(
    installed: list[str], name: str, said: str, install: Install, tmp_path: Path
) -> None:
    for one in installed:
        install(one)
    with pytest.raises(PluginError, match=f"{said}$"):
        new_plugin(name, tmp_path)


def test_neither_a_module_that_is_there_nor_one_that_hides_it_is_advised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    for module in ("loyalty", "acme_loyalty"):
        (site / f"{module}.py").write_text("raise AssertionError('imported')", encoding="utf-8")
    with pytest.raises(PluginError, match=r"module 'loyalty' is there .* as in acme-loyalty-2$"):
        new_plugin("loyalty", tmp_path)
    (site / "spread" / "part").mkdir(parents=True)
    with pytest.raises(PluginError, match="module 'spread' is there already"):
        new_plugin("spread", tmp_path)
    with pytest.raises(PluginError, match=r"take another name, as in acme-loyalty-2$"):
        new_plugin("acme-loyalty", tmp_path)


def test_an_existing_folder_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    with pytest.raises(PluginError, match="is there already"):
        new_plugin("acme", tmp_path)
    assert list((tmp_path / "acme").iterdir()) == []


def test_a_dangling_link_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "acme").symlink_to(tmp_path / "nowhere")
    with pytest.raises(PluginError, match="is there already"):
        new_plugin("acme", tmp_path)


def test_what_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    parent = tmp_path / "file"
    parent.write_text("", encoding="utf-8")
    with pytest.raises(PluginError, match="cannot be written"):
        new_plugin("acme", parent)


def test_every_file_is_filled_in(tmp_path: Path) -> None:
    folder = new_plugin("acme-loyalty", tmp_path)
    written = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert written == [
        "README.md",
        "pyproject.toml",
        "src/acme_loyalty/__init__.py",
        "src/acme_loyalty/events.py",
        "src/acme_loyalty/py.typed",
        "src/acme_loyalty/settings.py",
        "tests/test_acme_loyalty.py",
    ]
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "$" not in text, path
        assert max(map(len, text.splitlines()), default=0) <= 100
        ast.parse(text)
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "acme-loyalty"
    assert project["entry-points"]["vectis.plugins"] == {"acme-loyalty": "acme_loyalty"}
    assert "vectis-core>=0.1.0,<0.2" in project["dependencies"]


def test_the_command_lists_the_files_and_what_to_do_next(tmp_path: Path) -> None:
    world = World(tmp_path)
    answer = world.vectis("new-plugin", "Acme_Loyalty")
    assert answer.code == 0
    assert "acme-loyalty/pyproject.toml" in answer.out
    assert 'Next: cd acme-loyalty, pip install -e ".[test]", pytest' in answer.out
    first = "`pip install ./core ./plugins/bus` in a clone of Vectis"
    assert f"If pip does not find vectis-core or vectis-bus, first {first}" in answer.out
    readme = (world.here / "acme-loyalty/README.md").read_text(encoding="utf-8")
    assert readme.index(f"If pip does not find `vectis-core` or `vectis-bus`, first {first}")
    again = world.vectis("new-plugin", "acme-loyalty")
    assert (again.code, "is there already" in again.err) == (2, True)
    assert world.vectis("new-plugin", "loyalty").code == 0
    again = world.vectis("new-plugin", "loyalty")
    assert (again.code, "loyalty is there already, and nothing in it" in again.err) == (2, True)
    elsewhere = world.here / "elsewhere"
    elsewhere.mkdir()
    assert world.vectis("new-plugin", "acme", "--directory", str(elsewhere)).code == 0
    assert (elsewhere / "acme/README.md").exists()
