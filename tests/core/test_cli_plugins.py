"""`vectis plugins`: a listing that imports nothing, and what --load adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import importlib_metadata
import pytest
from click.testing import CliRunner

from tests.core.cli_world import World
from vectis.core.cli.group import vectis

if TYPE_CHECKING:
    from pathlib import Path

WRITES_ON_IMPORT = "from pathlib import Path\nPath('imported').write_text('')\n"

AUDIT = """
from vectis.core import handles, hookimpl

@handles("order.*", priority=20)
async def record(event): ...

@hookimpl
def vectis_after_emit(event, outcome): ...
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_listing_names_distribution_version_and_entry_point(world: World) -> None:
    world.install("acme-audit", version="2.1", plugin="audit = acme_audit:Plugin")
    [row] = [line for line in world.vectis("plugins").out.splitlines() if "acme" in line]
    assert row.split("  ")[0] == "audit"
    assert row.split() == [
        *("audit", "2.1", "acme-audit", "acme_audit:Plugin", "enabled"),
        *("enabled", "by", "default"),
    ]


def test_the_listing_imports_no_plugin(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme=WRITES_ON_IMPORT)
    assert world.vectis("plugins").code == 0
    assert not (world.here / "imported").exists()
    world.vectis("plugins", "--load")
    assert (world.here / "imported").exists()


def test_a_disabled_plugin_is_not_imported_even_with_load(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme=WRITES_ON_IMPORT)
    world.config('[plugins]\ndisable = [\n  "acme",\n]\n')
    for arguments in (["plugins"], ["plugins", "--load"]):
        answer = world.vectis(*arguments)
        assert "disabled by vectis.toml:3" in answer.out
    assert not (world.here / "imported").exists()


def test_a_need_that_is_not_met_is_known_with_load_and_the_listing_says_so(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="vectis_requires = ('other',)\n")
    world.install("other", plugin="other = other", other="")
    world.config('[plugins]\ndisable = ["other"]\n')
    listed, loaded = world.vectis("plugins"), world.vectis("plugins", "--load")
    assert [line.split()[4] for line in listed.out.splitlines() if "acme" in line] == ["enabled"]
    assert "is known once it is imported: see --load" in listed.out
    assert "it needs plugin other (other 1.0), which is disabled by vectis.toml:2" in loaded.out
    assert "see --load" not in loaded.out


def test_the_environment_is_named_when_it_disables(world: World) -> None:
    world.install("acme", plugin="acme = acme")
    answer = world.vectis("plugins", VECTIS_PLUGINS_DISABLE="acme")
    assert "disabled by VECTIS_PLUGINS_DISABLE" in answer.out


def test_an_allow_list_disables_all_others(world: World) -> None:
    world.install("acme", plugin="acme = acme")
    world.config('[plugins]\nenable = ["bus"]\n')
    states = {row["name"]: row["reason"] for row in world.vectis("plugins", "--json").json}
    assert states["acme"] == "not in the list of vectis.toml:2"
    assert states["bus"] == "enabled by vectis.toml:2"


def test_json_has_the_same_keys_for_every_plugin(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme=AUDIT)
    listed = world.vectis("plugins", "--json").json
    assert {tuple(row) for row in listed} == {
        ("default", "distribution", "entry_point", "name", "reason", "remedy", "state", "version")
    }
    loaded = {row["name"]: row for row in world.vectis("plugins", "--load", "--json").json}
    assert loaded["acme"]["state"] == "loaded"
    assert loaded["acme"]["hooks"] == ["vectis_after_emit"]
    assert loaded["acme"]["handlers"] == ["acme:record on order.*"]


@pytest.mark.parametrize(
    ("source", "cause", "place"),
    [
        ("\n\nimport nothing_of_this_name\n", "No module named 'nothing_of_this_name'", ":3"),
        ("raise SystemExit(3)\n", "SystemExit: 3", ":1"),
        ("x = 1\ndef broken(:\n", "SyntaxError", ":2"),
        ("import json\n\njson.loads('{')\n", "JSONDecodeError", ":3"),
    ],
)
def test_load_shows_why_and_where_a_plugin_is_broken(
    world: World, source: str, cause: str, place: str
) -> None:
    world.install("acme", plugin="acme = acme", acme=source)
    answer = world.vectis("plugins", "--load")
    assert answer.code == 1
    assert cause in answer.out
    assert f"acme.py{place}" in answer.out
    assert "is quarantined" not in answer.err  # said once is enough


def test_load_fails_for_what_does_not_work_unless_it_is_tolerated(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="1 / 0")
    assert world.vectis("plugins").code == 0, "nobody has imported it"
    assert world.vectis("plugins", "--load", "--json").code == 1
    world.config('[consumer]\ntolerate = ["acme"]\n')
    assert world.vectis("plugins", "--load").code == 0
    world.config('[plugins]\ndisable = ["acme"]\n')
    assert world.vectis("plugins", "--load").code == 0


def test_an_entry_point_that_names_nothing_is_said_to_be_wrong(world: World) -> None:
    world.install("acme", plugin="acme = acme..x:y z", acme="")
    for arguments in (["plugins", "--load"], ["doctor"], ["plugins", "check", "acme"]):
        answer = world.vectis(*arguments)
        assert answer.code == 1
        assert "its entry point 'acme..x:y z' must be `module` or `module:attribute`" in answer.out
        assert "orrect the entry point acme in the pyproject.toml of acme and inst" in answer.out
        assert "functools.py" not in answer.out


def test_two_plugins_of_one_name_are_both_shown(world: World) -> None:
    world.install("one", plugin="acme = one")
    world.install("two", plugin="acme = two")
    answer = world.vectis("plugins")
    assert "one (one) and two (two) are both called 'acme'" in answer.out
    assert "-> uninstall one: `pip uninstall one` or" in " ".join(answer.out.split())


def test_a_missing_required_plugin_still_shows_the_list(world: World) -> None:
    world.config('[plugins]\nrequire = ["buss"]\n')
    for arguments in (["plugins"], ["plugins", "--load"]):
        answer = world.vectis(*arguments)
        assert answer.code == 2
        assert "vectis-bus" in answer.out
        assert "'buss', required by vectis.toml:2, is not installed" in answer.err
        assert "did you mean 'bus'?" in answer.err


def test_what_a_plugin_prints_stays_out_of_the_answer(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="print('hello')")
    answer = world.vectis("plugins", "--load", "--json")
    assert answer.json
    assert "hello" in answer.err


def test_names_are_whole_and_plain_when_piped(world: World) -> None:
    name = "a-very-long-name-of-a-plugin-" * 5 + "x"
    world.install("acme", plugin=f"{name} = acme.of.a.very.deep.package:Plugin")
    answer = world.vectis("plugins", COLUMNS="40")
    assert name in answer.out
    assert "\x1b" not in answer.out


def test_the_listing_reads_no_description(monkeypatch: pytest.MonkeyPatch) -> None:
    # Parsing METADATA as an e-mail takes most of the time with many distributions.
    def heavy(distribution: object) -> None:
        raise AssertionError("METADATA was parsed")

    monkeypatch.setattr(importlib_metadata.Distribution, "metadata", property(heavy))
    result = CliRunner().invoke(vectis, ["plugins"], catch_exceptions=False)
    assert "vectis-bus" in result.output


LOOK = """
import sys
from vectis.core.cli import main

main(["plugins"])
heavy = {"asyncio", "cattrs", "packaging", "pluggy", "rich", "vectis_bus"} & set(sys.modules)
if heavy:
    raise SystemExit(f"imported: {heavy}")
"""


def test_the_piped_listing_imports_only_what_it_needs(world: World) -> None:
    answer = world.python("-c", LOOK)
    assert (answer.code, answer.err) == (0, "")


def test_load_shows_what_a_plugin_needs_and_who_lacks_it(world: World) -> None:
    source = "vectis_requires = ('bus',)\nvectis_after = ('trace',)\n"
    world.install("acme", plugin="acme = acme", acme=source)
    world.install("lone", plugin="lone = lone", lone="vectis_requires = ('acne',)\n")
    answer = world.vectis("plugins", "--load")
    assert "follows:  bus, trace if it is there" in answer.out
    assert "quarantined: it needs plugin 'acne', which is not installed; did you mean" in answer.out
    rows = {row["name"]: row for row in world.vectis("plugins", "--load", "--json").json}
    assert (rows["acme"]["requires"], rows["acme"]["after"]) == (["bus"], ["trace"])
