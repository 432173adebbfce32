"""The command line: `vectis`, and what plugins add to it.

Each command is a module of its own here and is imported only when it runs. `group` finds them,
`application` puts the hub together for those that need one, `screen` shows what they found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None, prog: str = "vectis") -> int:
    """Run the command line and return the exit code; the script `vectis` is this.

    Args:
        arguments: What follows the program's name; default: that of the process.
        prog: What usage messages call the program.

    Returns:
        0 when it went well, 1 when a check or the work failed, 2 when the command or the config is
        wrong, 130 after Ctrl-C.

    Example:
        >>> from vectis.core.cli import main
        >>> main(["--version"])  # doctest: +ELLIPSIS
        vectis ...
        0
    """
    from vectis.core.cli.running import run

    return run(arguments, prog)
