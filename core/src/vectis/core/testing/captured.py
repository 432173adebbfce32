"""What a hub emitted, published and set aside, for tests to look at and to assert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from vectis.core.codec import decode
from vectis.core.exceptions import DecodeError
from vectis.core.hookspecs import hookimpl
from vectis.core.message import Delivery

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vectis.core.dead_letter import DeadLetter
    from vectis.core.events import Event
    from vectis.core.message import Message, Receipt
    from vectis.core.outcome import HandlerFailure, Outcome

__all__ = ["Captured", "Emitted", "Published"]

_LONGEST = 300  # characters of one line of a failure
_MOST = 20  # lines of it


@attrs.frozen
class Emitted:
    """One emit.

    Args:
        event: What was emitted, as guards left it.
        outcome: Who ran, what failed, who was skipped.
    """

    event: Event
    outcome: Outcome

    def __str__(self) -> str:
        status = self.outcome.status
        return f"{self.event.type} {self.event.data!r}" + f", {status}" * (status != "completed")


@attrs.frozen
class Published:
    """One message that was to leave.

    Args:
        topic: Its topic.
        type: Its event type; empty when it cannot be read.
        payload: Its payload.
        key: What its order is kept for; None for no order.
        message: The bytes and headers.
        receipt: Where it is; None when it was not acknowledged.
        error: Why it was not acknowledged.
    """

    topic: str
    type: str
    payload: Any
    key: str | None
    message: Message
    receipt: Receipt | None
    error: BaseException | None

    def __str__(self) -> str:
        failed = f", not acknowledged: {self.error!r}" if self.error else ""
        return f"{self.type} on {self.topic}, key {self.key!r}: {self.payload!r}{failed}"


class Captured:
    """Observes hubs; give it to `Hub(observers=[captured])`, or use the fixture of that name.

    Each assertion returns what it found, in order, and fails with what was there instead.

    Attributes:
        emits: Every emit, cancelled ones included.
        publications: Every message that was to leave, those that failed included.
        letters: Every dead letter.
        failures: Every failed attempt of a handler, on the bus and in the worker.

    Example:
        >>> from vectis.core import Event
        >>> from vectis.core.testing import Captured, isolated_hub
        >>> captured = Captured()
        >>> hub = isolated_hub(observers=[captured])
        >>> outcome = hub.emit_sync(Event("order.created", {"order_id": 7, "total": "12.50"}))
        >>> (emitted,) = captured.emitted("order.created", {"order_id": 7})
        >>> emitted.event.data["total"]
        '12.50'
        >>> captured.emitted("order.paid")
        Traceback (most recent call last):
        ...
        AssertionError: nobody emitted order.paid. What was emitted:
          order.created {'order_id': 7, 'total': '12.50'}
    """

    def __init__(self) -> None:
        self.emits: list[Emitted] = []
        self.publications: list[Published] = []
        self.letters: list[DeadLetter] = []
        self.failures: list[HandlerFailure] = []

    # ------------------------------------------------------------ assertions

    def emitted(self, event_type: str, data: Mapping[str, Any] | None = None) -> list[Emitted]:
        """Assert that a type was emitted, once or more.

        Args:
            event_type: The event type.
            data: What its data has among others.

        Raises:
            AssertionError: It was not; the message shows what was.
        """
        found = [
            one for one in self.emits if one.event.type == event_type and _has(one.event.data, data)
        ]
        if not found:
            raise _missing("emitted", f"{event_type}{_with(data)}", self.emits)
        return found

    def not_emitted(self, event_type: str) -> None:
        """Assert that a type was not emitted.

        Raises:
            AssertionError: It was; the message shows those.
        """
        found = [one for one in self.emits if one.event.type == event_type]
        if found:
            raise AssertionError(f"{event_type} was emitted:{_listed(found)}")

    def published(
        self,
        event_type: str,
        payload: Mapping[str, Any] | None = None,
        *,
        topic: str | None = None,
    ) -> list[Published]:
        """Assert that a type was published and acknowledged, once or more.

        Args:
            event_type: The event type.
            payload: What its payload has among others, as a consumer gets it.
            topic: On this topic only.

        Raises:
            AssertionError: It was not; the message shows what was.
        """
        found = [
            one
            for one in self.publications
            if one.type == event_type
            and one.error is None
            and topic in (None, one.topic)
            and _has(one.payload, payload)
        ]
        if not found:
            where = f" on {topic}" if topic else ""
            raise _missing("published", f"{event_type}{where}{_with(payload)}", self.publications)
        return found

    def not_published(self, event_type: str) -> None:
        """Assert that a type was not published, not even in vain.

        Raises:
            AssertionError: It was; the message shows those.
        """
        found = [one for one in self.publications if one.type == event_type]
        if found:
            raise AssertionError(f"{event_type} was published:{_listed(found)}")

    def dead_lettered(self, handler: str = "", *, error: str = "") -> list[DeadLetter]:
        """Assert that something became a dead letter.

        Args:
            handler: By this handler, `plugin:name`, or all handlers of this plugin; any when empty.
            error: With these words in its error.

        Raises:
            AssertionError: Nothing did; the message shows all dead letters.
        """
        found = [
            letter
            for letter in self.letters
            if handler in ("", letter.handler, letter.plugin) and error in letter.error
        ]
        if not found:
            wanted = f"{handler or 'any handler'}{f' with {error!r}' if error else ''}"
            shown = [f"{one.handler or 'unreadable'}: {one.error}" for one in self.letters]
            raise AssertionError(f"there is no dead letter of {wanted}. There are:{_listed(shown)}")
        return found

    def no_failures(self) -> None:
        """Assert that no handler failed, not even in an attempt that was repeated.

        Raises:
            AssertionError: One did; the message shows handlers, events and errors.
        """
        if self.failures:
            shown = [
                f"{one.subscription.id} for {one.event.type}: {one.error!r}"
                for one in self.failures
            ]
            raise AssertionError(f"handlers failed:{_listed(shown)}")

    def clear(self) -> None:
        """Forget everything so far."""
        for kept in (self.emits, self.publications, self.letters, self.failures):
            kept.clear()

    # ------------------------------------------------------------ hooks

    @hookimpl
    def vectis_after_emit(self, event: Event, outcome: Outcome) -> None:
        """Note an emit."""
        self.emits.append(Emitted(event, outcome))

    @hookimpl
    def vectis_after_publish(
        self, message: Message, receipt: Receipt | None, error: BaseException | None
    ) -> None:
        """Note a message."""
        delivery = Delivery(
            message.topic, 0, 0, message.key, message.value, headers=message.headers
        )
        try:
            received = decode(delivery, max_bytes=message.size)
            event_type, payload = received.type, received.payload
        except DecodeError:  # a guard may have made anything of it
            event_type, payload = "", message.value
        key = None if message.key is None else message.key.decode(errors="replace")
        self.publications.append(
            Published(message.topic, event_type, payload, key, message, receipt, error)
        )

    @hookimpl
    def vectis_dead_letter(self, letter: DeadLetter) -> None:
        """Note a dead letter."""
        self.letters.append(letter)

    @hookimpl
    def vectis_handler_error(self, failure: HandlerFailure) -> None:
        """Note a failed attempt."""
        self.failures.append(failure)


def _has(actual: Any, wanted: Mapping[str, Any] | None) -> bool:
    if not wanted:
        return True
    return isinstance(actual, dict) and all(
        name in actual and actual[name] == value for name, value in wanted.items()
    )


def _with(wanted: Mapping[str, Any] | None) -> str:
    return f" with {wanted!r}" if wanted else ""


def _missing(done: str, wanted: str, all_of_them: Iterable[object]) -> AssertionError:
    return AssertionError(f"nobody {done} {wanted}. What was {done}:{_listed(all_of_them)}")


def _listed(several: Iterable[object]) -> str:
    lines = [str(one) for one in several] or ["nothing"]
    cut = [line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..." for line in lines[:_MOST]]
    if len(lines) > _MOST:
        cut.append(f"and {len(lines) - _MOST} more")
    return "".join(f"\n  {line}" for line in cut)
