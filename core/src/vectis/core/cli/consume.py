"""`vectis consume`, which `python -m vectis.core.events.consumer` is as well."""

from __future__ import annotations

import logging
import sys

import click

from vectis.core.exceptions import ConfigError, HookError, TransportError

__all__ = ["consume"]


@click.command()
@click.argument("modules", nargs=-1)
@click.option("--quiet", is_flag=True, help="Log warnings and errors only.")
def consume(modules: tuple[str, ...], quiet: bool) -> int:
    """Call @on_event handlers for what arrives, until a signal.

    MODULES are imported for their handlers, besides those of [consumer] modules and of plugins. The
    group, and much else, is in the config: [consumer] group, or VECTIS_CONSUMER_GROUP.

    SIGTERM or Ctrl-C finishes what is in hand, commits, and ends; a second one leaves at once.

    Exit codes: 0 everything begun was finished; 1 work was abandoned, it comes again; 2 the worker
    could not start.
    """
    from vectis.core.worker.process import run

    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    try:
        return run(modules)
    except (HookError, TransportError) as error:
        # It could not start, which is exit code 2; once it runs, the worker tries again.
        raise ConfigError(str(error)) from error
