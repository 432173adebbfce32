"""The command `vectis` itself: finds its commands without importing any of them.

Built-in commands are the modules of this package. Those of plugins come from the entry-point group
`vectis.commands`; one that does not load breaks only itself, and none can replace a built-in one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from vectis.core.cli.running import EXIT_CODES, show_traceback, shown
from vectis.core.exceptions import VectisError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vectis.core.cli.added import AddedCommand
    from vectis.core.cli.running import Failure

__all__ = ["BUILT_IN", "Commands", "Deferred", "module_option", "vectis"]

BUILT_IN = {
    "catalog": "Show, check and export the event types.",
    "config": "Show every setting and where it came from.",
    "consume": "Call @on_event handlers for what arrives, until a signal.",
    "dlq": "Show, replay and purge dead letters.",
    "doctor": "Check that everything fits together, and say what to do.",
    "explain": "Show who would run for an event, in which order, and why.",
    "graph": "Show who publishes what, where it travels and who handles it.",
    "handlers": "List every handler of the application and its plugins.",
    "new-plugin": "Write a new plugin: a distribution with one of everything, tests included.",
    "plugins": "List the installed plugins, and what decided about each.",
    "publish": "Publish one event, and show the receipt.",
    "tail": "Show what arrives on topics, live.",
}
"""The commands of this package with their first lines, so that listing them imports none."""

_COMES_WITH = {
    "demo": ("vectis-sqlite", "vectis-commerce"),
}


class Commands(click.Group):
    """A group whose commands are imported only when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, sorted."""
        return sorted({*BUILT_IN, *(command.name for command in _added())})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None when there is none of this name.

        Raises:
            PluginError: It comes from a distribution in which it is broken.
        """
        if cmd_name in BUILT_IN:
            name = cmd_name.replace("-", "_")
            found = getattr(import_module(f"vectis.core.cli.{name}"), name)
            assert isinstance(found, click.Command)
            return found
        for command in _added():
            if command.name == cmd_name:
                return command.load()
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments begin with; an unknown one gets a suggestion."""
        name = args[0]
        if ctx.resilient_parsing or name.startswith("-"):
            return super().resolve_command(ctx, args)
        try:
            found = self.get_command(ctx, name)
        except VectisError as error:
            raise _shown(error, ctx) from error
        if found is None:
            raise _unknown(name, self.list_commands(ctx), ctx)
        return name, found, args[1:]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what Vectis raises on purpose becomes a message and an exit code."""
        try:
            return super().invoke(ctx)
        except VectisError as error:
            raise _shown(error, ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, those of plugins with the distribution they come from."""
        with formatter.section("Commands"):
            formatter.write_dl(list(BUILT_IN.items()))
        added = _added()
        if added:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(command.name, command.help) for command in added])


class Deferred(click.Group):
    """A group of built-in commands, each imported only when it is used.

    Args:
        deferred: For each command the module of this package that holds it, and its first line.
    """

    def __init__(self, *args: Any, deferred: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deferred = deferred

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, sorted."""
        return sorted(self._deferred)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None when there is none of this name."""
        if cmd_name not in self._deferred:
            return None
        module = import_module(f"vectis.core.cli.{self._deferred[cmd_name][0]}")
        found = getattr(module, cmd_name)
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments begin with; an unknown one gets a suggestion."""
        if not ctx.resilient_parsing and args[0] not in self._deferred and args[0][:1] != "-":
            raise _unknown(args[0], self.list_commands(ctx), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in sorted(self._deferred.items())])


def _added() -> list[AddedCommand]:
    from vectis.core.cli.added import added_commands

    return added_commands(BUILT_IN)


def _shown(error: VectisError, context: click.Context) -> Failure:
    if context.find_root().params.get("debug"):
        show_traceback(error)
    return shown(error)


def _unknown(name: str, names: list[str], context: click.Context) -> click.UsageError:
    from difflib import get_close_matches

    if name in _COMES_WITH:
        from vectis.core.obtaining import installing

        *_, brings = wanted = _COMES_WITH[name]
        return click.UsageError(f"the {name} comes with {brings}: {installing(*wanted)}")
    near = get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else f" There are {', '.join(names)}."
    return click.UsageError(f"No such command {name!r}.{hint}", context)


@click.group(
    cls=Commands,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--debug", is_flag=True, envvar="VECTIS_DEBUG", help="Show tracebacks of errors.")
@click.version_option(package_name="vectis-core", message="vectis %(version)s")
def vectis(debug: bool) -> None:
    """The event hub whose handlers, transports and policies are plugins."""


def module_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--module`, for commands that show what an application registers."""
    return click.option(
        "--module",
        "modules",
        multiple=True,
        metavar="MODULE",
        help="Import this module for its handlers first; may be repeated.",
    )(command)
