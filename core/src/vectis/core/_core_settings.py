"""The settings classes of core's own tables: the keys, their types and their defaults.

Imported through `vectis.core.settings`. A plugin's keys are in the plugin.
"""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import ge, gt, le, min_len, optional

__all__ = ["ConsumerSettings", "HandlerSettings", "HubSettings", "PluginsSettings"]


@attrs.frozen
class HubSettings:
    """The table `[hub]`.

    Args:
        transport: The plugin that carries events between processes; needed only when several could.
        source: The `source` of published events that have none; default: the distribution's name.
        publish_timeout: Seconds until a publish without an answer fails.
        max_message_bytes: Bytes that one message may have, headers included.
        max_depth: How deep emits may nest before it counts as an endless loop.
    """

    transport: str | None = None
    source: str | None = None
    publish_timeout: float = attrs.field(default=10.0, validator=gt(0))
    max_message_bytes: int = attrs.field(default=1_000_000, validator=ge(1))
    # More would end in Python's own RecursionError before it is found.
    max_depth: int = attrs.field(default=32, validator=[ge(1), le(64)])


@attrs.frozen
class PluginsSettings:
    """The table `[plugins]`: names of plugins, as their entry points are called.

    Args:
        enable: When present, only these are loaded.
        disable: These are not even imported.
        require: The start fails unless each of these is usable.
        fail_open: When a guard of one of these fails, the operation goes on.
    """

    enable: tuple[str, ...] | None = None
    disable: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    fail_open: tuple[str, ...] = ()


@attrs.frozen
class ConsumerSettings:
    """The table `[consumer]`: what the worker reads and how.

    Args:
        group: The consumer group; no default, since two services in one group each lose half.
        modules: Modules that are imported for their handlers.
        topics: What to read; default: the topics of the handled types.
        order: What keeps its order: the deliveries of a key, of a partition, or nothing.
        concurrency: Handlers that run at once.
        max_in_flight: Deliveries of a partition that are held above its watermark, at most.
        max_in_flight_bytes: Bytes of them; what the last fetch brought may go beyond.
        max_attempts: Attempts at a delivery, the first included.
        retry_initial: Seconds before the second attempt; each later wait is longer.
        retry_max: Seconds that no wait exceeds.
        on_exhausted: After the last attempt, set the delivery aside or hold everything behind it.
        dead_letters_per_minute: Of one partition; beyond that it pauses. 0 for no bound.
        shutdown_timeout: Seconds to finish running handlers after a signal to stop.
        commit_interval: Seconds between commits of progress.
        stuck_after: Seconds after which a running handler or a fetch is reported as stuck.
        health_port: Where the probes and metrics are served; None serves none, 0 takes a free one.
        health_host: The address they are served at.
        event_loop: What a worker's own process runs on.
        log_format: How the command line writes log lines.
        tolerate: Plugins that may be quarantined while the worker starts nevertheless.
        processes: Workers that `vectis consume` runs on this machine, each a process of its own.
    """

    group: str | None = attrs.field(default=None, validator=optional(min_len(1)))
    modules: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    order: Literal["key", "partition", "none"] = "key"
    concurrency: int = attrs.field(default=100, validator=ge(1))
    max_in_flight: int = attrs.field(default=2000, validator=ge(1))
    max_in_flight_bytes: int = attrs.field(default=16_000_000, validator=ge(1))
    max_attempts: int = attrs.field(default=5, validator=ge(1))
    retry_initial: float = attrs.field(default=0.1, validator=ge(0))
    retry_max: float = attrs.field(default=30.0, validator=ge(0))
    on_exhausted: Literal["dead_letter", "block"] = "dead_letter"
    dead_letters_per_minute: int = attrs.field(default=600, validator=ge(0))
    shutdown_timeout: float = attrs.field(default=25.0, validator=ge(0))
    commit_interval: float = attrs.field(default=0.2, validator=ge(0))
    stuck_after: float = attrs.field(default=60.0, validator=gt(0))
    health_port: int | None = attrs.field(default=None, validator=optional([ge(0), le(65_535)]))
    health_host: str = attrs.field(default="127.0.0.1", validator=min_len(1))
    event_loop: Literal["asyncio", "uvloop"] = "asyncio"
    log_format: Literal["text", "json"] = "text"
    tolerate: tuple[str, ...] = ()
    processes: int = attrs.field(default=1, validator=ge(1))


@attrs.frozen
class HandlerSettings:
    """One table `[handlers."plugin:name"]`: the operator's last word on a single handler.

    Args:
        priority: Runs at this priority instead of its own; None leaves it.
        enabled: False switches it off; None leaves it.
    """

    priority: int | None = None
    enabled: bool | None = None
