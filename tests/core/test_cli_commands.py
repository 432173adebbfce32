"""The command `vectis` itself: how it finds commands, and what becomes of errors."""

from __future__ import annotations

import os
import signal
import site
import subprocess
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import vectis.core
from tests.core.cli_world import VECTIS, World
from vectis.core.cli.group import BUILT_IN
from vectis.core.cli.group import vectis as group

HELLO = """
import click
from pathlib import Path

Path("imported").write_text("")

@click.command()
def hello():
    '''Say hello.'''
    click.echo("hello")
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_version_is_that_of_the_core(world: World) -> None:
    answer = world.vectis("--version")
    assert answer.code == 0
    assert answer.out.startswith("vectis 0.")


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_listed_line_is_the_first_of_the_commands_own_help(name: str) -> None:
    module = name.replace("-", "_")
    command = getattr(import_module(f"vectis.core.cli.{module}"), module)
    assert isinstance(command, click.Command)
    assert BUILT_IN[name] == (command.help or "").partition("\n")[0]


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(group, [name, "--help"])
    assert result.exit_code == 0
    assert BUILT_IN[name] in result.output


def test_help_documents_the_exit_codes(world: World) -> None:
    out = world.vectis("--help").out
    assert "130" in out
    assert "Exit codes" in out


def test_a_command_of_a_distribution_is_listed_without_import_and_runs(world: World) -> None:
    world.install("acme", version="3.1", command="hello = acme:hello", acme=HELLO)
    help_text = world.vectis("--help").out
    [row] = [line for line in help_text.splitlines() if "hello" in line]
    assert row.split() == ["hello", "from", "acme", "3.1"]
    assert not (world.here / "imported").exists()
    assert world.vectis("hello").out == "hello\n"


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name' ("),
        ("raise SystemExit(0)", "SystemExit: 0 ("),
        ("hello = print", "is no click command"),
        ("", "AttributeError"),
    ],
)
def test_a_command_that_does_not_load_names_distribution_and_cause(
    world: World, source: str, cause: str
) -> None:
    world.install("acme", version="3.1", command="hello = acme:hello", acme=source)
    answer = world.vectis("hello")
    assert answer.code == 2
    assert "'hello' of acme 3.1" in answer.err
    assert cause in answer.err
    assert "Traceback" not in answer.err
    assert world.vectis("plugins").code == 0


def test_a_distribution_cannot_replace_a_built_in_command(world: World) -> None:
    world.install("acme", command="plugins = acme:hello", acme=HELLO)
    assert "ENTRY POINT" in world.vectis("plugins").out
    assert not (world.here / "imported").exists()
    assert "'plugins' is built in" in world.vectis("--help").out
    assert "'plugins' is built in" in world.vectis("doctor").out


def test_two_distributions_with_one_command_are_both_named(world: World) -> None:
    world.install("acme", command="hello = acme:hello", acme=HELLO)
    world.install("other", command="hello = other:hello", other=HELLO)
    answer = world.vectis("hello")
    assert answer.code == 2
    assert "acme 1.0 and other 1.0 both bring a command of this name" in answer.err


def test_an_unknown_command_suggests_the_nearest(world: World) -> None:
    answer = world.vectis("plugin")
    assert answer.code == 2
    assert "Did you mean 'plugins'?" in answer.err


def test_demo_without_the_commerce_package_says_where_it_comes_from(
    world: World, tmp_path: Path
) -> None:
    # Everything that is installed, but for that distribution.
    installed = tmp_path / "installed"
    installed.mkdir()
    for folder in site.getsitepackages():
        for path in Path(folder).iterdir():
            if not path.name.startswith(("vectis_commerce", "__pycache__")):
                (installed / path.name).symlink_to(path)
    core = Path(vectis.core.__path__[0]).parents[1]
    answer = world.python(
        "-S",
        "-c",
        "from vectis.core.cli import main; raise SystemExit(main(['demo']))",
        PYTHONPATH=f"{core}{os.pathsep}{installed}",
    )
    assert answer.code == 2
    assert (
        "the demo comes with vectis-commerce: `pip install ./contrib/sqlite ./contrib/commerce` in "
        "a clone of Vectis"
    ) in answer.err


def test_an_error_is_a_few_words_and_a_traceback_only_when_asked_for(world: World) -> None:
    world.config("[consumer]\nconcurency = 3\n")
    answer = world.vectis("handlers")
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("Error: vectis.toml:2: ")
    assert "concurrency" in answer.err
    assert "Traceback" not in answer.err
    assert "Traceback" in world.vectis("--debug", "handlers").err
    assert "Traceback" in world.vectis("handlers", VECTIS_DEBUG="1").err


def test_vectis_debug_is_no_unknown_variable(world: World) -> None:
    assert world.vectis("config", "--json", VECTIS_DEBUG="1").json["warnings"] == []


def test_ctrl_c_ends_with_130(world: World) -> None:
    world.install(
        "acme",
        command="wait = acme:wait",
        acme="import click, time\n@click.command()\ndef wait():\n"
        "    click.echo('ready')\n    time.sleep(60)\n",
    )
    with subprocess.Popen(
        [VECTIS, "wait"],
        cwd=world.here,
        env=world.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert b"Traceback" not in process.stderr.read()


def test_a_reader_that_leaves_early_causes_no_noise(world: World) -> None:
    for number in range(300):  # more than a pipe holds
        world.install(f"acme-{number}", plugin=f"{'x' * 300}{number} = acme:{'y' * 300}")
    with subprocess.Popen(
        [VECTIS, "plugins"],
        cwd=world.here,
        env=world.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        process.wait(timeout=30)
        assert process.stderr.read() == b""


def test_the_working_directory_is_where_modules_are_found_first(world: World) -> None:
    world.module(
        "shop", "from vectis.core import handles\n@handles('a.b')\ndef record(event): ...\n"
    )
    world.install("other", shop="raise SystemExit('the wrong one')")
    assert "app:record" in world.vectis("handlers", "--module", "shop").out


def test_a_module_that_does_not_import_is_named_with_its_line(world: World) -> None:
    world.module("shop", "\nimport nothing_of_this_name\n")
    answer = world.vectis("handlers", "--module", "shop")
    assert answer.code == 1
    assert "'shop'" in answer.err
    assert "(at shop.py:2)" in answer.err
    assert "'shopp'" in world.vectis("explain", "a.b", "--module", "shopp").err
    assert "Traceback" not in answer.err
    assert "Traceback" in world.vectis("--debug", "handlers", "--module", "shop").err


def test_names_that_the_encoding_lacks_do_not_end_the_command(world: World) -> None:
    world.install("acme", plugin="here\u2192there = acme")
    answer = world.vectis("plugins", PYTHONIOENCODING="latin-1")
    assert answer.code == 0
    assert "here\\u2192there" in answer.out


PROGRAM = """
from vectis.core.cli import main
print(main(["--version"]), main(["nonsense"], prog="python -m shop"))
"""


def test_main_returns_the_code_and_names_the_program(world: World) -> None:
    answer = world.python("-c", PROGRAM)
    assert answer.out.splitlines()[-1] == "0 2"
    assert "Usage: python -m shop" in answer.err
