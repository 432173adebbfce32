"""The contract between the hub and whatever carries events: routes, carriers, consumers.

The bus and the transports between processes offer the same things through the three transport hooks
(`vectis_subscribe`, `vectis_emit`, `vectis_consume`, see `vectis.core.hookspecs`). Making an offer
does no I/O; connections are made when the first event is sent or the consumer is started.
`vectis.core.testing.contract` is the suite that every transport must pass.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import attrs

if TYPE_CHECKING:
    from vectis.core.message import Delivery, Message, Receipt, TopicPartition
    from vectis.core.subscription import Subscription
    from vectis.core.topics import UsedTopic

__all__ = ["Carrier", "Consumer", "Dispensable", "Finding", "Route", "Scope"]

Scope = Literal["process", "service"]


class Dispensable(str):
    """A reason of `vectis_unavailable` for which publishing does nothing, even when chosen.

    For an optional library that development does without. With any other reason, a transport that
    `[hub] transport` names and that declines makes publishing an error.
    """

    __slots__ = ()


# A tuple: it is a key, looked up for every emit that has lifecycle hooks around it.
class Route(NamedTuple):
    """Where an event goes: a scope and a name.

    Args:
        scope: `process` for the in-process bus, `service` for a transport between processes.
        name: With `process` an event type or, when subscribing, a pattern.
            With `service` a topic or, when subscribing, an event type.
    """

    scope: Scope
    name: str

    def __str__(self) -> str:
        return f"{self.scope}:{self.name}"


@attrs.frozen
class Finding:
    """One thing that a transport found when it was examined.

    Args:
        status: `ok`, `warn` or `fail`.
        message: What was found. No secrets.
        remedy: What to do; empty when there is nothing to do.

    Example:
        >>> from vectis.core.transport import Finding
        >>> Finding("ok", "3 brokers").remedy
        ''
    """

    status: Literal["ok", "warn", "fail"]
    message: str
    remedy: str = ""


@attrs.frozen(kw_only=True)
class Carrier:
    """What a transport offers for a route: the callable that takes an event or a message away.

    Args:
        send: For a `process` route takes an `Event`, and from the hub also the `Outcome` to fill
            in when hooks look at it, and returns an awaitable `Outcome`; for a `service` route
            takes a `Message` and returns an awaitable `Receipt`, a new one each time: the hub
            fills in `event_id` and `transport`. The hub keeps it per route and calls nothing else
            in between.
        plan: The subscriptions that `send` would run, in order; empty for a `service` route.
            Called by `explain`, never on the hot path.
        send_many: For a `service` route: takes messages, returns one receipt or error for each,
            in the order given; receipts are new ones. None when `send` in a loop is just as good.
        close: For a `service` route: flushes and closes the producer of the running loop, bounded
            in time. Called by `shutdown_producer()`, any number of times; a `send` opens anew.
        describe: One line for `explain` and `doctor`, such as `SQLite file events.db`. No secrets.
        examine: For a `service` route: takes the topics that the application uses, connects, and
            returns what it found, for `doctor`. Bounded in time. None when there is nothing to
            connect to.
        keeps_deadline: For a `service` route: whether `send` ends within `[hub] publish_timeout` by
            itself, and says what it knows of a message that is late. Else the hub ends it.
        overruns: For a `process` route: how often each handler, by `plugin:name`, took longer than
            the bus's budget, whatever the event type. None when there is no budget. To be called
            from any thread.
    """

    send: Callable[..., Awaitable[Any]]
    plan: Callable[[], Sequence[Subscription]] = tuple
    send_many: Callable[[Sequence[Message]], Awaitable[list[Receipt | BaseException]]] | None = None
    close: Callable[[], Awaitable[None]] | None = None
    describe: str = ""
    examine: Callable[[Sequence[UsedTopic]], Awaitable[Sequence[Finding]]] | None = None
    keeps_deadline: bool = False
    overruns: Callable[[], Mapping[str, int]] | None = None


Assigned = Callable[[frozenset["TopicPartition"]], Awaitable[None]]


class Consumer(Protocol):
    """What a transport hands out to read from: one member of a consumer group, or a reader.

    All offsets are explicit. The offset to commit is that of the next delivery wanted, one past the
    last finished one; after a restart reading goes on there. Without a commit it starts at the
    beginning (`earliest`). Methods raise `TransportError` with what to do about it.

    A *reader* was asked for with the group None. It belongs to no group and leaves no trace in any:
    it holds every partition of its topics, those that there are from its first `fetch` on, and a
    topic or a partition that is new from the `fetch` that finds it. It begins at the beginning,
    loses nothing to others, and cannot commit.
    """

    @property
    def group(self) -> str | None:
        """The consumer group's name; None for a reader."""

    async def start(self, *, on_assigned: Assigned, on_revoked: Assigned) -> None:
        """Join the group, or begin to read without one.

        Both callbacks are awaited from inside `fetch`. `on_revoked` comes while the partitions are
        still held, and they stay so until it returns: it may take seconds to finish what is in
        hand and commit it. Afterwards a commit for them is refused.
        """

    async def fetch(self, *, max_records: int, timeout: float) -> list[Delivery]:
        """Return up to `max_records` deliveries, in order within each partition.

        Waits up to `timeout` seconds for the first one and returns an empty list when none came.
        Paused partitions are left out. It may be cancelled: nothing is lost or reordered, and the
        next call goes on where the last one that returned ended.
        """

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store the offsets durably before returning.

        Raises `LeaseLost`, which names them, when partitions are no longer held; the others'
        offsets are stored then.
        Raises `TransportError` for a reader: there is no group to store them for.
        """

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Make `offset` the next one to be fetched from an assigned partition."""

    async def committed(self, partition: TopicPartition, group: str | None = None) -> int | None:
        """Return the group's committed offset, or None when it has none, as a reader never has.

        With another group's name, return that group's, which is not joined or made by asking.
        """

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Return how many deliveries lie behind the fetch position of each assigned partition."""

    async def ends(self) -> Mapping[TopicPartition, int]:
        """Return the offset that the next record of each assigned partition will have at least.

        One past the last record there is: `seek` there to read from now on, or read up to there for
        what is there now. It may be called from `on_assigned`.
        """

    def pause(self, *partitions: TopicPartition) -> None:
        """Leave these out of `fetch` until `resume`; nothing is lost or reordered."""

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch from these again; a `fetch` that is waiting looks at them at once."""

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions this member holds now."""

    async def close(self) -> None:
        """Leave the group and release everything. No callback is called. May be called twice."""
