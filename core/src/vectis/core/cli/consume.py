"""`vectis consume`, which `python -m vectis.core.events.consumer` is as well."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Literal

import click

from vectis.core.cli.watching import Watching
from vectis.core.exceptions import ConfigError, HookError, TransportError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["consume"]

_LAST_PORT = 65_535


@click.command()
@click.argument("modules", nargs=-1)
@click.option("--quiet", is_flag=True, help="Log warnings and errors only.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="How log lines are written; default: [consumer] log_format.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Run this many workers, each a process of its own; default: [consumer] processes.",
)
@click.option(
    "--health-port",
    type=click.IntRange(0, _LAST_PORT),
    help="Serve /livez, /readyz, /status and /metrics here, 0 for a free port; of several "
    "processes each serves the next port; default: [consumer] health_port.",
)
@click.option(
    "--health-host", help="The address they are served at; default: [consumer] health_host."
)
@click.option(
    "--stop-on-eof",
    is_flag=True,
    help="Stop as on SIGTERM when standard input ends: whoever holds its other end is gone.",
)
@click.option("--member", type=int, hidden=True, help="The number that a supervisor gave.")
def consume(
    modules: tuple[str, ...],
    quiet: bool,
    log_format: Literal["text", "json"] | None,
    processes: int | None,
    health_port: int | None,
    health_host: str | None,
    stop_on_eof: bool,
    member: int | None,
) -> int:
    """Call @on_event handlers for what arrives, until a signal.

    MODULES are imported for their handlers, besides those of [consumer] modules and of plugins. The
    group, and much else, is in the config: [consumer] group, or VECTIS_CONSUMER_GROUP.

    SIGTERM or Ctrl-C finishes what is in hand, commits, and ends; a second one leaves at once. With
    several processes, one that dies is started again.

    Exit codes: 0 everything begun was finished; 1 work was abandoned, it comes again; 2 the worker
    could not start.
    """
    from vectis.core.worker.leash import RUNS, Leash

    # Before anything is imported that may take long: a supervisor must not wait for its members.
    leash = None
    if member is not None:
        leash = Leash("the supervisor stops or is gone", waits=False)
    elif stop_on_eof:
        leash = Leash("standard input has ended", waits=True)
    from vectis.core.settings import Config, ConsumerSettings

    settings = Config.load().table("consumer", ConsumerSettings)
    kind = log_format or settings.log_format
    port = settings.health_port if health_port is None else health_port
    host = health_host or settings.health_host
    count = 1 if member is not None else processes or settings.processes
    with ExitStack() as stack:
        watching = Watching(stack)
        level = logging.WARNING if quiet else logging.INFO
        watching.log(kind, level, member, line=count == 1 and not quiet)
        if count > 1:
            from vectis.core.worker.supervisor import supervise

            given = ["--log-format", kind, *(["--quiet"] if quiet else [])]
            arguments = [
                [*given, *served, "--", *modules] for served in _addresses(host, port, count)
            ]
            return supervise(arguments, settings.shutdown_timeout, leash)
        if port is not None:
            watching.serve(host, port)
        from vectis.core.worker.process import run

        try:
            return run(
                modules,
                leash=leash,
                consuming=None if leash is None or member is None else partial(leash.say, RUNS),
                observers=watching.observers,
                made=watching.made,
                member=member,
            )
        except (HookError, TransportError) as error:
            # It could not start, which is exit code 2; once it runs, the worker tries again.
            raise ConfigError(str(error)) from error


def _addresses(host: str, port: int | None, count: int) -> list[Sequence[str]]:
    """Return the options for where each of several members serves its health."""
    if port is None:
        return [()] * count
    if port + count - 1 > _LAST_PORT:
        raise ConfigError(
            f"{count} processes cannot serve their health from port {port} on: "
            f"the last one there is {_LAST_PORT}"
        )
    # A free port is a free one for each.
    ports = [port + number if port else 0 for number in range(count)]
    return [("--health-host", host, "--health-port", str(one)) for one in ports]
