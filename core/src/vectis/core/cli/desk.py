"""Where the letters of `vectis dlq` are, and which are meant: its common options."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any

import attrs
import click

from vectis.core.cli.group import module_option
from vectis.core.cli.letter_hints import hints
from vectis.core.cli.reading import reading, started
from vectis.core.cli.screen import note
from vectis.core.exceptions import ConfigError, TransportError
from vectis.core.letters.choice import Choice, moment
from vectis.core.letters.hold import group_of
from vectis.core.letters.scan import dead_letter_topics, known_topics, load, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from vectis.core.cli.application import Picture
    from vectis.core.hub import Hub
    from vectis.core.letters.shelf import Shelf, Waiting
    from vectis.core.message import Delivery

__all__ = ["Desk", "check_choice", "loaded", "scanned", "where", "where_seen", "which"]


@attrs.frozen
class Desk:
    """Where the letters are.

    Args:
        hub: Knows the handlers, the topics and the transport.
        group: Whose letters.
        topics: The dead-letter topics.
        code: The exit code when all went well: 1 when a module did not import, so that topics which
            it alone names are left out.
    """

    hub: Hub
    group: str
    topics: tuple[str, ...]
    code: int = 0


def _moment(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> datetime | None:
    try:
        return None if text is None else moment(text, datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def where(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where the letters are; the command gets a `Desk`."""
    return _with_desk(command, _whole)


def where_seen(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the same for a command that only looks: it goes on without modules that do not import."""
    return _with_desk(command, _seen)


def _with_desk(
    command: Callable[..., Any],
    look: Callable[[tuple[str, ...]], AbstractContextManager[Picture]],
) -> Callable[..., Any]:
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
        from vectis.core.cli.application import quiet, tell_quarantined

        quiet("vectis.plugins")
        with look(modules) as picture:
            tell_quarantined(picture.hub)
            desk = _desk(picture, group, topics)
            return command(desk, **others)

    return wrapped


def which(command: Callable[..., Any]) -> Callable[..., Any]:
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


@contextmanager
def _whole(modules: tuple[str, ...]) -> Iterator[Picture]:
    from vectis.core.cli.application import Picture, application

    with application(modules) as hub:
        yield Picture(hub)


def _seen(modules: tuple[str, ...]) -> AbstractContextManager[Picture]:
    from vectis.core.cli.application import picture

    return picture(modules, "letters from topics that it alone names are not shown")


def _desk(picture: Picture, group: str | None, topics: tuple[str, ...]) -> Desk:
    hub = picture.hub
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
    return Desk(hub, group, dead_letter_topics(found), picture.code)


async def scanned(desk: Desk) -> Shelf:
    """Return what waits.

    Raises:
        ConfigError: It cannot be read.
    """
    async with (
        started(desk.hub),
        reading(desk.hub, desk.topics, behind=group_of(desk.group)) as reader,
    ):
        shelf = await scan(reader, desk.group)
        for other in shelf.others:
            # Not every user may ask for every group; then its letters are counted from their notes.
            with suppress(TransportError):
                shelf.passed_by(other, await reader.committed(group_of(other)))
        return shelf


async def loaded(
    desk: Desk, choice: Choice, wanted: Callable[[Waiting], bool]
) -> Sequence[Delivery]:
    """Return the whole records of the letters that are wanted.

    Raises:
        ConfigError: An id is unknown, or they cannot be read.
    """
    async with (
        started(desk.hub),
        reading(desk.hub, desk.topics, behind=group_of(desk.group)) as reader,
    ):
        shelf = await scan(reader, desk.group)
        check_choice(desk, choice, shelf)
        found = [await load(reader, record) for record in shelf.waiting if wanted(record)]
        return [delivery for delivery in found if delivery is not None]


def check_choice(desk: Desk, choice: Choice, shelf: Shelf) -> None:
    """Refuse ids that nothing has which waits, and give hints on stderr on other names.

    Raises:
        ConfigError: There are some.
    """
    for hint in hints(desk.hub, choice, shelf):
        note(hint)
    unknown = choice.unknown(shelf.waiting)
    if unknown:
        raise ConfigError(
            f"no letter waits for group {shelf.group} as {', '.join(unknown)}: it was replayed or "
            "purged meanwhile, or lies on another topic; `vectis dlq list` shows those that wait"
        )
