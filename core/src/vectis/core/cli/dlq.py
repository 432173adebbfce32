"""`vectis dlq`: the dead letters that wait for a group, and what to do with them."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any

import attrs
import click

from vectis.core.cli import letters as screen
from vectis.core.cli.group import module_option
from vectis.core.cli.reading import reading, started
from vectis.core.cli.screen import note
from vectis.core.exceptions import ConfigError, TransportError
from vectis.core.letters.choice import Choice, moment
from vectis.core.letters.hold import Busy, group_of
from vectis.core.letters.scan import dead_letter_topics, known_topics, load, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vectis.core.hub import Hub
    from vectis.core.letters.shelf import Shelf, Waiting
    from vectis.core.message import Delivery

__all__ = ["dlq"]


@click.group()
def dlq() -> None:
    """Show, replay and purge dead letters.

    What a worker set aside waits on TOPIC.dlq for the group that set it aside. A letter is called
    by its place there, such as vectis.orders.dlq/2@17, or by that of the delivery, such as
    vectis.orders/2@40.
    """


@attrs.frozen
class Desk:
    """Where the letters are.

    Args:
        hub: Knows the handlers, the topics and the transport.
        group: Whose letters.
        topics: The dead-letter topics.
    """

    hub: Hub
    group: str
    topics: tuple[str, ...]


def _moment(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> datetime | None:
    try:
        return None if text is None else moment(text, datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _where(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where the letters are; the command gets a `Desk`."""

    @click.option("--group", help="Whose letters; default: [consumer] group.")
    @click.option(
        "--topic",
        "topics",
        multiple=True,
        metavar="TOPIC",
        help="Set aside from this topic; may be repeated. Default: every topic that is known.",
    )
    @module_option
    @wraps(command)
    def wrapped(
        group: str | None, topics: tuple[str, ...], modules: tuple[str, ...], **others: Any
    ) -> Any:
        with _desk(group, topics, modules) as desk:
            return command(desk, **others)

    return wrapped


def _which(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose letters; the command gets a `Choice`."""

    @click.argument("ids", nargs=-1, metavar="[ID]...")
    @click.option(
        "--handler",
        "handlers",
        multiple=True,
        metavar="NAME",
        help="Set aside because of this handler, plugin:name or the name; may be repeated.",
    )
    @click.option(
        "--since",
        callback=_moment,
        metavar="TIME",
        help="Set aside since then: RFC 3339, or 2h.",
    )
    @click.option("--until", callback=_moment, metavar="TIME", help="Set aside before this time.")
    @wraps(command)
    def wrapped(
        *args: Any,
        ids: tuple[str, ...],
        handlers: tuple[str, ...],
        since: datetime | None,
        until: datetime | None,
        **others: Any,
    ) -> Any:
        choice = Choice(ids=ids, handlers=handlers, since=since, until=until)
        return command(*args, choice=choice, **others)

    return wrapped


_JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


@dlq.command("list")
@_which
@_where
@click.option(
    "--limit", type=click.IntRange(min=0), default=50, metavar="N", help="Rows; 0 for all of them."
)
@_JSON
def list_(desk: Desk, choice: Choice, limit: int, as_json: bool) -> None:
    """Show the letters that wait.

    They are behind the group GROUP.dlq. Records that no worker of Vectis wrote are listed as such.
    """
    shelf = asyncio.run(_scanned(desk))
    chosen = [record for record in shelf.waiting if choice(record)]
    _check_ids(choice, shelf)
    if as_json:
        screen.show_list_as_json(desk.group, desk.topics, chosen, shelf)
    else:
        screen.show_list(desk.group, desk.topics, chosen, shelf, limit)


@dlq.command()
@click.argument("id")
@_where
@click.option("--raw", is_flag=True, help="Write the original bytes, and nothing else.")
@_JSON
def show(desk: Desk, id: str, raw: bool, as_json: bool) -> None:
    """Show one letter: why it was set aside, its headers, its payload."""
    choice = Choice(ids=(id,))
    for delivery in asyncio.run(_loaded(desk, choice, choice)):
        if raw:
            sys.stdout.buffer.write(delivery.value or b"")
            sys.stdout.buffer.flush()
        elif as_json:
            screen.show_letter_as_json(delivery, desk.hub.hub_settings.max_message_bytes)
        else:
            screen.show_letter(delivery, desk.hub.hub_settings.max_message_bytes)


@dlq.command()
@_which
@_where
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
@_which
@_where
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be purged, only.")
def purge(desk: Desk, choice: Choice, yes: bool, dry_run: bool) -> None:
    """Give letters up: they wait no longer, and nobody handles them.

    The records stay in the topic until retention deletes them.
    """
    shelf = asyncio.run(_scanned(desk))
    _check_ids(choice, shelf)
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
    screen.show_purged(purged, desk.group)


@contextmanager
def _desk(group: str | None, topics: tuple[str, ...], modules: tuple[str, ...]) -> Iterator[Desk]:
    from vectis.core.cli.application import application

    with application(modules) as hub:
        group = group or hub.consumer_settings.group
        if not group:
            raise ConfigError(
                "whose letters? Say --group shop, or set [consumer] group or VECTIS_CONSUMER_GROUP"
            )
        found = topics or known_topics(hub)
        if not found:
            raise ConfigError(
                "no topic is known: say --topic vectis.orders, or name topics in [topics] or the "
                "modules of handlers with --module or in [consumer] modules"
            )
        yield Desk(hub, group, dead_letter_topics(found))


async def _scanned(desk: Desk) -> Shelf:
    async with (
        started(desk.hub),
        reading(desk.hub, desk.topics, behind=group_of(desk.group)) as reader,
    ):
        return await scan(reader, desk.group)


async def _loaded(
    desk: Desk, choice: Choice, wanted: Callable[[Waiting], bool]
) -> Sequence[Delivery]:
    """Return the whole records of the letters that are wanted."""
    async with (
        started(desk.hub),
        reading(desk.hub, desk.topics, behind=group_of(desk.group)) as reader,
    ):
        shelf = await scan(reader, desk.group)
        _check_ids(choice, shelf)
        found = [await load(reader, record) for record in shelf.waiting if wanted(record)]
        return [delivery for delivery in found if delivery is not None]


async def _dry_run(desk: Desk, choice: Choice, as_json: bool) -> int:
    from vectis.core.letters.handlers import Stays, handlers_of
    from vectis.core.letters.wire import StoredLetter, read_record

    plan: list[screen.Planned] = []
    for delivery in await _loaded(desk, choice, choice.to_replay):
        record = read_record(delivery)
        if not isinstance(record, StoredLetter):
            plan.append(screen.Planned(f"{delivery.place}", (), getattr(record, "reason", "")))
            continue
        try:
            handlers = handlers_of(record, desk.hub)
        except Stays as stays:
            plan.append(screen.Planned(record.id, (), str(stays)))
        else:
            names = tuple(s.id for found in handlers.values() for s in found)
            plan.append(screen.Planned(record.id, names, ""))
    screen.show_plan(plan, desk.group, desk.topics, as_json=as_json)
    return 1 if any(planned.stays for planned in plan) else 0


async def _replay(desk: Desk, choice: Choice, rate: float, max_failures: int, as_json: bool) -> int:
    from vectis.core.cli.stopping import heeding_signals
    from vectis.core.letters.replay import Replay

    async with started(desk.hub):
        async with reading(desk.hub, desk.topics, behind=group_of(desk.group)) as reader:
            shelf = await scan(reader, desk.group)
        _check_ids(choice, shelf)
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
            tell=(lambda *_: None) if as_json else screen.show_became,
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
                screen.show_report(replay, desk.group, desk.topics, as_json=as_json)
                raise
    screen.show_report(replay, desk.group, desk.topics, as_json=as_json)
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


def _check_ids(choice: Choice, shelf: Shelf) -> None:
    unknown = choice.unknown(shelf.waiting)
    if unknown:
        raise ConfigError(
            f"no letter waits for group {shelf.group} as {', '.join(unknown)}: it was replayed or "
            "purged meanwhile, or lies on another topic; `vectis dlq list` shows those that wait"
        )
