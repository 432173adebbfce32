"""One run of the command line: the path, the streams, and what becomes of an error.

Every `VectisError` ends as a few words on stderr and an exit code; other errors are bugs and keep
their traceback.
"""

from __future__ import annotations

import sys
import traceback
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vectis.core.exceptions import ConfigError, EncodeError, PluginError, SubscriptionError
from vectis.core.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectis.core.exceptions import VectisError

__all__ = ["EXIT_CODES", "Failure", "Refusal", "run", "show_traceback", "shown"]

EXIT_CODES = """\
\b
Exit codes:
  0    it went well
  1    a check or the work failed
  2    the command, the config or the installed plugins are wrong
  130  stopped with Ctrl-C
"""

_USAGE = (ConfigError, EncodeError, PluginError, SubscriptionError)


class Failure(click.ClickException):
    """A `VectisError` on its way to the screen; exit code 1."""

    def format_message(self) -> str:
        """Return the message fit for a terminal: names and causes in it may come from outside."""
        return "\n".join(one_line(line, limit=4_000) for line in self.message.splitlines())


class Refusal(Failure):
    """One that says the command, the config or the plugins are wrong; exit code 2."""

    exit_code = 2


def shown(error: VectisError) -> Failure:
    """Return what the command line makes of an error."""
    return Refusal(str(error)) if isinstance(error, _USAGE) else Failure(str(error))


def run(arguments: Sequence[str] | None, prog: str) -> int:
    """Run `vectis` with these arguments and return the exit code."""
    from vectis.core.cli.group import vectis

    _find_modules_here()
    _write_anything()
    given = None if arguments is None else list(arguments)
    try:
        result: Any = vectis.main(given, prog_name=prog, standalone_mode=False)
    except click.Abort as abort:
        for note in getattr(abort.__cause__, "__notes__", ()):
            click.echo(one_line(note, limit=500), err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return result if isinstance(result, int) else 0


def show_traceback(error: BaseException) -> None:
    """Write where an error came from to stderr, for `--debug`."""
    click.echo("".join(traceback.format_exception(error)), err=True, nl=False)


def _find_modules_here() -> None:
    # A script has its own folder as the first entry, so `vectis consume shop.handlers` would fail.
    here = str(Path.cwd())
    if not sys.flags.safe_path and here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def _write_anything() -> None:
    # A name that the terminal's encoding lacks must not end a command with UnicodeEncodeError.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
