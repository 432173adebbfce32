"""What a consuming handler is given in place of event type and payload: an instance, a delivery.

An instance is made once for each delivery and class, however many handlers take it, and anew for
another attempt. Handlers that take the usual pair pass by here: for them nothing is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vectis.core.catalogue import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectis.core.catalogue import Catalogue
    from vectis.core.subscription import Subscription
    from vectis.core.worker.job import Job

__all__ = ["giver"]


def giver(
    subscription: Subscription, catalogue: Catalogue, *, kept: bool
) -> Callable[[Job], Any] | None:
    """Return what makes a handler's argument of a job; None for one that takes the usual pair.

    Args:
        subscription: The handler.
        catalogue: Makes payloads of older versions new.
        kept: Whether an instance is asked for more than once, so that it is to be kept; that costs
            as much again as making a small one.

    Raises:
        SubscriptionError: Its class has a type that cannot be read from JSON.
    """
    if subscription.takes == "delivery":
        return _delivery
    if subscription.event_class is None or subscription.takes == "usual":
        return None
    make = _maker(subscription.event_class, catalogue)
    return _keeper(subscription.event_class, make) if kept else make


def _delivery(job: Job) -> Any:
    return job.delivery


def _maker(cls: type, catalogue: Catalogue) -> Callable[[Job], Any]:
    from vectis.core.payloads import reader_of

    read, own = reader_of(cls), describe(cls).version

    def make(job: Job) -> Any:
        received = job.received
        assert received is not None  # whoever calls handlers decoded it
        payload, version = received.payload, received.version
        if version is not None and version != own:  # None: the sender did not say
            payload = catalogue.upcast(payload, version, cls)
        return read(payload)

    return make


def _keeper(cls: type, make: Callable[[Job], Any]) -> Callable[[Job], Any]:
    def keep(job: Job) -> Any:
        assert job.received is not None
        instances = job.received.instances
        if cls not in instances:
            instances[cls] = make(job)
        return instances[cls]

    return keep
