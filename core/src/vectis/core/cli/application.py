"""The hub of a command: plugins loaded, the application's modules imported, nothing started.

Commands that look at an application see what its processes would see. What plugins and modules
print while they are imported goes to stderr, so that stdout holds the command's answer only.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

import attrs
import click

from vectis.core.cli.running import show_traceback
from vectis.core.cli.screen import note, warn
from vectis.core.default import use_hub
from vectis.core.exceptions import ConfigError, PluginError
from vectis.core.hub import Hub
from vectis.core.quarantine import lines, quarantined
from vectis.core.redact import ended, one_line
from vectis.core.safemode import only_hidden
from vectis.core.settings import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

__all__ = [
    "Assembled",
    "Picture",
    "application",
    "assemble",
    "import_modules",
    "picture",
    "quiet",
    "refuse_half",
    "tell_quarantined",
    "warn_of_misnamed",
]


@attrs.frozen
class Assembled:
    """A hub that was put together for looking at it.

    Args:
        hub: The hub.
        problem: Why an application would not start with it: a required plugin; else None.
    """

    hub: Hub
    problem: PluginError | None


def _load(environ: Mapping[str, str]) -> Config:
    return Config.load(environ=environ)


def assemble(load: Callable[[Mapping[str, str]], Config] = _load) -> Assembled:
    """Put a hub together even when `[plugins] require` is not met, which is `problem` then.

    Args:
        load: Makes the config out of the environment; default: the file that is found.

    Raises:
        ConfigError: The config cannot be read, or one of Vectis's own tables is wrong.
    """
    with redirect_stdout(sys.stderr):
        try:
            return Assembled(Hub(load(os.environ)), None)
        except PluginError as error:
            lenient = {**os.environ, "VECTIS_PLUGINS_REQUIRE": ""}
            return Assembled(Hub(load(lenient)), error)


@contextmanager
def application(modules: Sequence[str] = (), *, own: bool = True) -> Iterator[Hub]:
    """Give the hub of the application: the default one, with its modules imported.

    Args:
        modules: Imported besides those of `[consumer] modules`.
        own: Whether those are imported.

    Raises:
        ConfigError: The config is wrong, or a module does not import.
        PluginError: A required plugin is not usable.
    """
    with redirect_stdout(sys.stderr):
        hub = Hub()
        before = use_hub(hub)
    try:
        import_modules((*(hub.consumer_settings.modules if own else ()), *modules))
        yield hub
    finally:
        use_hub(before)


@attrs.frozen
class Picture:
    """An application as far as it can be looked at.

    Args:
        hub: The hub.
        broken: The modules that do not import.
    """

    hub: Hub
    broken: tuple[str, ...] = ()

    @property
    def code(self) -> int:
        """The exit code of a command that has shown it: 1 when something is missing."""
        return 1 if self.broken else 0


@contextmanager
def picture(modules: Sequence[str], lacking: str) -> Iterator[Picture]:
    """Give the application even when some of its modules do not import; each is named on stderr.

    For commands that only look: where half of an answer would be believed, `application` refuses.

    Args:
        modules: Imported besides those of `[consumer] modules`.
        lacking: What is missing then, such as `its handlers are not listed`.

    Raises:
        ConfigError: The config is wrong.
        PluginError: A required plugin is not usable.
    """
    with application(own=False) as hub:
        broken = []
        for module in dict.fromkeys((*hub.consumer_settings.modules, *modules)):
            try:
                import_modules([module])
            except ConfigError as error:
                broken.append(module)
                if click.get_current_context().find_root().params.get("debug"):
                    show_traceback(error)
                warn(f"{ended(str(error))} What it holds is missing: {lacking}")
        yield Picture(hub, tuple(broken))


def warn_of_misnamed(seen: Picture) -> None:
    """Name on stderr what `[handlers]` says of handlers that nobody has.

    Not when modules did not import, which is said already: they may have them.
    """
    from vectis.core.misnamed import misnamed

    for warning in () if seen.broken else misnamed(seen.hub):
        click.echo(f"Warning: {one_line(warning, limit=500)}", err=True)


def import_modules(modules: Sequence[str]) -> None:
    """Import modules for their handlers.

    Raises:
        ConfigError: One does not import; it is named, with the cause and its place.
    """
    if not modules:
        return
    from vectis.core.worker.process import import_handlers

    with redirect_stdout(sys.stderr):
        import_handlers(modules)


def quiet(*loggers: str) -> None:
    """Let no log line on stderr repeat what the command itself is about to show.

    Args:
        loggers: `vectis.plugins` for plugins in quarantine, `vectis.hub` for doubtful settings.
    """
    for name in loggers:
        logging.getLogger(name).addHandler(logging.NullHandler())


def tell_quarantined(hub: Hub) -> None:
    """Name the plugins in quarantine on stderr, one on each line, and say what to do.

    For commands that work without them; `quiet` keeps the log from saying it as well.

    Args:
        hub: The hub of the command.
    """
    broken = quarantined(hub)
    if not broken:
        return
    which = "a plugin is" if len(broken) == 1 else f"{len(broken)} plugins are"
    warn(f"{which} quarantined")
    # On a terminal a line stays one; a single plugin is told whole, and `vectis doctor` all.
    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else 0
    for text in lines(broken):
        cut = width and len(broken) > 1
        note(f"  {one_line(text.strip(), limit=max(width - 2, 1))}" if cut else text)


def refuse_half(hub: Hub, nothing: str, plugins: Collection[str] = ()) -> None:
    """Refuse to go on without plugins that are broken, or that only safe mode leaves out.

    For commands whose answer is kept and acted on. Those of `[consumer] tolerate` count as well: a
    worker may go on without them, a description of the application would be wrong.

    Args:
        hub: The hub of the command.
        nothing: What did not happen, such as `Nothing was exported`.
        plugins: The names of those that the answer is about; default: all.

    Raises:
        PluginError: There are some; each is named, with what to do.
    """
    asked = [plugin for plugin in hub.plugins if not plugins or plugin.name in plugins]
    broken = [plugin for plugin in asked if plugin.state == "quarantined"]
    unseen = [plugin for plugin in asked if only_hidden(plugin, hub.config)]
    said = []
    if broken:
        one = len(broken) == 1
        which = "a plugin is" if one else f"{len(broken)} plugins are"
        brings = "it brings" if one else "they bring"
        said += [f"{which} quarantined, so what {brings} would be missing", *lines(broken)]
    if unseen:
        brings = "it brings" if len(unseen) == 1 else "they bring"
        names = ", ".join(map(str, unseen))
        said.append(f"VECTIS_SAFE_MODE hides {names}, so what {brings} would be missing")
        said.append("  -> unset VECTIS_SAFE_MODE")
    if said:
        raise PluginError("\n".join([*said, nothing]))
