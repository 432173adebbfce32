"""`vectis plugins bisect`: real commands, in real processes, with plugins that break them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.core.cli_world import World

if TYPE_CHECKING:
    from pathlib import Path

# Fails when the plugins in its arguments are all enabled, each word being one such combination.
# It looks at what the loader decides, and imports none of them.
COMMAND = """
import sys
from vectis.core.plugins import decide, discover
from vectis.core.settings import Config, PluginsSettings

config = Config.load()
decided = decide(discover(), config, config.table("plugins", PluginsSettings))
enabled = {plugin.name for plugin in decided if plugin.state == "enabled"}
print("enabled:", *sorted(enabled))
if any(set(word.split("+")) <= enabled for word in sys.argv[1:]):
    sys.exit(7)
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.module("command", COMMAND)
    made.config('[plugins]\ndisable = ["commerce", "sqlite"]\n')
    for number in range(8):
        made.install(f"acme-{number}", plugin=f"acme-{number} = acme_{number}")
    return made


def command(*words: str) -> list[str]:
    return ["plugins", "bisect", "--", sys.executable, "command.py", *words]


def test_the_plugin_that_breaks_a_command_is_named(world: World) -> None:
    answer = world.vectis(*command("acme-5"))
    assert answer.code == 0
    assert answer.out == (
        "acme-5 breaks the command: with it alone it fails (exit code 7)\n"
        "  -> vectis plugins disable acme-5\n"
    )
    runs = [text for text in answer.err.splitlines() if text.startswith("run ")]
    assert len(runs) <= 2 + 3 + 2
    assert runs[0] == "run 1 of about 7: 8 of 8 suspects enabled, it fails (exit code 7)"
    assert runs[1] == "run 2 of about 7: 0 of 8 suspects enabled, it passes"


def test_plugins_that_break_it_together_are_named_together(world: World) -> None:
    answer = world.vectis(*command("acme-1+acme-6"))
    assert answer.out.startswith("acme-1 and acme-6 break the command together: ")


def test_what_needs_the_plugin_is_disabled_with_it(world: World) -> None:
    for number in range(8):
        needs = {6: ("acme-2",), 3: ("acme-6",)}.get(number, ())
        (world.site / f"acme_{number}.py").write_text(f"vectis_requires = {needs}")
    world.config('[plugins]\ndisable = ["commerce", "sqlite"]\nrequire = ["acme-6"]\n')
    answer = world.vectis(*command("acme-2"))
    assert answer.out == (
        "acme-2 breaks the command: with it alone it fails (exit code 7)\n"
        "acme-3 and acme-6 need acme-2, so they go together.\n"
        "[plugins] require names acme-6: take it out there first.\n"
        "  -> vectis plugins disable acme-2 acme-3 acme-6\n"
    )
    world.config('[plugins]\ndisable = ["commerce", "sqlite"]\n')
    advice = answer.out.splitlines()[-1].removeprefix("  -> vectis ")
    assert world.vectis(*advice.split()).code == 0


@pytest.mark.parametrize("source", ["import os\nos._exit(0)", "1 / 0", "print('[')\n"])
def test_a_plugin_that_ends_or_breaks_what_imports_it_is_named_alone(
    world: World, source: str
) -> None:
    (world.site / "acme_5.py").write_text(source)
    answer = world.vectis(*command("acme-5"))
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "  -> vectis plugins disable acme-5")


def test_json_has_every_run(world: World) -> None:
    answer = world.vectis("plugins", "bisect", "--json", *command("acme-2", "acme-4")[2:])
    found = answer.json
    assert (found["culprits"], found["others_fail"]) == (["acme-2"], True)
    assert found["kept"] == ["bus", "redpanda"]
    assert found["suspects"][0] == "acme-0"
    assert found["command"][1:] == ["command.py", "acme-2", "acme-4"]
    assert found["runs"][:2] == [
        {"enabled": found["suspects"], "exit_code": 7},
        {"enabled": [], "exit_code": 0},
    ]


def test_a_command_that_passes_has_nothing_to_find(world: World) -> None:
    answer = world.vectis(*command())
    assert answer.code == 1
    assert "With all plugins enabled the command passes" in answer.err


def test_a_command_that_fails_without_the_suspects_is_not_their_fault(world: World) -> None:
    answer = world.vectis(*command("bus"))
    assert answer.code == 1
    assert "It fails without the suspects too" in answer.err
    assert "enabled: bus redpanda" in answer.err
    assert "Enabled in every run: bus, redpanda. Suspect the default plugins too with --all" in (
        answer.err
    )


@pytest.mark.parametrize(
    ("shell", "said"),
    [
        ("exit 3", ["`sh -c 'exit 3'` ended with exit code 3 and printed nothing"]),
        ("kill -9 $$", ["`sh -c 'kill -9 $$'` ended with signal 9 and printed nothing"]),
        (
            "echo one; echo two >&2; exit 3",
            ["ended with exit code 3 and printed:", "  one", "  two"],
        ),
        ("seq 12; exit 3", ["ended with exit code 3 and printed, in the end:", "  3", "  4"]),
    ],
)
def test_how_a_command_fails_without_the_suspects_is_told(
    world: World, shell: str, said: list[str]
) -> None:
    answer = world.vectis("plugins", "bisect", "--", "sh", "-c", shell)
    lines = answer.err.splitlines()
    first = lines.index("It fails without the suspects too, so none of them is needed for that") + 1
    assert lines[first].endswith(said[0])
    assert lines[first + 1 : first + len(said)] == said[1:]
    assert lines[-1].startswith("Enabled in every run: bus, redpanda")


@pytest.mark.parametrize("dashes", [[], ["--"]])
def test_options_behind_the_command_are_the_command_s(world: World, dashes: list[str]) -> None:
    shell = ["sh", "-c", "echo $0 $*; exit 3", "--json", "--all", "--", "--keep"]
    answer = world.vectis("plugins", "bisect", *dashes, *shell)
    assert (answer.code, answer.out) == (1, "")
    assert "  --json --all -- --keep\n" in answer.err


def test_default_plugins_are_suspects_when_asked_for(world: World) -> None:
    answer = world.vectis("plugins", "bisect", "--all", *command("redpanda")[2:])
    assert answer.out.startswith("redpanda breaks the command")


def test_what_is_kept_is_in_every_run(world: World) -> None:
    arguments = ["plugins", "bisect", "--keep", "acme-1", "--json", *command("acme-1+acme-6")[2:]]
    found = world.vectis(*arguments).json
    assert found["culprits"] == ["acme-6"]
    assert found["kept"] == ["acme-1", "bus", "redpanda"]
    answer = world.vectis("plugins", "bisect", "--keep", "acme-11", "--", "true")
    assert (answer.code, "called 'acme-11'; did you mean" in answer.err) == (2, True)


def test_the_config_counts_in_every_run_and_stays_as_it_is(world: World) -> None:
    text = '[plugins]\ndisable = ["acme-0"]\nrequire = ["acme-3"]\n'
    world.config(text)
    found = world.vectis("plugins", "bisect", "--json", *command("acme-0", "acme-3")[2:]).json
    assert found["culprits"] == ["acme-3"]
    assert "acme-0" not in found["suspects"]
    assert (world.here / "vectis.toml").read_text() == text


def test_without_suspects_nothing_is_run(world: World) -> None:
    world.config('[plugins]\nenable = ["bus"]\n')
    answer = world.vectis("plugins", "bisect", "--", "no-such-command")
    assert (answer.code, "No plugin is suspect" in answer.err) == (1, True)


def test_in_safe_mode_it_refuses_and_names_the_variable(world: World) -> None:
    answer = world.vectis(*command("acme-5"), VECTIS_SAFE_MODE="1")
    assert (answer.code, answer.out) == (2, "")
    assert "VECTIS_SAFE_MODE is set" in answer.err
    assert "Unset VECTIS_SAFE_MODE, and run this again" in answer.err


def test_a_command_that_does_not_exist_is_a_wrong_command(world: World) -> None:
    answer = world.vectis("plugins", "bisect", "--", "no-such-command")
    assert answer.code == 2
    assert "no-such-command cannot be run: No such file or directory" in answer.err
