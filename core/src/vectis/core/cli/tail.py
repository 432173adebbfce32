"""`vectis tail`: what arrives on topics, as it arrives, without taking anything from anybody."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import attrs
import click

from vectis.core.cli.records import decoded, json_line, record_as_json, show_record
from vectis.core.cli.screen import note, on_terminal
from vectis.core.exceptions import SubscriptionError, TransportError
from vectis.core.subscription import check_pattern, pattern_matches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vectis.core.codec import Received
    from vectis.core.message import Delivery
    from vectis.core.reader import Reader

__all__ = ["tail"]

_LISTEN = 60.0  # seconds that a fetch waits; a new record and Ctrl-C end it at once
_AGAIN = 1.0  # seconds until a transport that failed is asked again


@click.command()
@click.argument("topics", nargs=-1, required=True, metavar="TOPIC...")
@click.option("--from-beginning", is_flag=True, help="Begin with what is there already.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after N records.")
@click.option("--type", "pattern", metavar="PATTERN", help="Only this type, or such as 'order.*'.")
@click.option("--key", help="Only records with this key.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line.")
def tail(
    topics: tuple[str, ...],
    from_beginning: bool,
    limit: int | None,
    pattern: str | None,
    key: str | None,
    as_json: bool,
) -> int:
    """Show what arrives on topics, live.

    It belongs to no group and commits nothing, so no worker notices. What cannot be decoded is
    shown with the reason, unless --type leaves it out. Ctrl-C ends it.

    Exit codes: 0 after Ctrl-C, --limit, or when nobody reads its output any more; 2 when it could
    not start.
    """
    if pattern is not None:
        try:
            check_pattern(pattern)
        except SubscriptionError as error:
            raise click.BadParameter(str(error), param_hint="--type") from error
    wanted = Wanted(pattern, None if key is None else os.fsencode(key))
    shown = Shown(as_json, limit)
    try:
        asyncio.run(_tail(topics, wanted, shown, from_now=not from_beginning))
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # What Python still holds back for it would fail again when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


@attrs.frozen
class Wanted:
    """What the options ask for.

    Args:
        pattern: Of the event type; None for every record.
        key: The key's bytes; None for any.
    """

    pattern: str | None
    key: bytes | None

    def __call__(self, delivery: Delivery, said: Received | str) -> bool:
        """Tell whether a record is to be shown."""
        if self.key is not None and delivery.key != self.key:
            return False
        if self.pattern is None:
            return True
        return not isinstance(said, str) and pattern_matches(self.pattern, said.event.type)


@attrs.define
class Shown:
    """Writes records, up to a limit.

    Args:
        as_json: One JSON object a line.
        left: How many more may be written; None for any number.
    """

    as_json: bool
    left: int | None

    def write(self, records: Iterable[tuple[Delivery, Received | str]]) -> None:
        """Write records until the limit is reached."""
        lines = []
        for delivery, said in records:
            if self.left == 0:
                break
            if self.left is not None:
                self.left -= 1
            if self.as_json:
                lines.append(json_line(record_as_json(delivery, said)))
            else:
                show_record(delivery, said)
        if lines:
            click.echo("\n".join(lines))


async def _tail(topics: tuple[str, ...], wanted: Wanted, shown: Shown, *, from_now: bool) -> None:
    from vectis.core.cli.application import quiet, tell_quarantined
    from vectis.core.cli.reading import reading, started
    from vectis.core.hub import Hub

    quiet("vectis.plugins")
    hub = Hub()
    tell_quarantined(hub)
    async with started(hub), reading(hub, topics, from_now=from_now) as reader:
        _announce(reader, topics)
        await _follow(reader, wanted, shown, hub.hub_settings.max_message_bytes)


async def _follow(reader: Reader, wanted: Wanted, shown: Shown, max_bytes: int) -> None:
    failing = False
    while shown.left != 0:
        try:
            deliveries = await reader.fetch(timeout=_LISTEN)
        except TransportError as error:
            if not failing:
                note(f"cannot read, trying again until it works: {error}")
            failing = True
            await asyncio.sleep(_AGAIN)
            continue
        if failing:
            note("reading again")
            failing = False
        records = ((delivery, decoded(delivery, max_bytes)) for delivery in deliveries)
        shown.write((delivery, said) for delivery, said in records if wanted(delivery, said))
        await asyncio.sleep(0)  # a long backlog must not keep Ctrl-C waiting


def _announce(reader: Reader, topics: tuple[str, ...]) -> None:
    missing = [topic for topic in topics if topic not in reader.topics]
    if missing:
        note(f"not there yet, waiting for it: {', '.join(missing)}")
    if on_terminal() and sys.stderr.isatty():
        note(f"reading through {reader.transport}; Ctrl-C ends it")
