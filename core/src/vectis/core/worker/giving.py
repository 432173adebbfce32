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


def giver(subscription: Subscription, catalogue: Catalogue) -> Callable[[Job], Any] | None:
    """Return what makes a handler's argument of a job; None for one that takes the usual pair.

    Args:
        subscription: The handler.
        catalogue: Makes payloads of older versions new.

    Raises:
        SubscriptionError: Its class has a type that cannot be read from JSON.
    """
    if subscription.takes == "delivery":
        return _delivery
    if subscription.event_class is None or subscription.takes == "usual":
        return None
    return _instance(subscription.event_class, catalogue)


def _delivery(job: Job) -> Any:
    return job.delivery


def _instance(cls: type, catalogue: Catalogue) -> Callable[[Job], Any]:
    from vectis.core.payloads import reader_of

    read, own = reader_of(cls), describe(cls).version

    def give(job: Job) -> Any:
        received = job.received
        assert received is not None  # whoever calls handlers decoded it
        instances = received.instances
        if cls not in instances:
            payload, version = received.payload, received.version
            if version is not None and version != own:  # None: the sender did not say
                payload = catalogue.upcast(payload, version, cls)
            instances[cls] = read(payload)
        return instances[cls]

    return give
