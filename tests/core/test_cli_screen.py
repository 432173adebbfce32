"""How commands look: rich on a terminal, plain when piped, and safe with any text."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.core.cli_world import VECTIS, World

if TYPE_CHECKING:
    from pathlib import Path

NASTY = "[bold red]boo[/] \x1b[31mred \r\n second line"

BROKEN = f"raise ValueError({NASTY!r})\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.install("acme", plugin="acme = acme", acme=BROKEN)
    return world


def on_a_terminal(world: World, *arguments: str, **variables: str) -> str:
    """Run a command on a terminal and return what it wrote there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [VECTIS, *arguments],
        cwd=world.here,
        env=world.environment(**{"TERM": "xterm-256color", "COLUMNS": "80", **variables}),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # how Linux tells that the other end was closed
                break
            if not part:
                break
            written += part
        process.wait(timeout=60)
    os.close(ours)
    return written.decode()


@pytest.mark.parametrize("command", ["plugins", "handlers", "config", "doctor"])
def test_lines_keep_to_the_width_of_the_terminal(world: World, command: str) -> None:
    for columns in (40, 80):
        written = on_a_terminal(world, command, COLUMNS=str(columns), NO_COLOR="1")
        shown = re.sub("\x1b\\[[0-9;]*m", "", written).splitlines()
        # What is logged to stderr, and not wrapped, is not meant.
        assert max(len(line) for line in shown if "handlers it may" not in line) <= columns


def test_a_terminal_shows_colours_unless_asked_not_to(world: World) -> None:
    assert "\x1b[32m" in on_a_terminal(world, "plugins")
    assert "\x1b[32m" not in on_a_terminal(world, "plugins", NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(world, "plugins", TERM="dumb")


def test_sections_are_set_apart_on_a_terminal_as_in_a_pipe(world: World) -> None:
    for shown in (
        on_a_terminal(world, "explain", "a.b", NO_COLOR="1"),
        world.vectis("explain", "a.b").out,
    ):
        assert shown.splitlines().count("") == 6


def test_no_name_is_cut_on_a_narrow_terminal(world: World) -> None:
    world.install("long", plugin=f"long = {'module.' * 20}end:Plugin")
    written = on_a_terminal(world, "plugins", COLUMNS="80", NO_COLOR="1")
    assert "module." * 20 + "end:Plugin" in "".join(written.split())


@pytest.mark.parametrize("arguments", [["plugins", "--load"], ["doctor"], ["explain", "a.b"]])
def test_text_from_outside_is_neither_markup_nor_control(
    world: World, arguments: list[str]
) -> None:
    piped = world.vectis(*arguments).out
    assert "[bold red]boo[/] ?[31mred second line" in piped
    assert "\x1b" not in piped
    terminal = on_a_terminal(world, *arguments, COLUMNS="400")
    assert "[bold red]boo[/] ?[31mred second line" in terminal


def test_the_same_command_writes_the_same_bytes(world: World) -> None:
    once, again = (world.vectis("doctor", "--json", PYTHONHASHSEED=seed) for seed in "12")
    assert once.out == again.out
