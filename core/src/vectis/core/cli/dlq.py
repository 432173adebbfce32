"""`vectis dlq`: the dead letters that wait for a group, and what to do with them."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import click

from vectis.core.cli import letters as screen
from vectis.core.cli import replayed
from vectis.core.cli.desk import Desk, check_choice, loaded, scanned, where, where_seen, which
from vectis.core.cli.reading import reading, started
from vectis.core.cli.screen import note
from vectis.core.exceptions import ConfigError, TransportError
from vectis.core.letters.choice import Choice
from vectis.core.letters.hold import Busy, group_of
from vectis.core.letters.scan import scan

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["dlq"]


@click.group()
def dlq() -> None:
    """Show, replay and purge dead letters.

    What a worker set aside waits on TOPIC.dlq for the group that set it aside. A letter is called
    by its place there, such as vectis.orders.dlq/2@17, or by that of the delivery, such as
    vectis.orders/2@40.
    """


_JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


@dlq.command("list")
@which
@where_seen
@click.option(
    "--limit", type=click.IntRange(min=0), default=50, metavar="N", help="Rows; 0 for all of them."
)
@_JSON
def list_(desk: Desk, choice: Choice, limit: int, as_json: bool) -> int:
    """Show the letters that wait.

    They are behind the group GROUP.dlq. Records that no worker of Vectis wrote are listed as such.

    Exit code 1 when a module does not import: it is named, and the rest is shown.
    """
    shelf = asyncio.run(scanned(desk))
    chosen = [record for record in shelf.waiting if choice(record)]
    check_choice(desk, choice, shelf)
    if as_json:
        screen.show_list_as_json(desk.group, desk.topics, chosen, shelf)
    else:
        screen.show_list(desk.group, desk.topics, chosen, shelf, limit)
    return desk.code


@dlq.command()
@click.argument("id")
@where
@click.option("--raw", is_flag=True, help="Write the original bytes, and nothing else.")
@_JSON
def show(desk: Desk, id: str, raw: bool, as_json: bool) -> None:
    """Show one letter: why it was set aside, its headers, its payload."""
    choice = Choice(ids=(id,))
    for delivery in asyncio.run(loaded(desk, choice, choice)):
        if raw:
            sys.stdout.buffer.write(delivery.value or b"")
            sys.stdout.buffer.flush()
        elif as_json:
            screen.show_letter_as_json(delivery, desk.hub.hub_settings.max_message_bytes)
        else:
            screen.show_letter(delivery, desk.hub.hub_settings.max_message_bytes)


@dlq.command()
@which
@where
@click.option("--dry-run", is_flag=True, help="Show what would become of each letter, only.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="N",
    help="Letters a second, at most; 0 for no bound.",
)
@click.option(
    "--max-failures",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="Give up after so many in a row failed again; 0 for never.",
)
@_JSON
def replay(
    desk: Desk, choice: Choice, dry_run: bool, rate: float, max_failures: int, as_json: bool
) -> int:
    """Give letters to the handler that failed, here and now.

    Only that handler is called, in this process; nothing is published to the original topic. One
    that fails again is set aside anew, with its history. What cannot be replayed stays. Ctrl-C
    finishes the letter in hand; a replay that was ended or killed goes on where it was.

    Exit codes: 0 every letter begun came home; 1 some failed again or stay; 2 it could not start.
    """
    logging.basicConfig(
        level=logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    if dry_run:
        return asyncio.run(_dry_run(desk, choice, as_json))
    return asyncio.run(_replay(desk, choice, rate, max_failures, as_json))


@dlq.command()
@which
@where
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be purged, only.")
def purge(desk: Desk, choice: Choice, yes: bool, dry_run: bool) -> None:
    """Give letters up: they wait no longer, and nobody handles them.

    The records stay in the topic until retention deletes them.
    """
    shelf = asyncio.run(scanned(desk))
    check_choice(desk, choice, shelf)
    chosen = [record for record in shelf.waiting if choice(record)]
    if dry_run or not chosen:
        screen.show_list(desk.group, desk.topics, chosen, shelf, limit=0)
        return
    count = screen.counted(len(chosen), "letter")
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(f"{count} would be given up: say --yes, or run it on a terminal")
        screen.show_list(desk.group, desk.topics, chosen, shelf, limit=20)
        if not click.confirm(f"Give up {count} for good?"):
            note("nothing was given up")
            return
    purged = asyncio.run(_purge(desk, [record.id for record in chosen]))
    replayed.show_purged(purged, desk.group)


async def _dry_run(desk: Desk, choice: Choice, as_json: bool) -> int:
    from vectis.core.letters.handlers import Stays, handlers_of
    from vectis.core.letters.wire import StoredLetter, read_record

    plan: list[replayed.Planned] = []
    for delivery in await loaded(desk, choice, choice.to_replay):
        record = read_record(delivery)
        if not isinstance(record, StoredLetter):
            plan.append(replayed.Planned(f"{delivery.place}", (), getattr(record, "reason", "")))
            continue
        try:
            handlers = handlers_of(record, desk.hub)
        except Stays as stays:
            plan.append(replayed.Planned(record.id, (), str(stays)))
        else:
            names = tuple(s.id for found in handlers.values() for s in found)
            plan.append(replayed.Planned(record.id, names, ""))
    replayed.show_plan(plan, desk.group, desk.topics, as_json=as_json)
    return 1 if any(planned.stays for planned in plan) else 0


async def _replay(desk: Desk, choice: Choice, rate: float, max_failures: int, as_json: bool) -> int:
    from vectis.core.cli.stopping import heeding_signals
    from vectis.core.letters.replay import Replay

    async with started(desk.hub):
        async with reading(desk.hub, desk.topics, behind=group_of(desk.group)) as reader:
            shelf = await scan(reader, desk.group)
        check_choice(desk, choice, shelf)
        number = sum(choice.to_replay(record) for record in shelf.waiting)
        if number:
            pace = f", at most {rate:g} a second" if rate else ""
            counted = screen.counted(number, "letter")
            note(
                f"replaying {counted} of group {desk.group}{pace}; Ctrl-C ends with the one in hand"
            )
        replay = Replay(
            desk.hub,
            desk.group,
            desk.topics,
            choice,
            rate=rate,
            max_failures=max_failures,
            tell=(lambda *_: None) if as_json else replayed.show_became,
            note=note,
        )

        def stop() -> None:
            note("finishing the letter in hand; once more leaves at once")
            replay.stop()

        with heeding_signals(stop), redirect_stdout(sys.stderr if as_json else sys.stdout):
            try:
                await replay.run()
            except TransportError as error:
                if isinstance(error, Busy) and not replay.report.became:
                    raise ConfigError(str(error)) from error
                replayed.show_report(replay, desk.group, desk.topics, as_json=as_json)
                raise
    replayed.show_report(replay, desk.group, desk.topics, as_json=as_json)
    if replay.abandoned:
        # A thread cannot be cancelled, and both asyncio and Python would wait for it.
        sys.stdout.flush()
        os._exit(1)
    return 0 if replay.report.clean else 1


async def _purge(desk: Desk, ids: Sequence[str]) -> int:
    from vectis.core.letters.settling import purge

    async with started(desk.hub):
        try:
            return await purge(desk.hub, desk.group, desk.topics, ids, note)
        except Busy as error:
            raise ConfigError(str(error)) from error
