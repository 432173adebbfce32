"""Every error that Vectis raises on purpose, in one place.

The base is `VectisError`; whoever catches it catches all of them. A message says what happened,
where, and what to do next.
"""

from __future__ import annotations

from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vectis.core.events import Event
    from vectis.core.message import Receipt, TopicPartition
    from vectis.core.outcome import Outcome
    from vectis.core.subscription import Subscription

__all__ = [
    "BatchFailed",
    "ConfigError",
    "DecodeError",
    "EmitLoopError",
    "EncodeError",
    "EventCancelled",
    "HandlerErrors",
    "HookError",
    "LeaseLost",
    "PayloadError",
    "PluginError",
    "PublishError",
    "Reject",
    "RetryLater",
    "SubscriptionError",
    "TransportError",
    "VectisError",
]

Fate = Literal["not_sent", "rejected", "unknown"]


class VectisError(Exception):
    """Base of every error that Vectis raises on purpose.

    Attributes:
        remedy: What to do about it, where whoever raised it knows more than its message says;
            else empty.
    """

    remedy: str = ""


class EventCancelled(VectisError):
    """Raised by a handler or a `vectis_before_emit` guard to stop an event.

    Later handlers do not run, and the emitter gets this error.
    The constructor takes the reason only; `emit` fills in the rest on its way out.
    Raised in an `asyncio.TaskGroup` of theirs it stops the event too: the emitter gets the first
    one in the exception group, and the group is its `__context__`.
    Raised by a `vectis_before_publish` guard it stops the message; the publisher gets a `HookError`
    with this as its cause, since one that escapes from a handler must not stop the handler's event.

    Args:
        reason: Why, in words for the emitter.

    Attributes:
        event: The event that was stopped.
        handler: The handler that raised, or None when a guard vetoed before any handler ran.
        plugin: The name of the plugin that owns the handler or the guard.
        skipped: The subscriptions that did not run because of it, in order.
        outcome: The outcome up to this point.

    Example:
        >>> from vectis.core.exceptions import EventCancelled
        >>> raise EventCancelled("Order exceeds maximum amount")
        Traceback (most recent call last):
        ...
        vectis.core.exceptions.EventCancelled: Order exceeds maximum amount
    """

    # Of the class: a subclass may have an `__init__` of its own that does not call this one.
    reason: str = ""
    event: Event | None = None
    handler: Any = None
    plugin: str | None = None
    skipped: tuple[Subscription, ...] = ()
    outcome: Outcome | None = None
    _left_at: Mapping[int, int] = MappingProxyType({})

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class EmitLoopError(VectisError):
    """Nested emits went round too often; the message shows the chain of event types."""


class HandlerErrors(VectisError):
    """Raised by `Outcome.raise_for_errors` when handlers failed.

    Attributes:
        failures: One `HandlerFailure` for each handler that failed, in order.
    """

    def __init__(self, message: str, failures: tuple[Any, ...]) -> None:
        super().__init__(message)
        self.failures = failures


class HookError(VectisError):
    """A guard hook failed, and guards fail closed: the operation did not happen.

    Attributes:
        hook: The name of the hook, such as `vectis_before_emit`.
        plugin: The name of the plugin whose implementation failed.
        veto: Whether it stopped a publish on purpose, by raising `EventCancelled`.
    """

    def __init__(self, message: str, *, hook: str, plugin: str, veto: bool = False) -> None:
        super().__init__(message)
        self.hook = hook
        self.plugin = plugin
        self.veto = veto


class SubscriptionError(VectisError, ValueError):
    """A handler or a pattern that cannot be registered; the message names what is wrong with it."""


class PluginError(VectisError):
    """Plugins stop the hub from starting: a required one is missing or unusable, or names clash.

    A plugin may raise it while it is put in place, and say what the operator can do.

    Args:
        message: What is wrong.
        remedy: What to do about it; `vectis plugins` and `vectis doctor` show it.

    Example:
        >>> from vectis.core.exceptions import PluginError
        >>> raise PluginError("no licence file", remedy="put one into /etc/acme")
        Traceback (most recent call last):
        ...
        vectis.core.exceptions.PluginError: no licence file
    """

    def __init__(self, message: str = "", *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class ConfigError(VectisError):
    """A setting that cannot be used; the message names file, table and key.

    Args:
        message: What is wrong, and where.
        remedy: What to change, and where.
    """

    def __init__(self, message: str = "", *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class TransportError(VectisError):
    """A transport cannot do what was asked: unreachable, full, locked, corrupt, not available."""


class LeaseLost(TransportError):
    """A commit for a partition that this consumer no longer holds: refused, nothing was stored.

    Args:
        message: What happened, and what becomes of what was not committed.
        partitions: Those that were refused.

    Attributes:
        partitions: The same; the offsets of all others in that commit are stored.
    """

    def __init__(self, message: str, *, partitions: Iterable[TopicPartition] = ()) -> None:
        super().__init__(message)
        self.partitions = frozenset(partitions)


class PublishError(TransportError):
    """A message was not acknowledged.

    Args:
        message: What happened and what to do.
        fate: `not_sent`, it never left; `rejected`, the transport refused it; `unknown`, it was
            sent and no answer came, so it may be there. Publish again with the same `event_id`.

    Attributes:
        results: For `publish_many`, one receipt or error for each event, in order; else empty. Of
            an iterator only those that were taken from it: what was not taken was not sent.
    """

    def __init__(self, message: str, *, fate: Fate) -> None:
        super().__init__(message)
        self.fate: Fate = fate
        self.results: tuple[Receipt | BaseException, ...] = ()


class EncodeError(VectisError, ValueError):
    """A payload that is not JSON; the message names the path inside it."""


class DecodeError(VectisError, ValueError):
    """A received message that cannot be read; the worker makes it a dead letter."""


class Reject(VectisError):
    """Raised by a consuming handler: this delivery can never succeed, set it aside at once.

    Args:
        reason: Why, kept with the dead letter.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class PayloadError(Reject, ValueError):
    """A payload that does not fit the class that a handler takes; the message names the path.

    The worker sets such a delivery aside at once, as `Reject` does.
    """


class BatchFailed(VectisError):
    """Raised by a consuming handler that takes several payloads: some of them have failed.

    Only those are tried again, or set aside when that was their last attempt; the others are done.
    Any other error counts for all of them.

    Args:
        errors: The index of each payload that failed, from 0, and its error; a `Reject` or a
            `RetryLater` counts for that one.

    Example:
        >>> from vectis.core.events.consumer import on_event
        >>> from vectis.core.exceptions import BatchFailed
        >>> @on_event("order.created", topic="vectis.orders", batch=100)
        ... async def store(event_type: str, payloads: list) -> None:
        ...     failed = {n: KeyError("sku") for n, order in enumerate(payloads) if not order}
        ...     if failed:
        ...         raise BatchFailed(failed)
    """

    def __init__(self, errors: Mapping[int, BaseException]) -> None:
        super().__init__(f"{len(errors)} of the batch have failed")
        self.errors = dict(errors)


class RetryLater(VectisError):
    """Raised by a consuming handler: not now; come back, and do not count this as an attempt.

    Args:
        seconds: How long to wait before the same delivery is tried again: 0 or more.

    Raises:
        ValueError: That is no time to wait, such as infinity: the delivery would be lost.
    """

    seconds: float = 0.0  # of a subclass that does not call this

    def __init__(self, seconds: float) -> None:
        if not 0 <= seconds < inf:
            raise ValueError(f"RetryLater({seconds!r}): the seconds must be finite, and 0 or more")
        super().__init__(f"retry in {seconds:g} s")
        self.seconds = seconds
