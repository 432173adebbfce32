"""Publishing many events to one topic: in chunks, so that memory and the event loop stay free.

A chunk is encoded in one go and handed over in one call. The next one is taken from the iterable
when the transport has answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from vectis.core.exceptions import HookError, PublishError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vectis.core.exceptions import Fate
    from vectis.core.message import Receipt
    from vectis.core.publication import Outgoing, Publication

__all__ = ["publish_many"]

_CHUNK = 1_000  # some milliseconds of encoding, and enough to share the cost of a transaction

_NAMES = ("event_type", "payload", "key", "event_id", "source", "user_id", "version")
_ALLOWED = frozenset(_NAMES)


async def publish_many(
    publication: Publication, topic: str, events: Iterable[Mapping[str, Any]]
) -> list[Receipt] | None:
    """Publish events in the order given; see `Hub.publish_many`."""
    rest = iter(events)
    results: list[Receipt | BaseException] = []
    offered = publication.offers(topic)
    while chunk := list(islice(rest, _CHUNK)):
        written: list[Outgoing] = []
        time = publication.now()
        try:
            written.extend(publication.new_message(topic, time=time, **given) for given in chunk)
        except Exception as raised:
            # Looked at only now: the call itself refuses the names that are wrong.
            error = _flaw(chunk[len(written)]) or raised
            if not results:  # nothing was sent
                if error is raised:
                    raise
                raise error from None
            results += _unsent(topic, error, before=len(written), rest=rest, chunk=len(chunk))
            break
        if not offered:
            continue  # encoded all the same: what production would refuse is refused here too
        answers = await publication.send_all(topic, written)
        results += answers
        if all(isinstance(answer, BaseException) for answer in answers):
            results += _unsent(topic, answers[-1], before=None, rest=rest)
            break
        await asyncio.sleep(0)
    return _all_or_raise(results, topic) if offered else None


def _flaw(given: object) -> TypeError | None:
    """Say what is wrong with an element, if it is no mapping with the names of an event."""
    if not isinstance(given, Mapping):
        return TypeError(
            "publish_many takes a list of mappings with event_type and payload; "
            f"one element is a {type(given).__name__}"
        )
    if not given.keys() <= _ALLOWED or "event_type" not in given:
        return TypeError(
            f"an event to publish is a mapping with event_type and {', '.join(_NAMES[1:])}, "
            f"not one with {', '.join(map(repr, given))}"
        )
    return None


def _unsent(
    topic: str,
    cause: BaseException,
    *,
    rest: Iterator[object],
    before: int | None,
    chunk: int = 0,
) -> list[BaseException]:
    """Return an error for each event of a chunk that was not sent, and of those still to come.

    Args:
        topic: The topic.
        cause: Why they were not sent.
        rest: The events still to come.
        before: How many of the chunk stand before the one at fault; None when that was sent.
        chunk: How many events the chunk has.
    """
    error = PublishError(f"{topic}: not sent, because of one before or beside it", fate="not_sent")
    error.__cause__ = cause
    errors: list[BaseException] = [error] * (chunk + sum(1 for _ in rest))
    if before is not None:
        errors[before] = PublishError(f"{topic}: not sent: {cause}", fate="not_sent")
        errors[before].__cause__ = cause
    return errors


def _all_or_raise(results: list[Any], topic: str) -> list[Receipt]:
    errors = [error for error in results if isinstance(error, BaseException)]
    if not errors:
        return results
    first = errors[0]
    if not isinstance(first, Exception):
        raise first
    fate: Fate = "not_sent" if isinstance(first, HookError) else "unknown"
    failure = PublishError(
        f"{len(errors):,} of {len(results):,} messages were not acknowledged on {topic}, "
        f"the first: {first}",
        fate=first.fate if isinstance(first, PublishError) else fate,
    )
    failure.results = tuple(results)
    raise failure from first
