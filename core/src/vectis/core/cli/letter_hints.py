"""Hints on names that `vectis dlq` was given and nobody has: a typo chooses nothing, silently."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectis.core.letters.wire import StoredLetter
from vectis.core.plugins import nearest
from vectis.core.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vectis.core.hub import Hub
    from vectis.core.letters.choice import Choice
    from vectis.core.letters.shelf import Shelf

__all__ = ["hints"]


def hints(hub: Hub, choice: Choice, shelf: Shelf) -> Iterator[str]:
    """Yield a sentence for the group and for each handler that may be misspelt.

    A handler of the application that has no letters is none of them.

    Args:
        hub: Knows the handlers of the application.
        choice: What was asked for.
        shelf: What there is; of the group that was asked for.
    """
    if not shelf.waiting:
        yield from _of_group(hub, shelf)
        return
    stored = [record.letter for record in shelf.waiting if isinstance(record, StoredLetter)]
    waiting = sorted({letter.handler for letter in stored if letter.handler})
    known = [*waiting, *(s.id for s in hub.subscriptions if s.scope == "service")]
    for name in choice.handlers:
        names = known if ":" in name else [handler.partition(":")[2] for handler in known]
        if name not in names:
            hint = nearest(name, names) or _there_are("those that letters wait for", waiting)
            yield f"no handler is called {name!r}, here or in the letters{one_line(hint, 500)}"


def _of_group(hub: Hub, shelf: Shelf) -> Iterator[str]:
    own = hub.consumer_settings.group
    others = sorted(shelf.others)
    if shelf.group == own:
        return
    hint = nearest(shelf.group, [own, *others] if own else others)
    hint = hint or _there_are("groups that have letters there", others)
    if hint:
        yield f"no letters wait for group {shelf.group!r}{one_line(hint, 500)}"


def _there_are(what: str, names: Iterable[str]) -> str:
    listed = ", ".join(names)
    return f"; {what}: {listed}" if listed else ""
