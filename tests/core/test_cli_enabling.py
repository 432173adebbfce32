"""`vectis plugins enable` and `disable`: the config file changes by one name and no more."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from tests.core.cli_world import World
from vectis.core.cli.group import vectis

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tests.core.conftest import Install

HANDLERS = """
import attrs
from vectis.core import event_type, handles, hookimpl, on_event

@event_type("loyalty.earned", topic="acme.loyalty")
@attrs.frozen
class LoyaltyEarned:
    points: int

@hookimpl
def vectis_register_events(catalogue):
    catalogue.register(LoyaltyEarned)

@handles("order.*")
async def record(event): ...

@on_event("loyalty.earned")
async def write(event_type: str, payload: dict) -> None: ...
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `vectis plugins ...` in a folder of its own, in this process."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def invoke(*arguments: str, **environ: str) -> Result:
        return CliRunner().invoke(
            vectis, ["plugins", *arguments], env=environ, catch_exceptions=False
        )

    return invoke


def write(text: str, name: str = "vectis.toml") -> None:
    Path(name).write_text(text, encoding="utf-8", newline="")


def read(name: str = "vectis.toml") -> str:
    return Path(name).read_bytes().decode()


# What the file becomes

LAYOUTS = {
    "one line": (
        '# top\n[plugins]  # ours\ndisable = ["other"]  # why\n\n# hub\n[hub]\n',
        '# top\n[plugins]  # ours\ndisable = ["other", "acme"]  # why\n\n# hub\n[hub]\n',
    ),
    "a line each": (
        '[plugins]\ndisable = [\n  "other",  # it hangs\n]\n',
        '[plugins]\ndisable = [\n  "other",  # it hangs\n  "acme",\n]\n',
    ),
    "a line each, the last without a comma": (
        '[plugins]\ndisable = [\n    # first\n    "other"\n]\n',
        '[plugins]\ndisable = [\n    # first\n    "other",\n    "acme"\n]\n',
    ),
    "no list yet": (
        '[plugins]\nfail_open = ["x"]  # y\n\n# about the hub\n[hub]\n',
        '[plugins]\ndisable = ["acme"]\nfail_open = ["x"]  # y\n\n# about the hub\n[hub]\n',
    ),
    "no table yet": (
        '# top\n[hub]\nsource = "x"  # y',
        '# top\n[hub]\nsource = "x"  # y\n\n[plugins]\ndisable = ["acme"]\n',
    ),
    "dotted keys": (
        'plugins.fail_open = ["x"]  # y\n[hub]\n',
        'plugins.fail_open = ["x"]  # y\nplugins.disable = ["acme"]\n[hub]\n',
    ),
    "an inline table": (
        'plugins = {disable = ["other"]}  # y\n',
        'plugins = {disable = ["other", "acme"]}  # y\n',
    ),
    "line ends of Windows": (
        '[plugins]\r\ndisable = [\r\n  "other",\r\n]\r\n',
        '[plugins]\r\ndisable = [\r\n  "other",\r\n  "acme",\r\n]\r\n',
    ),
    "a byte order mark": (
        "\ufeff[plugins]\ndisable = []\n",
        '\ufeff[plugins]\ndisable = ["acme"]\n',
    ),
    "an allow-list": (
        '[plugins]\nenable = ["bus", "acme"]  # no more\n',
        '[plugins]\nenable = ["bus"]  # no more\n',
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_disable_changes_one_list_and_keeps_comments_and_layout(
    install: Install, run: Callable[..., Result], layout: str
) -> None:
    install("acme")
    before, after = LAYOUTS[layout]
    write(before)
    result = run("disable", "acme")
    assert (result.exit_code, read()) == (0, after)
    assert "[plugins]" in result.stdout


@pytest.mark.parametrize("layout", LAYOUTS)
def test_enable_takes_it_back(install: Install, run: Callable[..., Result], layout: str) -> None:
    install("acme")
    before, after = LAYOUTS[layout]
    write(after)
    assert run("enable", "acme").exit_code == 0
    assert meaning(read()) == meaning(before)


LISTS = {
    "the comment beside it": (
        '[\n  "acme",  # it hangs\n  "other",  # too\n]',
        '[\n  # it hangs\n  "other",  # too\n]',
    ),
    "the comments around it": (
        '[  # all\n  # above\n  "acme"  # beside\n  # below\n]  # after',
        "[  # all\n  # above\n  # beside\n  # below\n]  # after",
    ),
    "the last, without a comma": (
        '[\n  "other",  # too\n  "acme"  # it hangs\n]',
        '[\n  "other"  # too\n  # it hangs\n]',
    ),
    "among others on a line": (
        '["a", "acme", \'b\',  # those three\n "c"]',
        '["a", \'b\',  # those three\n "c"]',
    ),
    "the last of a line": ('["a", "acme",  # both\n "c"]', '["a",  # both\n "c"]'),
    "twice": ('["acme", "a", "acme"]', '["a"]'),
    "alone": ('[ "acme" ]  # only', "[ ]  # only"),
    "odd commas": ('[\n  "a"\n, "acme" # x\n, "b"]', '[\n  "a"\n, # x\n "b"]'),
    "what looks like a comment": ('["#acme", "acme", "a\\"#"]', '["#acme", "a\\"#"]'),
}


@pytest.mark.parametrize("case", LISTS)
def test_enable_keeps_the_comments_at_the_name_that_goes(
    install: Install, run: Callable[..., Result], case: str
) -> None:
    install("acme")
    before, after = LISTS[case]
    write(f"[plugins]\ndisable = {before}\nfail_open = []\n")
    assert run("enable", "acme").exit_code == 0
    assert read() == f"[plugins]\ndisable = {after}\nfail_open = []\n"


def meaning(text: str) -> dict[str, Any]:
    """Return what a file says, whatever the order in its lists; an empty `disable` says nothing."""
    tables = tomllib.loads(text.removeprefix("\ufeff"))
    lists = {key: sorted(names) for key, names in tables.pop("plugins", {}).items()}
    if lists.get("disable") == []:
        del lists["disable"]
    return {**tables, "plugins": lists}


PROJECTS = {
    "its own table": (
        "[project]\n\n[tool.vectis.plugins]\nrequire = []\n\n[tool.mypy]\n",
        '[project]\n\n[tool.vectis.plugins]\ndisable = ["acme"]\nrequire = []\n\n[tool.mypy]\n',
    ),
    "another table": (
        "[tool.vectis.hub]\n\n[tool.mypy]\n",
        '[tool.vectis.hub]\n\n[tool.mypy]\n\n[tool.vectis.plugins]\ndisable = ["acme"]\n',
    ),
    "dotted": (
        '[tool]\nvectis.hub.source = "shop"\n',
        '[tool]\nvectis.hub.source = "shop"\n\n[tool.vectis.plugins]\ndisable = ["acme"]\n',
    ),
}


@pytest.mark.parametrize("project", PROJECTS)
def test_pyproject_toml_is_edited_where_it_holds_the_settings(
    install: Install, run: Callable[..., Result], project: str
) -> None:
    install("acme")
    before, after = PROJECTS[project]
    write(before, "pyproject.toml")
    assert run("disable", "acme").exit_code == 0
    assert read("pyproject.toml") == after
    assert not Path("vectis.toml").exists()
    assert run("disable", "acme").stdout == (
        "pyproject.toml: acme is disabled there already, so nothing changes\n"
    )


def test_without_a_file_one_is_made_and_said_to_be(
    install: Install, run: Callable[..., Result]
) -> None:
    install("acme")
    Path("pyproject.toml").write_text('[project]\nname = "shop"\n')
    result = run("disable", "acme")
    assert read() == '[plugins]\ndisable = ["acme"]\n'
    assert f"no config file from here upwards, so {Path.cwd() / 'vectis.toml'}" in result.stderr


def test_the_file_is_found_as_the_settings_find_it(
    install: Install, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("acme")
    write("[plugins]\n")
    write("[plugins]\n", "other.toml")
    inside = Path("inside")
    inside.mkdir()
    monkeypatch.chdir(inside)
    run("disable", "acme", VECTIS_CONFIG="../other.toml")
    assert (read("../other.toml"), read("../vectis.toml")) == (
        '[plugins]\ndisable = ["acme"]\n',
        "[plugins]\n",
    )
    run("disable", "acme")
    assert read("../vectis.toml") == '[plugins]\ndisable = ["acme"]\n'
    assert not Path("vectis.toml").exists()


def test_an_allow_list_gets_what_is_enabled(install: Install, run: Callable[..., Result]) -> None:
    install("acme")
    write('[plugins]\nenable = ["bus"]\ndisable = ["acme", "other"]\n')
    run("enable", "acme")
    assert read() == '[plugins]\nenable = ["bus", "acme"]\ndisable = ["other"]\n'


def test_a_dry_run_shows_the_change_and_writes_nothing(
    install: Install, run: Callable[..., Result]
) -> None:
    install("acme")
    write("[plugins]\ndisable = []  # none\n")
    result = run("disable", "acme", "--dry-run")
    assert '-disable = []  # none\n+disable = ["acme"]  # none\n' in result.stdout
    assert read() == "[plugins]\ndisable = []  # none\n"
    assert result.exit_code == 0


def test_mode_and_link_stay(install: Install, run: Callable[..., Result], tmp_path: Path) -> None:
    install("acme")
    real = tmp_path / "real.toml"
    real.write_text("[plugins]\n")
    real.chmod(0o640)
    link = Path("vectis.toml")
    link.symlink_to(real)
    run("disable", "acme")
    assert link.is_symlink()
    assert real.read_text() == '[plugins]\ndisable = ["acme"]\n'
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir() if "real" in path.name] == ["real.toml"]


# Several at once


def test_several_are_disabled_and_enabled_together(world: World) -> None:
    for name in ("acme", "other"):
        world.install(name, plugin=f"{name} = {name}")
        (world.site / f"{name}.py").write_text(HANDLERS.replace("loyalty", name))
    answer = world.vectis("plugins", "disable", "acme", "other", "acme")
    assert answer.code == 0
    assert (world.here / "vectis.toml").read_text() == '[plugins]\ndisable = ["acme", "other"]\n'
    assert "What goes with acme and other:" in answer.out
    assert (
        "no other handler: order.* on the bus, acme.earned in the worker, other.earned"
        in answer.out
    )
    answer = world.vectis("plugins", "enable", "other", "bus", "acme")
    assert answer.code == 0
    assert (world.here / "vectis.toml").read_text() == "[plugins]\ndisable = []\n"
    assert "bus is enabled there already, so nothing changes" in answer.out
    assert "What comes with other, bus and acme:" in answer.out


def test_one_that_is_refused_keeps_the_others_from_being_changed(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="")
    world.install("other", plugin="other = other", other="")
    world.install("near", plugin="near = near", near="vectis_requires = ('acme',)")
    for command in ("disable", "enable"):
        answer = world.vectis("plugins", command, "other", "acne", "neer")
        assert answer.code == 2
        assert "'acne'; did you mean 'acme'?" in answer.err
        assert "'neer'; did you mean 'near'? Nothing was changed" in " ".join(answer.err.split())
    answer = world.vectis("plugins", "disable", "other", "acme")
    assert answer.code == 1
    assert "acme is not disabled: plugin near (near 1.0) needs it" in answer.err
    assert not (world.here / "vectis.toml").exists()


def test_what_only_plugins_need_that_go_as_well_is_not_refused(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="")
    world.install("near", plugin="near = near", near="vectis_requires = ('acme',)")
    assert world.vectis("plugins", "disable", "acme", "near").code == 0


# What cannot be done


@pytest.mark.parametrize("command", ["enable", "disable"])
def test_an_unknown_name_is_an_error_with_the_nearest(
    run: Callable[..., Result], command: str
) -> None:
    result = run(command, "buss")
    assert result.exit_code == 2
    assert "no installed plugin is called 'buss'; did you mean 'bus'?" in result.stderr
    assert not Path("vectis.toml").exists()


def test_a_name_that_no_plugin_has_is_taken_out_of_what_is_disabled(
    install: Install, run: Callable[..., Result]
) -> None:
    install("acme")
    write('[plugins]\nenable = ["bus"]\ndisable = ["buss", "acme"]  # why\n')
    assert "'buss'" in run().stderr
    result = run("enable", "buss", "--dry-run")
    assert "-disable" in result.stdout
    result = run("enable", "buss")
    assert read() == '[plugins]\nenable = ["bus"]\ndisable = ["acme"]  # why\n'
    assert "'buss' is taken out of [plugins] disable" in result.stdout
    assert "no installed plugin is called 'buss', so this enables none; did you" in result.stderr
    assert "'buss'" not in run().stderr
    assert run("enable", "buss").exit_code == 2


def test_what_is_enabled_beside_a_name_that_no_plugin_has_is_enabled(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme=HANDLERS)
    world.config('[plugins]\ndisable = ["gone", "acme"]\n')
    answer = world.vectis("plugins", "enable", "gone", "acme")
    assert "disable = []" in (world.here / "vectis.toml").read_text()
    assert "What comes with acme" in answer.out
    assert answer.code == 1


def test_an_odd_file_is_left_to_its_owner(install: Install, run: Callable[..., Result]) -> None:
    install("acme")
    odd = '[[plugins]]\ndisable = ["x"]\n'
    write(odd)
    assert run("disable", "acme").exit_code == 2
    assert read() == odd


def test_a_file_that_cannot_be_written_is_named(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="")
    world.config("[plugins]\n")
    (world.here / "vectis.toml").unlink()
    (world.here / "vectis.toml").symlink_to("/proc/version")
    answer = world.vectis("plugins", "disable", "acme")
    assert answer.code == 2
    assert "vectis.toml" in answer.err


# What goes with it, and who needs it


@pytest.fixture
def world(tmp_path: Path) -> World:
    folder = tmp_path / "world"
    folder.mkdir()
    return World(folder)


def test_disable_shows_what_will_no_longer_be_handled(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme=HANDLERS)
    answer = world.vectis("plugins", "disable", "acme")
    assert answer.code == 0
    lines = [line.split(": ", 1) for line in answer.out.splitlines() if line.startswith("  ")]
    assert {title.strip(): said.strip() for title, said in lines} == {
        "handlers": "acme:record on order.*, acme:write on loyalty.earned",
        "no other handler": "order.* on the bus, loyalty.earned in the worker",
        "hooks": "vectis_register_events",
        "event types": "loyalty.earned",
        "no longer read": "acme.loyalty",
    }


def test_handlers_that_lose_their_topic_are_named(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme=HANDLERS)
    other = "from vectis.core import on_event\n@on_event('loyalty.earned')\n"
    other += "async def count(event_type: str, payload: dict) -> None: ...\n"
    world.install("other", plugin="other = other", other=other)
    answer = world.vectis("plugins", "disable", "acme", "--dry-run")
    assert "without a topic:  other:count" in answer.out
    assert "no worker starts until [topics] or @on_event names their topics" in answer.out
    assert "no longer read" not in answer.out


def test_the_bus_is_said_to_be_the_bus(run: Callable[..., Result]) -> None:
    assert "carries:          the bus" in run("disable", "bus", "--dry-run").stdout


def test_the_handlers_that_go_with_the_only_bus_or_transport_are_named(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme=HANDLERS)
    world.module("shop", "from vectis.core import handles\n@handles('*')\ndef seen(event): ...\n")
    world.config('[consumer]\nmodules = ["shop"]\n[sqlite]\npath = "events.db"\n')
    bus = world.vectis("plugins", "disable", "bus", "--dry-run").out
    assert "no longer called: acme:record on order.*, app:seen on *\n" in bus
    assert "not carried" not in bus
    transport = world.vectis("plugins", "disable", "sqlite", "--dry-run").out
    assert "no longer called: acme:write on loyalty.earned\n" in transport
    [carried] = [line for line in transport.splitlines() if "not carried:" in line]
    assert "acme.loyalty" in carried


def test_with_another_bus_the_handlers_go_on(world: World) -> None:
    spare = "from vectis_bus import Bus\nclass Spare(Bus): ...\n"
    world.install("acme", plugin="acme = acme", acme=HANDLERS)
    world.install("spare", plugin="spare = spare:Spare", spare=spare)
    world.config('[hub]\ntransport = "bus"\n')
    answer = world.vectis("plugins", "disable", "bus", "--dry-run", "--force")
    assert "carries:          the bus" in answer.out
    assert "no longer called" not in answer.out


def test_what_another_plugin_needs_is_disabled_by_force_only(world: World) -> None:
    world.install("acme", plugin="acme = acme")
    (world.site / "acme.py").write_text("")
    world.install("near", plugin="near = near", near="vectis_requires = ('acme',)")
    world.install("far", plugin="far = far", far="vectis_requires = ('near',)")
    answer = world.vectis("plugins", "disable", "acme")
    assert answer.code == 1
    assert "acme is not disabled: plugin far (far 1.0) needs it" in answer.err
    assert "acme is not disabled: plugin near (near 1.0) needs it" in answer.err
    assert not (world.here / "vectis.toml").exists()
    assert world.vectis("plugins", "disable", "acme", "--force").code == 0
    assert (world.here / "vectis.toml").read_text() == '[plugins]\ndisable = ["acme"]\n'


def test_by_force_it_names_all_that_goes_and_that_no_worker_starts(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="")
    world.install("near", plugin="near = near", near=HANDLERS + "vectis_requires = ('acme',)")
    world.install("far", plugin="far = far", far="vectis_requires = ('near',)")
    refused = world.vectis("plugins", "disable", "acme")
    together = "`vectis plugins disable acme far near`"
    assert f"Nothing was changed. Disable them together, {together}, or say" in refused.err
    answer = world.vectis("plugins", "disable", "acme", "--force")
    assert answer.code == 0
    assert "What goes with acme, far and near:\n" in answer.out
    assert "near:record on order.*, near:write on loyalty.earned\n" in answer.out
    assert "acme goes by force: plugin far (far 1.0) needs it\n" in answer.err
    assert "acme goes by force: plugin near (near 1.0) needs it\n" in answer.err
    assert (
        "far and near will be quarantined for it and not run, and no worker starts\n"
        "  -> `vectis plugins disable far near` as well\n"
    ) in answer.err
    doctor = world.vectis("doctor").out
    assert "plugin near (near 1.0): quarantined, so no worker starts" in doctor
    assert world.vectis("plugins", "disable", "far", "near").code == 0
    assert world.vectis(*together.strip("`").split()[1:]).code == 0


def test_by_force_it_tells_what_the_config_needs_of_those_that_go_along(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="")
    world.install("near", plugin="near = near", near="vectis_requires = ('acme',)")
    world.config('[plugins]\nrequire = ["near"]\n[consumer]\ntolerate = ["near"]\n')
    refused = world.vectis("plugins", "disable", "acme")
    assert "Nothing was changed. Settle that first, or say --force" in refused.err
    answer = world.vectis("plugins", "disable", "acme", "--force", "--dry-run")
    assert answer.code == 0
    assert "near goes by force: [plugins] require (vectis.toml:2) names it" in answer.err
    assert "near will be quarantined for it and not run\n" in answer.err


def test_what_the_config_needs_is_disabled_by_force_only(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="")
    world.config('[plugins]\nrequire = ["acme"]\n[hub]\ntransport = "acme"\n')
    answer = world.vectis("plugins", "disable", "acme")
    assert answer.code == 1
    assert "[plugins] require (vectis.toml:2) names it, so nothing would start" in answer.err
    assert "[hub] transport (vectis.toml:4) names it to carry events" in answer.err


def test_a_broken_plugin_can_be_disabled(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="raise SystemExit(3)")
    answer = world.vectis("plugins", "disable", "acme")
    assert answer.code == 0
    assert "acme (acme 1.0) is not loaded now, so nothing is lost" in answer.err
    assert "SystemExit: 3" in answer.err


def test_safe_mode_is_said_to_hide_what_would_be_lost(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme=HANDLERS)
    answer = world.vectis("plugins", "disable", "acme", "--dry-run", VECTIS_SAFE_MODE="1")
    assert "VECTIS_SAFE_MODE hides acme (acme 1.0), and every plugin but the def" in answer.err
    assert "nothing is lost" not in answer.err
    answer = world.vectis("plugins", "disable", "bus", "--dry-run", VECTIS_SAFE_MODE="1")
    assert "VECTIS_SAFE_MODE hides the handlers of every plugin but the default" in answer.err


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("VECTIS_PLUGINS_DISABLE", "acme", "disabled by VECTIS_PLUGINS_DISABLE"),
        ("VECTIS_PLUGINS_ENABLE", "bus", "not in the list of VECTIS_PLUGINS_ENABLE"),
    ],
)
def test_what_a_variable_hides_is_not_said_to_be_nothing(
    world: World, variable: str, value: str, reason: str
) -> None:
    world.install("acme", plugin="acme = acme", acme="raise SystemExit('imported')")
    answer = world.vectis("plugins", "disable", "acme", **{variable: value})
    assert answer.code == 0
    assert (
        f"acme (acme 1.0) is {reason}, so it is not loaded, and what goes with it cannot be told. "
        f"As long as {variable} is set, it decides and not the file; once it is unset, the file "
        "keeps acme disabled"
    ) in " ".join(answer.err.split())
    assert "nothing is lost" not in answer.err
    answer = world.vectis("plugins", "--json")
    (acme,) = [one for one in answer.json if one["name"] == "acme"]
    assert acme["reason"] == "disabled by vectis.toml:2"


# What overrules the file


def test_a_variable_that_overrules_the_file_is_named(
    install: Install, run: Callable[..., Result]
) -> None:
    install("acme")
    result = run("disable", "acme", VECTIS_PLUGINS_DISABLE="other")
    assert "acme stays enabled nevertheless: VECTIS_PLUGINS_DISABLE overrules" in result.stderr
    result = run("enable", "acme", VECTIS_PLUGINS_DISABLE="acme")
    assert "acme stays disabled nevertheless: it is disabled by VECTIS_PLUGINS" in result.stderr
    write('[plugins]\nenable = ["acme"]\n')
    result = run("disable", "acme", VECTIS_PLUGINS_ENABLE="acme")
    assert "acme stays enabled nevertheless: VECTIS_PLUGINS_ENABLE overrules" in result.stderr
    result = run("enable", "acme", VECTIS_PLUGINS_ENABLE="bus")
    assert "it is not in the list of VECTIS_PLUGINS_ENABLE" in result.stderr
    assert "What brings it back: put acme into VECTIS_PLUGINS_ENABLE" in result.stderr


def test_a_variable_that_overrules_the_file_is_seen_in_the_exit_code(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="")
    enable, disable = ("plugins", "enable", "acme", "bus"), ("plugins", "disable", "acme")
    assert world.vectis(*enable, VECTIS_PLUGINS_DISABLE="acme").code == 1
    assert world.vectis(*enable).code == 0
    assert world.vectis(*disable, VECTIS_PLUGINS_DISABLE="other").code == 1
    assert world.vectis(*disable).code == 0


def test_enabling_one_that_cannot_be_used_says_so(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="raise SystemExit(3)")
    world.config('[plugins]\ndisable = ["acme"]\n')
    for arguments in (["acme", "--dry-run"], ["acme"], ["acme"]):
        answer = world.vectis("plugins", "enable", *arguments)
        said = " ".join(answer.err.split())
        assert answer.code == 1
        assert "acme is quarantined nevertheless, so it does not run: cannot be imported" in said
        assert "-> mend it, install another version of acme, or `vectis plugins disable" in said
        assert said.endswith(". No worker starts before")
    assert (world.here / "vectis.toml").read_text() == "[plugins]\ndisable = []\n"
    world.config('[consumer]\ntolerate = ["acme"]\n')
    answer = world.vectis("plugins", "enable", "acme")
    assert (answer.code, "No worker starts" in answer.err) == (1, False)


def test_enabling_shows_what_comes_with_it(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme=HANDLERS)
    world.config('[plugins]\ndisable = ["acme"]\nrequire = ["acme"]\n')
    for arguments in (["acme", "--dry-run"], ["acme"]):
        answer = world.vectis("plugins", "enable", *arguments)
        assert answer.code == 0
        assert (
            "handlers:         acme:record on order.*, acme:write on loyalty.earned" in answer.out
        )


def test_enabling_one_whose_need_is_disabled_names_it(world: World) -> None:
    world.install("near", plugin="near = near", near="vectis_requires = ('acme',)")
    world.install("acme", plugin="acme = acme", acme="")
    world.config('[plugins]\ndisable = ["acme", "near"]\n')
    answer = world.vectis("plugins", "enable", "near")
    assert answer.code == 1
    assert "it needs plugin acme (acme 1.0), which is disabled by vectis.toml:2" in answer.err
    assert "-> `vectis plugins enable acme`, or `vectis plugins disable near`" in answer.err
    assert world.vectis("plugins", "enable", "acme", "near").code == 0


def test_the_line_at_which_an_enabled_plugin_breaks_is_named(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme="\nimport nothing_of_this_name")
    answer = world.vectis("plugins", "enable", "acme")
    assert answer.code == 1
    assert "No module named 'nothing_of_this_name' (at " in answer.err
    assert "acme.py:2)" in answer.err


def test_the_application_s_own_handlers_count_as_others(world: World) -> None:
    world.install("acme", plugin="acme = acme", acme=HANDLERS)
    world.module("shop", "from vectis.core import handles\n@handles('*')\ndef seen(event): ...\n")
    world.config('[consumer]\nmodules = ["shop"]\n')
    answer = world.vectis("plugins", "disable", "acme", "--dry-run")
    assert "no other handler: loyalty.earned in the worker\n" in answer.out  # it has one on the bus
    world.config('[consumer]\nmodules = ["shop", "no_such_module"]\n')
    answer = world.vectis("plugins", "disable", "acme", "--dry-run")
    assert answer.code == 0
    assert "The application's own handlers are not counted: " in answer.err
