"""`vectis plugins bisect`: runs a command with ever fewer plugins until those at fault are left.

Which plugins a run has is said by environment variables alone: no file is touched, and the command
may be anything that uses Vectis somewhere inside.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from math import ceil, log2
from typing import TYPE_CHECKING, Any

import attrs
import click

from vectis.core.bisection import Culprits, find
from vectis.core.cli.needing import with_dependents
from vectis.core.cli.screen import Styled, line, note, show_json
from vectis.core.distributions import normal
from vectis.core.exceptions import PluginError
from vectis.core.plugins import decide, discover, refuse_unknown
from vectis.core.safemode import default_distributions
from vectis.core.settings import Config, PluginsSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["bisect"]

_TAIL = 10  # lines of the command's output that are shown when it is not as expected


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--keep", multiple=True, metavar="NAME", help="Never disable this one; repeatable.")
@click.option("--all", "everyone", is_flag=True, help="Suspect the default plugins too.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def bisect(keep: tuple[str, ...], everyone: bool, as_json: bool, command: tuple[str, ...]) -> int:
    """Find the plugin that breaks a command, in log2(n) runs of it.

    COMMAND fails when its exit code is not 0, and must be the same each time. It is run with all
    enabled plugins, which must fail, and with none of the suspects, which must pass; then with ever
    fewer of them. Suspects are the enabled plugins but the default ones. Nothing is written: the
    runs differ in VECTIS_PLUGINS_DISABLE and VECTIS_PLUGINS_REQUIRE. The command's output is not
    shown, unless it fails without any suspect, and it gets no input.

    Exit code 0 when it was found; 1 when there is nothing to find among the suspects; 2 when
    VECTIS_SAFE_MODE hides them.
    """
    runs = _Runs(command, *_suspects(keep, everyone))
    if not runs.suspects:
        note("No plugin is suspect: none is enabled but those kept. --all suspects default ones")
        return 1
    culprits = None
    if not runs.fails(runs.suspects):
        note("With all plugins enabled the command passes, so there is nothing to find")
    elif runs.fails(()):
        note("It fails without the suspects too, so none of them is needed for that")
        runs.tell_last()
        note(f"Enabled in every run: {', '.join(runs.kept) or 'none'}. {_advice(everyone)}")
    else:
        culprits = find(runs.suspects, runs.fails)
        if not as_json:
            _show(culprits, runs)
    if as_json:
        show_json(_plain(culprits, runs))
    return 0 if culprits else 1


@attrs.define
class _Runs:
    """Runs the command with some of the suspects, and remembers how it ended."""

    command: tuple[str, ...]
    suspects: list[str]
    kept: list[str]
    settings: PluginsSettings
    codes: list[tuple[list[str], int]] = attrs.Factory(list)
    told: Sequence[str] = ()

    def fails(self, present: Collection[str]) -> bool:
        """Run it with these suspects enabled and the others disabled."""
        absent = [name for name in self.suspects if name not in present]
        required = [name for name in self.settings.require if name not in absent]
        environ = {
            **os.environ,
            "VECTIS_PLUGINS_DISABLE": ",".join([*self.settings.disable, *absent]),
            "VECTIS_PLUGINS_REQUIRE": ",".join(required),
        }
        with tempfile.TemporaryFile() as output:
            try:
                done = subprocess.run(
                    self.command,
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
            except OSError as error:
                reason = f"{self.command[0]} cannot be run: {error.strerror or error}"
                raise click.UsageError(reason) from error
            output.seek(0)
            self.told = output.read().decode(errors="replace").splitlines()
        self.codes.append(([name for name in self.suspects if name in present], done.returncode))
        self._note(len(present), done.returncode)
        return done.returncode != 0

    def tell_last(self) -> None:
        """Show how the last run ended, and the end of what it printed."""
        _, code = self.codes[-1]
        ended = f"`{shlex.join(self.command)}` ended with {_ended(code)}"
        shown = [text for text in self.told if text.strip()][-_TAIL:]
        if not shown:
            note(f"{ended} and printed nothing")
            return
        much = "" if len(shown) == len(self.told) else ", in the end"
        note(f"{ended} and printed{much}:")
        for text in shown:
            note(f"  {text}")

    def _note(self, present: int, code: int) -> None:
        ended = f"fails ({_ended(code)})" if code else "passes"
        about = 4 + ceil(log2(len(self.suspects)))
        note(
            f"run {len(self.codes)} of about {about}: {present} of {len(self.suspects)} suspects "
            f"enabled, it {ended}"
        )


def _suspects(
    keep: tuple[str, ...], everyone: bool
) -> tuple[list[str], list[str], PluginsSettings]:
    config = Config.load()
    if config.safe_mode:
        raise PluginError(
            "VECTIS_SAFE_MODE is set: it loads the default plugins only, in the runs of the "
            "command too, so none of the others can be found. Unset VECTIS_SAFE_MODE, and run "
            "this again"
        )
    settings = config.table("plugins", PluginsSettings)
    decided = decide(discover(), config, attrs.evolve(settings, require=()))
    refuse_unknown(keep, {plugin.name for plugin in decided})
    spared = frozenset() if everyone else default_distributions()
    suspects, kept = [], []
    for plugin in decided:
        if plugin.state != "enabled":
            continue
        if plugin.name in keep or normal(plugin.distribution) in spared or "," in plugin.name:
            kept.append(plugin.name)  # a variable cannot hold a name with a comma
        else:
            suspects.append(plugin.name)
    return suspects, kept, settings


def _advice(everyone: bool) -> str:
    if everyone:
        return "Name what the command cannot do without, with --keep"
    return "Suspect the default plugins too with --all"


def _ended(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"signal {-code}"


def _show(culprits: Culprits, runs: _Runs) -> None:
    names = culprits.names
    by_names = {frozenset(present): code for present, code in runs.codes}
    how = _ended(by_names[frozenset(names)])
    who = " and ".join(names)
    if len(names) == 1:
        line(Styled(who, "key"), f" breaks the command: with it alone it fails ({how})")
    else:
        line(
            Styled(who, "key"),
            f" break the command together: with these alone it fails ({how}), and without any one "
            "of them it passes",
        )
    advised = with_dependents(names[0])
    again = ", then run this again" * culprits.others_fail
    if culprits.others_fail:
        line("With all the others and without ", who, " it fails as well: there is more to find.")
    if len(advised) > 1:
        need = "needs" if len(advised) == 2 else "need"
        line(f"{' and '.join(advised[1:])} {need} {advised[0]}, so they go together.")
    if required := [name for name in advised if name in runs.settings.require]:
        line(f"[plugins] require names {' and '.join(required)}: take it out there first.")
    line(f"vectis plugins disable {' '.join(advised)}{again}", indent=2, lead="-> ")


def _plain(culprits: Culprits | None, runs: _Runs) -> dict[str, Any]:
    return {
        "command": runs.command,
        "suspects": runs.suspects,
        "kept": runs.kept,
        "culprits": culprits.names if culprits else [],
        "others_fail": culprits.others_fail if culprits else None,
        "runs": [{"enabled": names, "exit_code": code} for names, code in runs.codes],
    }
