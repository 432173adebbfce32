"""Publishing many events to one topic: in chunks, so that memory and the event loop stay free.

A chunk is encoded in one go and handed over in one call. The next one is taken from the iterable
when the transport has answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sized
from itertools import islice
from typing import TYPE_CHECKING, Any

from vectis.core.exceptions import HookError, PublishError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vectis.core.exceptions import Fate
    from vectis.core.message import Receipt
    from vectis.core.publication import Publication

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
    offered, composer = publication.offers(topic), publication.composer
    while chunk := _take(rest, results, topic):
        composed = composer.new_messages(topic, chunk, time := composer.now())
        messages, ids = composed or ([], [])
        try:
            for given in () if composed else chunk:
                message, event_id = composer.new_message(topic, time=time, **given)
                messages.append(message)
                ids.append(event_id)
        except Exception as raised:
            # Looked at only now: the call itself refuses the names that are wrong.
            error = _flaw(chunk[len(messages)]) or raised
            if not results:  # nothing was sent
                if error is raised:
                    raise
                raise error from None
            unsent = [_unsent(topic, error)] * len(chunk)
            unsent[len(messages)] = _unsent(topic, error, because=f"not sent: {error}")
            results += unsent
            return _all_or_raise(results, topic, events)
        if not offered:
            continue  # encoded all the same: what production would refuse is refused here too
        answers = await publication.send_all(topic, messages, ids)
        results += answers
        if all(isinstance(answer, BaseException) for answer in answers):
            break
        await asyncio.sleep(0)
    return _all_or_raise(results, topic, events) if offered else None


def _take(
    rest: Iterator[Mapping[str, Any]], results: list[Any], topic: str
) -> list[Mapping[str, Any]]:
    """Take the next events; an error of the iterable tells what became of those before it."""
    chunk: list[Mapping[str, Any]] = []
    try:
        chunk.extend(islice(rest, _CHUNK))  # keeps what came before the error
    except Exception as error:
        if not results:  # nothing was sent
            raise
        fate: Fate = "unknown" if any(isinstance(r, BaseException) for r in results) else "not_sent"
        results += [_unsent(topic, error)] * len(chunk)
        failure = PublishError(
            f"{topic}: the iterable failed after {len(results):,} events, of which "
            f"{sum(isinstance(r, BaseException) for r in results):,} were not acknowledged: "
            f"{error!r}",
            fate=fate,
        )
        failure.results = tuple(results)
        raise failure from error
    return chunk


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


def _unsent(topic: str, cause: BaseException, because: str = "") -> BaseException:
    error = PublishError(
        f"{topic}: {because or 'not sent, because of one before or beside it'}", fate="not_sent"
    )
    error.__cause__ = cause
    return error


def _all_or_raise(results: list[Any], topic: str, events: Iterable[object]) -> list[Receipt]:
    # A look at each costs more than the rest of this module does for a message.
    if not any(issubclass(kind, BaseException) for kind in set(map(type, results))):
        return results
    errors = [error for error in results if isinstance(error, BaseException)]
    first = errors[0]
    if not isinstance(first, Exception):
        raise first
    # What is left of an iterator stays there: it may be endless, or work popped from a queue.
    left = len(events) - len(results) if isinstance(events, Sized) else 0
    if left > 0:
        results = results + [_unsent(topic, errors[-1])] * left
    fate: Fate = "not_sent" if isinstance(first, HookError) else "unknown"
    failure = PublishError(
        f"{len(errors) + max(left, 0):,} of {len(results):,} messages were not acknowledged on "
        f"{topic}, the first: {first}",
        fate=first.fate if isinstance(first, PublishError) else fate,
    )
    failure.results = tuple(results)
    raise failure from first
