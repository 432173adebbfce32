"""`vectis topics`: the topics of an application on the brokers: list, create, check."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vectis.core.cli.application import application, picture, quiet, tell_quarantined
from vectis.core.cli.group import module_option
from vectis.core.cli.screen import NOTHING, Styled, line, note, show_json, table
from vectis.core.exceptions import ConfigError, TransportError
from vectis.core.quarantine import quarantined
from vectis.core.topics import UsedTopic, check_topic, topics_in_use
from vectis_redpanda._needs import compared, needed
from vectis_redpanda.plugin import NO_AIOKAFKA, NO_SERVERS, folder_of, missing, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from vectis.core.hub import Hub
    from vectis_redpanda._link import Link
    from vectis_redpanda._needs import Verdict
    from vectis_redpanda._topics import Topic

__all__ = ["topics"]

T = TypeVar("T")

_COUNT, _COPIES = click.IntRange(1, 2**31 - 1), click.IntRange(1, 2**15 - 1)
_JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


@click.group()
def topics() -> None:
    """List, create and check the topics of the application on the brokers.

    Which topics those are is said by [topics] and [consumer] topics in the config, the catalogue of
    event types, and the @on_event handlers. What a worker reads has a topic of dead letters, too.
    """


@topics.command("list")
@_JSON
def list_(as_json: bool) -> None:
    """Show every topic that there is."""
    quiet("vectis.plugins", "aiokafka")
    with application(own=False) as hub:  # the brokers know, and no module is needed
        from vectis_redpanda._topics import existing

        found = _asked(_link(hub), existing)
    rows = [found[name] for name in sorted(found)]
    if as_json:
        show_json([_plain(topic) for topic in rows])
    elif rows:
        table(
            ["TOPIC", "PARTITIONS", "REPLICATION", "KEPT FOR", "LARGEST MESSAGE"],
            [_row(topic) for topic in rows],
        )
    else:
        line("No topics. `vectis topics create` makes those of the application.")


@topics.command()
@click.argument("names", nargs=-1, metavar="[TOPIC]...")
@module_option
@click.option("--partitions", type=_COUNT, metavar="N", help="Of each new topic.")
@click.option("--replication", type=_COPIES, metavar="N", help="Brokers that keep a copy.")
@click.option("--no-dead-letters", is_flag=True, help="Make no topics for dead letters.")
@click.option("--dry-run", is_flag=True, help="Only ask the brokers whether they would do it.")
@_JSON
def create(
    names: tuple[str, ...],
    modules: tuple[str, ...],
    partitions: int | None,
    replication: int | None,
    no_dead_letters: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Create the topics that are missing: those named, or else those of the application.

    What is there stays as it is. Each topic that is named or consumed gets one for dead letters,
    TOPIC.dlq, with room for the headers that say why; it keeps them until they are deleted.

    Exit code 1 when one could not be created.
    """
    quiet("vectis.plugins", "aiokafka")
    with application(modules) as hub:
        wanted = [UsedTopic(name, True) for name in names] or topics_in_use(hub)
        all_of_them = [
            name
            for topic in wanted
            for name in ([topic.name] if no_dead_letters else needed(topic))
        ]
        for name in all_of_them:
            check_topic(name)
        link = _link(hub)
        before = _existing_names(link)

        async def make(link: Link) -> dict[str, Topic | TransportError]:
            from vectis_redpanda._topics import create as create_topics

            return await create_topics(
                link,
                all_of_them,
                partitions=partitions,
                replication=replication,
                dry_run=dry_run,
            )

        done = _asked(link, make) if all_of_them else {}
    failed = {name: found for name, found in done.items() if isinstance(found, TransportError)}
    made = [name for name in done if name not in before and name not in failed]
    if as_json:
        show_json(
            {
                "created": [] if dry_run else made,
                "would_create": made if dry_run else [],
                "existed": [name for name in done if name in before],
                "failed": {name: str(error) for name, error in failed.items()},
            }
        )
    else:
        _show_created(done, before, failed, dry_run)
    return 1 if failed else 0


@topics.command()
@module_option
@_JSON
def check(modules: tuple[str, ...], as_json: bool) -> int:
    """Compare the topics that there are with those of the application.

    Exit code 1 when one is missing, or takes no dead letter of the largest message; also when a
    module does not import, or a plugin is quarantined: it is named, and its topics are not known.
    """
    quiet("vectis.plugins", "aiokafka")
    with picture(modules, "topics that it alone names are not compared") as seen:
        hub = seen.hub
        tell_quarantined(hub)
        unread = [*seen.broken, *(plugin.name for plugin in quarantined(hub, tolerated=False))]
        wanted = topics_in_use(hub)

        async def look(link: Link) -> dict[str, Topic]:
            from vectis_redpanda._topics import existing

            return await existing(link, [n for topic in wanted for n in needed(topic)])

        found = _asked(_link(hub), look) if wanted else {}
    verdicts = compared(wanted, found)
    failed = sum(bool(verdict.problem) for verdict in verdicts)
    if as_json:
        rows = [{"topic": one.topic, "problem": _said(one) or None} for one in verdicts]
        show_json({"topics": rows, "failed": failed, "unread": unread})
    elif not verdicts and not unread:
        line("The application uses no topics: no [topics], no catalogue, no @on_event handlers.")
    for one in () if as_json else verdicts:
        lead = Styled("fail  ", "bad") if one.problem else Styled("ok    ", "good")
        line(Styled(one.topic, "key"), f": {_said(one)}" if one.problem else "", lead=lead)
    return 1 if failed or unread else 0


def _said(verdict: Verdict) -> str:
    return f"{verdict.problem}: {verdict.remedy}" if verdict.problem else ""


def _link(hub: Hub) -> Link:
    absent = missing(hub)
    if absent in (NO_SERVERS, NO_AIOKAFKA):
        raise ConfigError(f"there are no brokers to ask: {absent}")
    from vectis_redpanda._link import Link

    return Link(settings_of(hub), folder_of(hub))


def _existing_names(link: Link) -> Sequence[str]:
    from vectis_redpanda._topics import existing

    return list(_asked(link, existing))


def _asked(link: Link, ask: Callable[[Link], Coroutine[Any, Any, T]]) -> T:
    async def main() -> T:
        # A broker may stop answering in the middle of it.
        async with asyncio.timeout(3 * link.settings.request_timeout):
            return await ask(link)

    try:
        return asyncio.run(main())
    except TimeoutError as error:
        raise TransportError(
            f"{link.named}: no answer; see whether the brokers are well"
        ) from error


def _show_created(
    done: Mapping[str, Topic | TransportError],
    before: Sequence[str],
    failed: Mapping[str, TransportError],
    dry_run: bool,
) -> None:
    for name, found in done.items():
        if name in failed or isinstance(found, TransportError):
            line(Styled(name, "key"), f": {found}", lead=Styled("failed        ", "bad"))
        elif name in before:
            line(Styled(name, "key"), lead=Styled("is there      ", "hint"))
        else:
            how = f": {found.partitions} partitions, {found.replication} copies"
            said = "would create  " if dry_run else "created       "
            line(Styled(name, "key"), how, lead=Styled(said, "good"))
    if not done:
        note("The application uses no topics; name some: vectis topics create vectis.orders")


def _row(topic: Topic) -> list[Any]:
    kept = topic.retention
    return [
        Styled(topic.name, "key"),
        str(topic.partitions),
        str(topic.replication),
        _age(kept) if topic.config else NOTHING,
        f"{topic.largest:,} bytes" if topic.config else NOTHING,
    ]


def _plain(topic: Topic) -> dict[str, Any]:
    return {
        "topic": topic.name,
        "partitions": topic.partitions,
        "replication": topic.replication,
        "retention_seconds": topic.retention,
        "max_message_bytes": topic.largest,
    }


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "ever"
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
