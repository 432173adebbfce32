"""The worker: reads deliveries, calls their handlers, and commits only what is finished."""

from vectis.core.worker.report import Report
from vectis.core.worker.worker import Worker

__all__ = ["Report", "Worker"]
