"""`vectis new-plugin`: the distribution of a new plugin, complete, to be changed."""

from __future__ import annotations

from pathlib import Path

import click

from vectis.core.cli.screen import line
from vectis.core.obtaining import installing
from vectis.core.scaffold import NEEDS
from vectis.core.scaffold import new_plugin as write

__all__ = ["new_plugin"]


@click.command("new-plugin")
@click.argument("name")
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Where its folder is made; default: here.",
)
def new_plugin(name: str, directory: Path) -> None:
    """Write a new plugin: a distribution with one of everything, tests included.

    A handler, a hook, a settings class, a typed event, tests that pass, and a README, in a folder
    called NAME. The name is that of the distribution and of the plugin, and is normalised.

    Exit code 2 when NAME cannot be one, or the folder is there already.
    """
    folder = write(name, directory)
    for path in sorted(found for found in folder.rglob("*") if found.is_file()):
        line(str(path))
    line()
    line(f'Next: cd {folder}, pip install -e ".[test]", pytest')
    line(f"If pip does not find {' or '.join(NEEDS)}, first {installing(*NEEDS)}")
