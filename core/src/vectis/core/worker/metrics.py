"""What a worker does, as Prometheus metrics: an ordinary observer of the hooks.

It sees nothing that a plugin could not see. Labels are names out of the code and the config, never
keys or payloads, and their number is bounded.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Generic, TypeVar

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from vectis.core.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from vectis.core.dead_letter import DeadLetter
    from vectis.core.events import Event
    from vectis.core.message import Delivery, Message, Receipt
    from vectis.core.outcome import DeliveryOutcome, HandlerFailure, Outcome
    from vectis.core.worker.status import WorkerStatus

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""What `Metrics.text` returns, as a header says it."""

M = TypeVar("M", Counter, Histogram)

_MOST = 200  # values of one label; event types and topics may be made up by code
_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0)


class Metrics:
    """Counts what the hooks tell, and writes it in Prometheus's text format.

    Give it to a hub as an observer; `vectis consume --health-port` does, and serves it.

    Example:
        >>> import asyncio
        >>> from vectis.core import Event, Hub
        >>> from vectis.core.worker.metrics import Metrics
        >>> metrics = Metrics()
        >>> hub = Hub({}, observers=[metrics])
        >>> subscription = hub.subscribe("order.created", lambda event: None)
        >>> outcome = asyncio.run(hub.emit(Event("order.created")))
        >>> [line for line in metrics.text().splitlines() if line.startswith(b"vectis_emits_total")]
        [b'vectis_emits_total{event_type="order.created",status="completed"} 1.0']
    """

    def __init__(self) -> None:
        self.told = 0.0
        """When `vectis_worker_status` was last called, in monotonic seconds; 0.0 before."""
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._status = _FromStatus()
        registry.register(self._status)
        self._topic, self._event_type = _Bounded(), _Bounded()
        self._deliveries = _Children(
            Counter(
                "vectis_deliveries",
                "Deliveries that a handler finished or that were set aside because of it; "
                "without a handler: skipped, or set aside because they could not be decoded.",
                ("topic", "handler", "outcome"),
                registry=registry,
            )
        )
        self._delivery_seconds = _Children(
            Histogram(
                "vectis_delivery_seconds",
                "From the first attempt at a delivery to its end, waits between attempts included.",
                ("topic",),
                registry=registry,
                buckets=_SECONDS,
            )
        )
        self._failures = _Children(
            Counter(
                "vectis_handler_failures",
                "Attempts of handlers that failed, in the worker or inside an emit.",
                ("handler", "scope"),
                registry=registry,
            )
        )
        self._retries = _Children(
            Counter(
                "vectis_retries",
                "Attempts that failed and are repeated.",
                ("handler",),
                registry=registry,
            )
        )
        self._dead_letters = _Children(
            Counter(
                "vectis_dead_letters",
                "Dead letters written.",
                ("topic", "handler"),
                registry=registry,
            )
        )
        self._publishes = _Children(
            Counter(
                "vectis_publishes",
                "Messages published by this process.",
                ("topic", "outcome"),
                registry=registry,
            )
        )
        self._emits = _Children(
            Counter(
                "vectis_emits",
                "Events emitted in this process.",
                ("event_type", "status"),
                registry=registry,
            )
        )
        self._emit_seconds = _Children(
            Histogram(
                "vectis_emit_seconds",
                "From the first handler's start to the last one's end.",
                ("event_type",),
                registry=registry,
                buckets=_SECONDS,
            )
        )

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format; from any thread."""
        return generate_latest(self._registry)

    @hookimpl
    def vectis_after_consume(self, delivery: Delivery, outcome: DeliveryOutcome) -> None:
        """Count a delivery for each of its handlers."""
        topic = self._topic(delivery.topic)
        self._delivery_seconds(topic).observe(outcome.seconds)
        for subscription in outcome.ran:
            self._deliveries(topic, subscription.id, "handled").inc()
        if outcome.status == "dead_lettered":
            gave_up = [f.subscription.id for f in outcome.failures if not f.will_retry]
            for handler in gave_up or [""]:
                self._deliveries(topic, handler, "dead_lettered").inc()
        elif outcome.status == "skipped":
            self._deliveries(topic, "", "skipped").inc()

    @hookimpl
    def vectis_handler_error(self, failure: HandlerFailure) -> None:
        """Count a failed attempt."""
        handler = failure.subscription.id
        self._failures(handler, "worker" if failure.delivery else "emit").inc()
        if failure.will_retry:
            self._retries(handler).inc()

    @hookimpl
    def vectis_dead_letter(self, letter: DeadLetter) -> None:
        """Count a dead letter."""
        self._dead_letters(self._topic(letter.delivery.topic), letter.handler).inc()

    @hookimpl
    def vectis_after_publish(self, message: Message, receipt: Receipt | None) -> None:
        """Count a message that was published or was not."""
        outcome = "failed" if receipt is None else "acknowledged"
        self._publishes(self._topic(message.topic), outcome).inc()

    @hookimpl
    def vectis_after_emit(self, event: Event, outcome: Outcome) -> None:
        """Count an emit."""
        event_type = self._event_type(event.type)
        self._emits(event_type, outcome.status).inc()
        self._emit_seconds(event_type).observe(outcome.duration)

    @hookimpl
    def vectis_worker_status(self, status: WorkerStatus) -> None:
        """Keep the status for whoever asks for the metrics next."""
        self._status.status = status
        self.told = monotonic()


class _Children(Generic[M]):
    """Remembers what a metric has for each set of labels: the client's own look-up costs more.

    Args:
        metric: The metric.
    """

    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._known: dict[tuple[str, ...], M] = {}

    def __call__(self, *labels: str) -> M:
        child = self._known.get(labels)
        if child is None:
            child = self._known[labels] = self._metric.labels(*labels)
        return child


class _Bounded:
    """Lets so many different values through, and calls the rest `other`."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        if value not in self._seen:
            if len(self._seen) >= _MOST:
                return "other"
            self._seen.add(value)
        return value


class _FromStatus(Collector):
    """Metrics that are read off the last status when somebody asks."""

    status: WorkerStatus | None = None

    def describe(self) -> list[Metric]:
        return []  # what there is depends on the status

    def collect(self) -> Iterator[Metric]:
        status = self.status
        if status is None:
            return
        info = GaugeMetricFamily(
            "vectis_worker_info", "The worker.", labels=("group", "transport", "state")
        )
        info.add_metric((status.group, status.transport, status.state), 1)
        yield info
        yield _gauge("vectis_live", "1 while this process makes progress.", not status.dead)
        yield _gauge("vectis_ready", "1 while it works on deliveries.", not status.unready)
        yield _gauge("vectis_handlers_running", "Handlers that run now.", status.running)
        yield _gauge("vectis_in_flight", "Deliveries held, finished or not.", status.in_flight)
        yield _gauge("vectis_retrying", "Deliveries that wait to be tried again.", status.retrying)
        yield _gauge("vectis_stuck", "Deliveries whose handler hangs.", status.stuck_count)
        yield _gauge("vectis_loop_lag_seconds", "The event loop's last answer.", status.loop.lag)
        yield _gauge("vectis_loop_blocked_seconds", "Blocked for so long.", status.loop.blocked)
        oldest = status.oldest.age if status.oldest else 0.0
        yield _gauge("vectis_oldest_delivery_seconds", "Age of the oldest unfinished one.", oldest)
        now = status.time.timestamp()
        for name, about, since in (
            ("fetch", "When a fetch last succeeded.", status.since_fetch),
            ("commit", "When progress was last committed.", status.since_commit),
        ):
            if since is not None:
                yield _gauge(f"vectis_last_{name}_timestamp_seconds", about, now - since)
        yield from _by_partition(status)
        yield _gauge("vectis_quarantined_plugins", "Broken plugins.", len(status.quarantined))
        yield _count("vectis_overlapping", "Cut off with their partition.", status.overlapping)
        disabled = status.published.get("disabled", 0)
        yield _count("vectis_unpublished", "Not published for want of a transport.", disabled)
        errors = CounterMetricFamily(
            "vectis_hook_errors", "Hooks that failed without stopping anything.", labels=("hook",)
        )
        for hook, count in status.hook_errors.items():
            errors.add_metric((hook,), count)
        yield errors


def _by_partition(status: WorkerStatus) -> Iterator[Metric]:
    labels = ("topic", "partition")
    lag = GaugeMetricFamily("vectis_lag", "Deliveries not fetched yet.", labels=labels)
    paused = GaugeMetricFamily("vectis_paused", "1 while as much is held as may be.", labels=labels)
    for one in status.partitions:
        at = (one.topic, str(one.partition))
        if one.lag is not None:
            lag.add_metric(at, one.lag)
        paused.add_metric(at, one.paused)
    yield lag
    yield paused


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _count(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value=value)
