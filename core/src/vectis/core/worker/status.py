"""What a worker is doing, as one value: what the probes, the metrics and plugins are shown.

It holds nothing that is alive, so it may be kept, compared and sent. How it is made is in
`vectis.core.worker.snapshot`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from datetime import datetime

    from vectis.core.blame import HandlerBlame, PluginBlame

__all__ = [
    "DeliveryStatus",
    "HandlerStatus",
    "LoopStatus",
    "PartitionStatus",
    "State",
    "WorkerStatus",
]

State = Literal["starting", "running", "draining", "stopped"]


@attrs.frozen(kw_only=True)
class PartitionStatus:
    """One partition that the worker holds.

    Args:
        topic: The topic.
        partition: Its number.
        lag: Deliveries that are not fetched yet, when that was last asked; None before.
        in_flight: Deliveries held above the watermark, finished or not.
        bytes: Their bytes.
        position: The offset below which all is finished; None while nothing is.
        paused: Whether nothing is fetched, because as much is held as may be.
        quiet: Whether it pauses because of too many dead letters.
    """

    topic: str
    partition: int
    lag: int | None = None
    in_flight: int = 0
    bytes: int = 0
    position: int | None = None
    paused: bool = False
    quiet: bool = False


@attrs.frozen(kw_only=True)
class DeliveryStatus:
    """One delivery in flight.

    Args:
        place: `topic/partition@offset`.
        key: Its key, its lane, on one line and of bounded length; None when it has none.
        handler: `plugin:name` of the handler that is next or runs; empty when there is none.
        attempt: Which attempt of that handler this is, from 1.
        running: Seconds that this attempt has been running; 0.0 when it does not run.
        age: Seconds since the transport took it.
        where: The line of code at which it runs or waits, as far as that can be told.
    """

    place: str
    key: str | None = None
    handler: str = ""
    attempt: int = 1
    running: float = 0.0
    age: float = 0.0
    where: str = ""


@attrs.frozen(kw_only=True)
class HandlerStatus:
    """One handler, with what came of its attempts since the worker started.

    Args:
        handler: `plugin:name`.
        event_type: What it handles.
        running: How many of its attempts run now.
        handled: Attempts that passed.
        failed: Attempts that failed.
        retried: Of those, how many were or will be repeated.
        dead_lettered: Deliveries set aside because of it.
    """

    handler: str
    event_type: str
    running: int = 0
    handled: int = 0
    failed: int = 0
    retried: int = 0
    dead_lettered: int = 0


@attrs.frozen(kw_only=True)
class LoopStatus:
    """The worker's event loop, as its watchdog sees it from another thread.

    Args:
        lag: Seconds that the loop took to answer the last time.
        blocked: Seconds that it has not answered now; 0.0 when it does.
        by: What blocks it: `plugin:handler at topic/partition@offset`, or nothing that has a name.
        stack: What its thread runs while it is blocked, the innermost line last.
    """

    lag: float = 0.0
    blocked: float = 0.0
    by: str = ""
    stack: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class WorkerStatus:
    """A worker at one moment.

    Args:
        time: The moment, in UTC.
        pid: The process.
        group: The consumer group.
        transport: The plugin that it reads through.
        topics: What it reads.
        state: `starting` until it has joined its group, `draining` after a signal to stop.
        uptime: Seconds since it was started.
        limit: Seconds after which something counts as stuck, `[consumer] stuck_after`.
        partitions: What it holds.
        lag: Deliveries in all that are not fetched yet; None as long as it was not asked.
        lag_age: Seconds since that was asked.
        running: Handlers that run now.
        in_flight: Deliveries held above the watermarks, finished or not.
        retrying: Deliveries that wait for their next attempt, each holding its lane.
        oldest: The unfinished delivery that the transport has had longest; None without any.
        stuck: Deliveries whose handler has been running longer than `limit`, the longest first;
            at most 50.
        stuck_count: How many there are in all.
        overdue: Seconds by which the fetch under way is late; 0.0 when it is not.
        since_fetch: Seconds since one succeeded; None as long as none has.
        since_commit: Seconds since progress was committed; None as long as it was not.
        fetch_error: Why fetching fails now; empty when it does not.
        commit_error: Why committing fails now; empty likewise.
        handled: Deliveries whose handlers all passed.
        skipped: Deliveries that no handler wanted.
        dead_lettered: Deliveries set aside.
        retried: Attempts that failed and were repeated.
        overlapping: Deliveries that another member may have handled at the same time, because their
            partition went there before they were finished and committed.
        handlers: Each handler.
        loop: The event loop.
        blame: Each handler that was called, in the worker and on the bus, with how long it takes;
            who took most time first. Empty unless `Worker.measure` was called, and in
            `vectis_worker_status`.
        plugins: Likewise each plugin.
        untimed: Why some of `blame` have no times, and what to do; empty when all have.
        quarantined: Broken plugins and why, by name.
        published: What became of messages: `acknowledged`, `failed`, `disabled`.
        hook_errors: How often hooks failed without stopping anything, by `plugin hook`.
    """

    time: datetime
    pid: int
    group: str
    transport: str
    topics: tuple[str, ...] = ()
    state: State = "starting"
    uptime: float = 0.0
    limit: float = 60.0
    partitions: tuple[PartitionStatus, ...] = ()
    lag: int | None = None
    lag_age: float | None = None
    running: int = 0
    in_flight: int = 0
    retrying: int = 0
    oldest: DeliveryStatus | None = None
    stuck: tuple[DeliveryStatus, ...] = ()
    stuck_count: int = 0
    overdue: float = 0.0
    since_fetch: float | None = None
    since_commit: float | None = None
    fetch_error: str = ""
    commit_error: str = ""
    handled: int = 0
    skipped: int = 0
    dead_lettered: int = 0
    retried: int = 0
    overlapping: int = 0
    handlers: tuple[HandlerStatus, ...] = ()
    loop: LoopStatus = LoopStatus()
    blame: tuple[HandlerBlame, ...] = ()
    plugins: tuple[PluginBlame, ...] = ()
    untimed: str = ""
    quarantined: dict[str, str] = attrs.Factory(dict)
    published: dict[str, int] = attrs.Factory(dict)
    hook_errors: dict[str, int] = attrs.Factory(dict)

    @property
    def dead(self) -> str:
        """Why this process makes no progress and should be started again; empty when it does.

        A transport that is away does not make it dead: another process would not reach it either.
        """
        if self.loop.blocked > self.limit:
            by = f" by {self.loop.by}" if self.loop.by else ""
            return f"the event loop has been blocked for {self.loop.blocked:.0f} s{by}"
        if self.state == "running" and self.overdue > self.limit:
            return f"a fetch should have come back {self.overdue:.0f} s ago"
        return ""

    @property
    def unready(self) -> str:
        """Why it does not work on deliveries now; empty when it does, also without partitions.

        A member that got none is in reserve: it is ready to take over.
        """
        if self.dead:
            return self.dead
        if self.state != "running":
            return f"it is {self.state}"
        if self.fetch_error:
            return f"it cannot fetch: {self.fetch_error}"
        if self.since_fetch is None:
            return "it has not fetched yet"
        return ""

    def as_dict(self) -> dict[str, object]:
        """Return everything as what JSON knows, `dead` and `unready` included."""
        return {**attrs.asdict(self), "dead": self.dead, "unready": self.unready}
