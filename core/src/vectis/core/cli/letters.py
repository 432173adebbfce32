"""How `vectis dlq` shows letters: tables and lines for people, JSON for programs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from vectis.core.cli.records import (
    bytes_as_json,
    decoded,
    headers_as_json,
    json_line,
    readable,
    time_of,
)
from vectis.core.cli.screen import NOTHING, Styled, heading, line, show_json, table
from vectis.core.letters.wire import StoredLetter, read_record
from vectis.core.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectis.core.letters.shelf import Shelf, Waiting
    from vectis.core.message import Delivery

__all__ = [
    "counted",
    "show_letter",
    "show_letter_as_json",
    "show_list",
    "show_list_as_json",
]

_PAYLOAD = 4_000  # characters of a payload that are shown; --raw writes all of its bytes
_HEADER = 200


def counted(number: int, one: str) -> str:
    """Return a number with its noun.

    Example:
        >>> from vectis.core.cli.letters import counted
        >>> counted(1, "letter"), counted(2, "letter")
        ('1 letter', '2 letters')
    """
    return f"{number:,} {one}{'' if number == 1 else 's'}"


# ---------------------------------------------------------------- list


def show_list(
    group: str, topics: Sequence[str], chosen: Sequence[Waiting], shelf: Shelf, limit: int
) -> None:
    """Show letters as a table, and what they have in common."""
    if not chosen:
        chosen_of = " of those chosen" if shelf.waiting else ""
        line(f"no letters{chosen_of} wait for group {group} on {', '.join(topics)}")
        _show_others(shelf)
        return
    shown = chosen[:limit] if limit else chosen
    table(
        ("ID", "SET ASIDE", "HANDLER", "TRIES", "FROM", "WHY"),
        [_row(record) for record in shown],
        spill=("FROM", "TRIES", "SET ASIDE", "WHY"),
    )
    if len(shown) < len(chosen):
        line(Styled(f"and {len(chosen) - len(shown):,} more: --limit 0 shows all of them", "hint"))
    line()
    counts = Counter(_handler(record) for record in chosen)
    by = ", ".join(f"{number:,} {name}" for name, number in counts.most_common())
    of = "" if len(chosen) == len(shelf.waiting) else f" of {len(shelf.waiting):,}"
    verb = "waits" if len(chosen) == 1 else "wait"
    line(Styled(f"{len(chosen):,}{of} {verb}", "key"), f" for group {group}: {by}")
    _show_others(shelf)


def _show_others(shelf: Shelf) -> None:
    if shelf.others:
        others = ", ".join(f"{number:,} of {name}" for name, number in sorted(shelf.others.items()))
        line(
            Styled(
                f"letters that wait for other groups, left alone: {one_line(others, 500)}", "hint"
            )
        )


def show_list_as_json(
    group: str, topics: Sequence[str], chosen: Sequence[Waiting], shelf: Shelf
) -> None:
    """Write letters as JSON."""
    show_json(
        {
            "group": group,
            "topics": list(topics),
            "waiting": [_as_json(record) for record in chosen],
            "other_groups": dict(shelf.others),
        }
    )


def _row(record: Waiting) -> list[str | Styled]:
    when = time_of(record.timestamp) or "-"
    if not isinstance(record, StoredLetter):
        return [record.id, when, Styled("foreign", "warn"), NOTHING, NOTHING, record.reason]
    letter = record.letter
    tries = str(letter.attempts) + (f", replays {letter.replays}" if letter.replays else "")
    return [record.id, when, _handler(record), tries, Styled(record.origin, "hint"), _why(record)]


def _handler(record: Waiting) -> str:
    if not isinstance(record, StoredLetter):
        return "foreign"
    return record.letter.handler or "undecodable"


def _why(record: StoredLetter) -> str:
    return record.letter.error.removeprefix(f"{record.origin}: ")


def _as_json(record: Waiting) -> dict[str, Any]:
    said = {"id": record.id, "set_aside": time_of(record.timestamp), "size": record.size}
    if not isinstance(record, StoredLetter):
        return {**said, "foreign": record.reason}
    letter = record.letter
    delivery = letter.delivery
    return {
        **said,
        "handler": letter.handler or None,
        "plugin": letter.plugin or None,
        "error": letter.error,
        "attempts": letter.attempts,
        "replays": letter.replays,
        "topic": delivery.topic,
        "partition": delivery.partition,
        "offset": delivery.offset,
        **bytes_as_json("key", delivery.key),
    }


# ---------------------------------------------------------------- show


def show_letter(delivery: Delivery, max_bytes: int) -> None:
    """Show one record of a dead-letter topic whole."""
    record = read_record(delivery)
    original = record.letter.delivery if isinstance(record, StoredLetter) else delivery
    rows: list[tuple[str, str]] = [
        ("letter", delivery.place),
        ("set aside", time_of(delivery.timestamp) or "-"),
    ]
    if isinstance(record, StoredLetter):
        letter = record.letter
        again = f", replayed {counted(letter.replays, 'time')} since" if letter.replays else ""
        rows += [
            ("group", letter.group),
            ("handler", letter.handler or "none: it could not be decoded"),
            ("why", _why(record)),
            ("attempts", f"{letter.attempts}{again}"),
            ("from", record.origin),
        ]
    else:
        rows.append(("foreign", getattr(record, "reason", "a note that a letter is settled")))
    said = decoded(original, max_bytes)
    if not isinstance(said, str):
        rows.append(("type", said.type))
    rows.append(("key", "none" if original.key is None else readable(original.key, _HEADER)))
    _pairs(rows)
    if isinstance(record, StoredLetter) and record.letter.history:
        heading("before")
        for earlier in reversed(record.letter.history):
            tries = counted(earlier.attempts, "attempt")
            when = time_of(earlier.timestamp) or "-"
            line(f"{tries}: {earlier.error}", indent=2, lead=f"{when}  ")
    heading("headers")
    headers = [(name, value or b"") for name, value in original.headers]
    _pairs([(one_line(name, 60), readable(value, _HEADER)) for name, value in headers])
    heading("payload")
    if original.value is None:
        line("none, a tombstone", indent=2)
    elif isinstance(said, str):
        line(Styled(f"{len(original.value):,} bytes: {said}", "warn"), indent=2)
        line(readable(original.value, _PAYLOAD), indent=2)
    else:
        line(one_line(json_line(said.payload), _PAYLOAD), indent=2)


def _pairs(rows: Sequence[tuple[str, str]]) -> None:
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        line(text, indent=2, lead=Styled(f"{name.ljust(width)}  ", "hint"))
    if not rows:
        line("none", indent=2)


def show_letter_as_json(delivery: Delivery, max_bytes: int) -> None:
    """Write one record of a dead-letter topic whole, as JSON."""
    record = read_record(delivery)
    original = record.letter.delivery if isinstance(record, StoredLetter) else delivery
    said = decoded(original, max_bytes)
    shown: dict[str, Any] = {"headers": headers_as_json(original)}
    if isinstance(record, StoredLetter):
        shown |= _as_json(record)
        shown["group"] = record.group
        shown["history"] = [
            {
                "set_aside": time_of(earlier.timestamp),
                "error": earlier.error,
                "attempts": earlier.attempts,
            }
            for earlier in record.letter.history
        ]
    else:
        shown |= {"id": delivery.place, "set_aside": time_of(delivery.timestamp)}
        shown["foreign"] = getattr(record, "reason", "a note that a letter is settled")
        shown |= bytes_as_json("key", original.key)
    if isinstance(said, str):
        shown |= {"undecodable": said, **bytes_as_json("value", original.value)}
    else:
        shown |= {"type": said.type, "payload": said.payload}
    show_json(shown)
