"""`vectis consume`, which `python -m vectis.core.events.consumer` is as well."""

from __future__ import annotations

import logging
import sys
from functools import partial

import click

from vectis.core.exceptions import ConfigError, HookError, TransportError

__all__ = ["consume"]


@click.command()
@click.argument("modules", nargs=-1)
@click.option("--quiet", is_flag=True, help="Log warnings and errors only.")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    help="Run this many workers, each a process of its own; default: [consumer] processes.",
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
    processes: int | None,
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

    # Before anything is imported that may take long: whoever let go must not wait for it.
    leash = None
    if member is not None:
        leash = Leash("the supervisor stops or is gone")
    elif stop_on_eof:
        leash = Leash("standard input has ended")
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO,
        stream=sys.stderr,
        format=f"{'' if member is None else f'[{member}] '}%(asctime)s %(levelname)-7s "
        "%(name)s: %(message)s",
    )
    if member is None:
        from vectis.core.settings import Config, ConsumerSettings

        config = Config.load().table("consumer", ConsumerSettings)
        count = processes or config.processes
        if count > 1:
            from vectis.core.worker.supervisor import supervise

            given = [*(["--quiet"] if quiet else []), "--", *modules]
            return supervise([given] * count, config.shutdown_timeout, leash)
    from vectis.core.worker.process import run

    consuming = None if leash is None or member is None else partial(leash.say, RUNS)
    try:
        return run(modules, leash=leash, consuming=consuming)
    except (HookError, TransportError) as error:
        # It could not start, which is exit code 2; once it runs, the worker tries again.
        raise ConfigError(str(error)) from error
