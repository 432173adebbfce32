"""Whether event types still fit what others were built for: a snapshot, and what changed since.

A snapshot is the schemas of a catalogue as JSON, to be committed. Pure: nothing here knows hubs or
files. A version's schema is a promise to whoever reads it, also to the messages that lie in topics:
it may gain optional fields, and nothing else. Whatever else has to change becomes a new version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vectis.core._schema_changes import Change, Rule, schema_changes
from vectis.core.exceptions import ConfigError
from vectis.core.schemas import schema_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vectis.core.entries import Entry

__all__ = [
    "FORMAT",
    "Change",
    "Rule",
    "checked",
    "compare",
    "of_plugins",
    "replaced",
    "snapshot_of",
]

FORMAT = 1
"""Of snapshots, in their key `vectis_catalog`."""

Snapshot = dict[str, Any]


def snapshot_of(found: Iterable[Entry]) -> Snapshot:
    """Return the snapshot of event types: plain JSON values.

    Args:
        found: The types; those without a class are left out.

    Raises:
        SubscriptionError: A class has a type that JSON cannot hold.
    """
    types = {}
    for entry in found:
        if entry.newest is None:
            continue
        types[entry.name] = {
            "plugin": entry.newest.plugin,
            "topic": entry.newest.topic,
            "key": entry.newest.key,
            "upcasts_from": [upcaster.from_version for upcaster in entry.upcasters],
            "versions": {
                str(version.version): schema_of(version.cls) for version in entry.versions
            },
        }
    return {"vectis_catalog": FORMAT, "types": types}


def of_plugins(snapshot: Snapshot, plugins: Iterable[str], *others: Snapshot) -> Snapshot:
    """Return what a snapshot says of the types of some plugins.

    Args:
        snapshot: Has the types of all.
        plugins: Their names.
        others: A type that is theirs in one of these is theirs: it may have moved from one plugin
            to another, and is not gone then.

    Example:
        >>> from vectis.core.compatibility import of_plugins
        >>> types = {"order.created": {"plugin": "acme"}, "parcel.sent": {"plugin": "other"}}
        >>> list(of_plugins({"vectis_catalog": 1, "types": types}, ["acme"])["types"])
        ['order.created']
    """
    wanted = frozenset(plugins)
    theirs = {
        name
        for one in (snapshot, *others)
        for name, kind in one["types"].items()
        if kind.get("plugin") in wanted
    }
    types = {name: kind for name, kind in snapshot["types"].items() if name in theirs}
    return {**snapshot, "types": types}


def replaced(before: Snapshot, part: Snapshot, now: Snapshot) -> Snapshot:
    """Return a snapshot in which a part of another one is as it is now, and the rest as it was.

    Args:
        before: The other one.
        part: What of it is replaced.
        now: What takes its place.
    """
    kept = {name: kind for name, kind in before["types"].items() if name not in part["types"]}
    return {**now, "types": {**kept, **now["types"]}}


def checked(snapshot: object, where: str) -> Snapshot:
    """Return what was read from a file, if it is a snapshot.

    Args:
        snapshot: Plain JSON values.
        where: The file, for the message.

    Raises:
        ConfigError: It is none, or one that a newer release wrote.
    """
    if not isinstance(snapshot, dict) or not isinstance(snapshot.get("types"), dict):
        raise ConfigError(f"{where} is no snapshot of a catalogue: write one with --write")
    if snapshot.get("vectis_catalog") != FORMAT:
        raise ConfigError(
            f"{where} is a snapshot of format {snapshot.get('vectis_catalog')!r}, and this release "
            f"reads {FORMAT}: use the release that wrote it, or write it anew with --write"
        )
    return snapshot


def compare(before: Snapshot, after: Snapshot) -> tuple[Change, ...]:
    """Return what changed, by type.

    Args:
        before: The stored snapshot.
        after: That of the catalogue as it is.

    Example:
        >>> from vectis.core.compatibility import compare
        >>> schema = {"type": "object", "properties": {"total": {"type": "string"}}}
        >>> kind = {"topic": None, "key": None, "upcasts_from": [], "versions": {"1": schema}}
        >>> before = {"vectis_catalog": 1, "types": {"order.created": kind}}
        >>> [change.rule for change in compare(before, {"vectis_catalog": 1, "types": {}})]
        ['type-removed']
    """
    changes: list[Change] = []
    for name in sorted(before["types"].keys() | after["types"].keys()):
        was, now = before["types"].get(name), after["types"].get(name)
        if was is None:
            changes.append(Change("type-added", name, "is new"))
        elif now is None:
            changes.append(
                Change(
                    "type-removed",
                    name,
                    "is gone: whoever publishes or handles it has no class any more",
                )
            )
        else:
            changes += _type_changes(name, was, now)
    return tuple(changes)


def _type_changes(name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    if was["topic"] is not None and was["topic"] != now["topic"]:
        yield Change(
            "topic-changed",
            name,
            f"travelled on {was['topic']} and now on {now['topic'] or 'none'}: whoever reads the "
            "old topic would miss it; publish to both, or name a new type",
        )
    if was["key"] is not None and was["key"] != now["key"]:
        yield Change(
            "key-changed",
            name,
            f"was keyed by {was['key']} and is now by {now['key'] or 'nothing'}: what was in order "
            "would be no more",
        )
    old, new = was["versions"], now["versions"]
    for version in sorted(old.keys() | new.keys(), key=int):
        where = f"{name} version {version}"
        if version not in old:
            yield Change("version-added", where, "is new")
        elif version in new:
            yield from schema_changes(old[version], new[version], where)
        if version in old:
            yield from _way_changes(name, int(version), was, now)


def _way_changes(
    name: str, version: int, was: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[Change]:
    """Yield what changed for deliveries of a version on their way to the newest one."""
    where, newest = f"{name} version {version}", max(map(int, now["versions"]))
    missing = _missing_step(version, newest, now["upcasts_from"])
    if str(version) in now["versions"]:
        before = _missing_step(version, max(map(int, was["versions"])), was["upcasts_from"])
        if missing not in (None, before):
            yield Change(
                "upcaster-missing",
                where,
                f"cannot become version {newest}, so that handlers of that would set it aside: "
                f"register {_upcasts(name, missing)}",
            )
    elif missing is None:
        yield Change("version-retired", where, "is gone, and upcasters make its deliveries new")
    else:
        yield Change(
            "version-removed",
            where,
            "is gone, and deliveries of it would be dead letters: keep the class"
            + ("" if version > newest else f", or register {_upcasts(name, missing)}"),
        )


def _upcasts(name: str, version: int) -> str:
    return f"@upcasts({name!r}, from_version={version})"


def _missing_step(version: int, newest: int, upcasts_from: Iterable[int]) -> int | None:
    """Return the version on the way to the newest that nobody makes new; None when all are."""
    if version > newest:
        return version  # the newest itself is gone: there is nothing that it could become
    there = frozenset(upcasts_from)
    return next((step for step in range(version, newest) if step not in there), None)
